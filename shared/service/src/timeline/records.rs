//! The parts of a timeline that every service has: its operators' actions, and its dead letters.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::topology::Queue;
use jaego_pg::StoreError;
use uuid::Uuid;

use super::{FETCH, NextStep, TimelineDetail, TimelineItem, TimelineKind, TimelineNext, TimelineSubject};

#[derive(Debug, QueryableByName)]
pub struct Acted {
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub actor: String,
    /// Such as `order.cancel`.
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = SqlUuid)]
    pub subject: Uuid,
    /// The operator's reason, where the endpoint takes one.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Text)]
    trace_id: String,
}

impl Acted {
    /// Converts the action into a step of `kind` that belongs to `subject`.
    pub fn step(self, service: &'static str, kind: TimelineKind, subject: TimelineSubject) -> TimelineItem {
        let detail = TimelineDetail {
            actor: Some(self.actor),
            action: Some(self.action),
            reason: self.reason,
            ..TimelineDetail::default()
        };
        let step = TimelineItem::new(service, kind, self.at, subject).with(detail);
        TimelineItem { trace_id: Some(self.trace_id), ..step }
    }
}

/// Returns the newest operators' actions on these subjects, at most [`FETCH`].
pub async fn actions(connection: &mut AsyncPgConnection, subjects: &[Uuid]) -> Result<Vec<Acted>, StoreError> {
    let acted = sql_query(
        "SELECT at, actor, action, subject::uuid AS subject, reason, trace_id FROM audit_log \
         WHERE subject = ANY($1) ORDER BY at DESC LIMIT $2",
    )
    .bind::<Array<Text>, _>(subjects.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .bind::<BigInt, _>(FETCH)
    .load(connection)
    .await?;
    Ok(acted)
}

#[derive(QueryableByName)]
struct Letter {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    queue: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Text)]
    error: String,
    #[diesel(sql_type = Text)]
    group: String,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
    #[diesel(sql_type = Nullable<Text>)]
    trace_id: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    first_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    settled_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Redriven {
    #[diesel(sql_type = SqlUuid)]
    dead_letter_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    actor: String,
    #[diesel(sql_type = Text)]
    outcome: String,
}

/// Returns the dead letters of these messages as steps (last failure, redrives, operators' actions, settlement), and
/// a decision to come for each that is waiting. Of a letter that failed more than once, only the first and the last
/// failure are on record.
pub async fn letters(
    connection: &mut AsyncPgConnection,
    service: &'static str,
    queue: &Queue,
    message_ids: &[String],
) -> Result<(Vec<TimelineItem>, Vec<TimelineNext>), StoreError> {
    let letters: Vec<Letter> = sql_query(
        "SELECT id, queue, status, reason, error, \"group\", attempts, trace_id, first_failed_at, last_failed_at, \
         settled_at FROM dead_letters WHERE queue = $1 AND message_id = ANY($2) ORDER BY last_failed_at DESC LIMIT $3",
    )
    .bind::<Text, _>(queue.name)
    .bind::<Array<Text>, _>(message_ids)
    .bind::<BigInt, _>(FETCH)
    .load(connection)
    .await?;
    if letters.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let ids: Vec<Uuid> = letters.iter().map(|letter| letter.id).collect();
    let redriven: Vec<Redriven> = sql_query(
        "SELECT one.dead_letter_id, job.created_at AS at, job.actor, one.outcome FROM redrive_letters AS one \
         JOIN redrives AS job ON job.id = one.redrive_id WHERE one.dead_letter_id = ANY($1) \
         ORDER BY job.created_at DESC LIMIT $2",
    )
    .bind::<Array<SqlUuid>, _>(&ids)
    .bind::<BigInt, _>(FETCH)
    .load(connection)
    .await?;
    let step = |kind, at, id| TimelineItem::new(service, kind, at, TimelineSubject::dead_letter(id));
    let mut items: Vec<TimelineItem> = redriven
        .into_iter()
        .map(|one| {
            let (actor, outcome) = (Some(one.actor), Some(one.outcome));
            let detail = TimelineDetail { outcome, actor, ..TimelineDetail::default() };
            step(TimelineKind::DeadLetterRedriven, one.at, one.dead_letter_id).with(detail)
        })
        .collect();
    for action in actions(connection, &ids).await? {
        let subject = TimelineSubject::dead_letter(action.subject);
        items.push(action.step(service, TimelineKind::OperatorActed, subject));
    }
    let mut next = Vec::new();
    for letter in letters {
        let wait = TimelineDetail {
            queue: Some(letter.queue),
            group: Some(letter.group),
            reason: Some(letter.reason),
            error: Some(letter.error),
            ..TimelineDetail::default()
        };
        if letter.status == "waiting" {
            let subject = TimelineSubject::dead_letter(letter.id);
            next.push(TimelineNext::new(service, NextStep::Decision, None, subject).with(wait.clone()));
        }
        if let Some(at) = letter.settled_at {
            let detail = TimelineDetail { status: Some(letter.status.clone()), ..TimelineDetail::default() };
            items.push(step(TimelineKind::DeadLetterSettled, at, letter.id).with(detail));
        }
        let detail = TimelineDetail {
            status: Some(letter.status),
            attempts: Some(letter.attempts),
            first_failed_at: Some(letter.first_failed_at),
            ..wait
        };
        let kept = step(TimelineKind::DeadLetterKept, letter.last_failed_at, letter.id).with(detail);
        items.push(TimelineItem { trace_id: letter.trace_id, ..kept });
    }
    Ok((items, next))
}
