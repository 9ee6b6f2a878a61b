//! Redrives: jobs that move dead letters back into the retries and record the outcome of each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Maximum dead letters in one job; a larger group takes several jobs.
pub const LETTERS_MAX: i64 = 100_000;
/// Maximum dead letters that are added to a job in one transaction.
const SLICE: i64 = 2_000;
/// Maximum wait for a locked dead letter, milliseconds; the job tries again after all others that grow.
const LOCK_WAIT_MS: u32 = 100;
/// Longest wait before due jobs are looked up again; ordering one notifies the sender at once.
const IDLE: Duration = Duration::from_secs(30);
/// Maximum dead letters sent together. A batch is a tenth of a second's worth at the job's rate, up to this.
const BATCH_MAX: i64 = 500;

/// A redrive, and the outcomes of its dead letters so far.
#[derive(Debug, QueryableByName, Serialize, ToSchema)]
pub struct Redrive {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// The operator who ordered it.
    #[diesel(sql_type = Text)]
    #[schema(example = "kim")]
    actor: String,
    #[diesel(sql_type = Double)]
    #[schema(example = 50.0)]
    rate_per_s: f64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    /// Number of its dead letters. Those of a large group are added in the background.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 500)]
    total: i64,
    /// Dead letters that are not sent yet, or whose outcome is not known yet.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 120)]
    pending: i64,
    /// Pending dead letters that have been sent.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 20)]
    sent: i64,
    /// Dead letters that were handled; for a production request, by an answer of its factory.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 380)]
    processed: i64,
    /// Messages that failed again, and are dead letters once more.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 0)]
    failed_again: i64,
    /// Dead letters that were discarded before they were handled.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 0)]
    discarded: i64,
    /// True if nothing is pending, and no more dead letters are added.
    #[diesel(sql_type = Bool)]
    #[schema(example = false)]
    done: bool,
}

/// Dead letters that a redrive is for.
#[derive(Debug)]
pub enum Chosen {
    /// Waiting ones, and ones whose redrive never arrived.
    Ids(Vec<Uuid>),
    /// The waiting ones of a group.
    Group(String),
}

/// Orders a redrive; returns the number of its dead letters so far. [`add_some`] adds the rest of a large group.
pub async fn order(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    actor: &str,
    rate_per_s: f64,
    chosen: &Chosen,
) -> Result<usize, StoreError> {
    let (ids, group) = match chosen {
        Chosen::Ids(ids) => (Some(ids), None),
        Chosen::Group(group) => (None, Some(group)),
    };
    sql_query("INSERT INTO redrives (id, actor, rate_per_s, \"group\", to_add) VALUES ($1, $2, $3, $4, $5)")
        .bind::<SqlUuid, _>(id)
        .bind::<Text, _>(actor)
        .bind::<Double, _>(rate_per_s)
        .bind::<Nullable<Text>, _>(group)
        .bind::<BigInt, _>(group.map_or(0, |_| LETTERS_MAX))
        .execute(connection)
        .await?;
    let Some(ids) = ids else { return add(connection, id).await };
    let chosen = "SELECT id FROM dead_letters WHERE id = ANY($2) AND status IN ('waiting', 'redriving') \
                  ORDER BY id FOR UPDATE";
    Ok(sql_query(adding(chosen)).bind::<SqlUuid, _>(id).bind::<Array<SqlUuid>, _>(ids).execute(connection).await?)
}

/// A statement that adds the dead letters that `chosen` selects to the job `$1`.
fn adding(chosen: &str) -> String {
    format!(
        "WITH chosen AS ({chosen}), marked AS (UPDATE dead_letters SET status = 'redriving' FROM chosen \
         WHERE dead_letters.id = chosen.id RETURNING dead_letters.id) \
         INSERT INTO redrive_letters (redrive_id, dead_letter_id) SELECT $1, id FROM marked"
    )
}

/// Adds the next slice of its group to a job: those after the last that it has, because dead letters that fail again
/// wait again under their old ids. The job has all of them when there is none.
async fn add(connection: &mut AsyncPgConnection, id: Uuid) -> Result<usize, StoreError> {
    let chosen = "SELECT d.id FROM redrives r CROSS JOIN LATERAL (SELECT id FROM dead_letters \
        WHERE status = 'waiting' AND \"group\" = r.\"group\" AND queue = (SELECT queue FROM dead_letters \
        WHERE status IN ('waiting', 'redriving') AND \"group\" = r.\"group\" ORDER BY last_failed_at LIMIT 1) \
        AND id > coalesce( \
        (SELECT dead_letter_id FROM redrive_letters WHERE redrive_id = r.id ORDER BY dead_letter_id DESC LIMIT 1), \
        '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT least(r.to_add, $2) FOR UPDATE) AS d WHERE r.id = $1";
    let added = sql_query(adding(chosen)).bind::<SqlUuid, _>(id).bind::<BigInt, _>(SLICE).execute(connection).await?;
    let count = i64::try_from(added).unwrap_or(i64::MAX);
    // The job may have been sent as far as it went.
    sql_query(
        "UPDATE redrives SET to_add = CASE WHEN $2 = 0 THEN 0 ELSE to_add - $2 END, is_sent = is_sent AND $2 = 0 \
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<BigInt, _>(count)
    .execute(connection)
    .await?;
    Ok(added)
}

/// A job that does not have all of its group yet: the first after `last`, or the first of all.
pub async fn growing(connection: &mut AsyncPgConnection, last: Uuid) -> Result<Option<Uuid>, StoreError> {
    let growing: Option<Growing> = sql_query("SELECT id FROM redrives WHERE to_add > 0 ORDER BY id <= $1, id LIMIT 1")
        .bind::<SqlUuid, _>(last)
        .get_result(connection)
        .await
        .optional()?;
    Ok(growing.map(|job| job.id))
}

/// Adds the next slice to a job; false if another replica does so now.
pub async fn add_some(connection: &mut AsyncPgConnection, id: Uuid) -> Result<bool, StoreError> {
    sql_query(format!("SET LOCAL lock_timeout = {LOCK_WAIT_MS}")).execute(connection).await?;
    let free = "SELECT id FROM redrives WHERE id = $1 AND to_add > 0 FOR UPDATE SKIP LOCKED";
    let free: Option<Growing> = sql_query(free).bind::<SqlUuid, _>(id).get_result(connection).await.optional()?;
    match free {
        Some(job) => add(connection, job.id).await.map(|_| true),
        None => Ok(false),
    }
}

#[derive(QueryableByName)]
struct Growing {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Current state of a job.
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Redrive>, StoreError> {
    let job = sql_query(
        "SELECT r.id, r.actor, r.rate_per_s, r.created_at, count(l.outcome) AS total, \
         count(*) FILTER (WHERE l.outcome IN ('queued', 'sent')) AS pending, \
         count(*) FILTER (WHERE l.outcome IN ('queued', 'sent')) = 0 AND r.to_add = 0 AS done, \
         count(*) FILTER (WHERE l.outcome = 'sent') AS sent, \
         count(*) FILTER (WHERE l.outcome = 'processed') AS processed, \
         count(*) FILTER (WHERE l.outcome = 'failed_again') AS failed_again, \
         count(*) FILTER (WHERE l.outcome = 'discarded') AS discarded \
         FROM redrives r LEFT JOIN redrive_letters l ON l.redrive_id = r.id WHERE r.id = $1 GROUP BY r.id",
    )
    .bind::<SqlUuid, _>(id)
    .get_result(connection)
    .await
    .optional()?;
    Ok(job)
}

#[derive(QueryableByName)]
struct Due {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Double)]
    rate_per_s: f64,
    #[diesel(sql_type = Double)]
    wait_s: f64,
}

/// Result of one call of [`send_some`].
pub enum Sending {
    /// More may be due immediately.
    Sent,
    /// Nothing is due before this time has passed.
    Wait(Duration),
}

/// Adds the next dead letters of one due job to the retries. One that is already there is not added twice.
#[expect(clippy::cast_possible_truncation, reason = "bounded to 1..=500 right there")]
pub async fn send_some(connection: &mut AsyncPgConnection) -> Result<Sending, StoreError> {
    let due: Option<Due> = sql_query(
        "SELECT id, rate_per_s, greatest(extract(epoch FROM next_send_at - now()), 0)::float8 AS wait_s \
         FROM redrives WHERE NOT is_sent ORDER BY next_send_at LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .get_result(connection)
    .await
    .optional()?;
    let Some(due) = due else { return Ok(Sending::Wait(IDLE)) };
    if due.wait_s > 0.0 {
        return Ok(Sending::Wait(Duration::from_secs_f64(due.wait_s).min(IDLE)));
    }
    let batch = ((due.rate_per_s / 10.0).ceil() as i64).clamp(1, BATCH_MAX);
    let sent = sql_query(
        "WITH next AS (SELECT dead_letter_id FROM redrive_letters WHERE redrive_id = $1 AND outcome = 'queued' \
         ORDER BY dead_letter_id LIMIT $2), \
         marked AS (UPDATE redrive_letters SET outcome = 'sent' FROM next WHERE redrive_id = $1 \
         AND redrive_letters.dead_letter_id = next.dead_letter_id AND outcome = 'queued' RETURNING next.dead_letter_id), \
         put AS (INSERT INTO message_retries \
         (queue, message_id, headers, body, attempts, next_attempt_at, last_error, identity, dead_letter_id) \
         SELECT l.queue, l.message_id, (SELECT coalesce(jsonb_object_agg(name, value), '{}') \
         FROM jsonb_each(l.headers) AS header (name, value) WHERE name NOT LIKE '%-death%' \
         AND (name NOT LIKE 'x-jaego-%' OR name LIKE 'x-jaego-property-%')), \
         l.body, 0, now(), l.error, sha256(convert_to('redrive ' || l.id, 'UTF8')), l.id \
         FROM dead_letters l JOIN marked ON marked.dead_letter_id = l.id ORDER BY l.id ON CONFLICT (identity) DO NOTHING) \
         SELECT FROM marked",
    )
    .bind::<SqlUuid, _>(due.id)
    .bind::<BigInt, _>(batch)
    .execute(connection)
    .await?;
    let sent_s = f64::from(u32::try_from(sent).unwrap_or(u32::MAX)) / due.rate_per_s;
    // The batch size does not show whether the job is sent: a batch is also empty when all its dead letters were
    // settled while it waited for their locks.
    sql_query(
        "UPDATE redrives SET next_send_at = now() + $2 * interval '1 second', is_sent = NOT EXISTS \
         (SELECT FROM redrive_letters WHERE redrive_id = $1 AND outcome = 'queued') WHERE id = $1",
    )
    .bind::<SqlUuid, _>(due.id)
    .bind::<Double, _>(sent_s)
    .execute(connection)
    .await?;
    Ok(Sending::Sent)
}
