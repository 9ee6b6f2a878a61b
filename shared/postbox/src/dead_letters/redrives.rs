//! Redrives: jobs that move letters back into the retries, and what became of each letter.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most letters of one job; a larger group takes several.
pub const LETTERS_MAX: i64 = 100_000;
/// How long nothing is looked for when no job is there: who orders one rings.
const IDLE: Duration = Duration::from_secs(10);
/// Letters that are sent together: a tenth of a second's worth, at most.
const BATCH_MAX: i64 = 500;

/// A redrive, and what became of its letters so far.
#[derive(Debug, QueryableByName, Serialize, ToSchema)]
pub struct Redrive {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// Who ordered it.
    #[diesel(sql_type = Text)]
    #[schema(example = "kim")]
    actor: String,
    #[diesel(sql_type = Double)]
    #[schema(example = 50.0)]
    rate_per_s: f64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    /// Letters in all.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 500)]
    total: i64,
    /// Not yet sent, or sent and not yet known.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 120)]
    pending: i64,
    /// Of the pending ones: already on their way.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 20)]
    sent: i64,
    /// Handled; a production request: answered by its factory.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 380)]
    processed: i64,
    /// Dead letters again.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 0)]
    failed_again: i64,
    /// Discarded meanwhile.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 0)]
    discarded: i64,
    /// Nothing is pending.
    #[diesel(sql_type = Bool)]
    #[schema(example = false)]
    done: bool,
}

/// Orders a redrive of `ids`, or of the waiting letters in `group`; answers how many they are.
pub async fn order(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    actor: &str,
    rate_per_s: f64,
    ids: Option<&[Uuid]>,
    group: Option<&str>,
) -> Result<usize, StoreError> {
    sql_query("INSERT INTO redrives (id, actor, rate_per_s) VALUES ($1, $2, $3)")
        .bind::<SqlUuid, _>(id)
        .bind::<Text, _>(actor)
        .bind::<Double, _>(rate_per_s)
        .execute(connection)
        .await?;
    let ordered = sql_query(
        "WITH chosen AS (SELECT id FROM dead_letters WHERE (status = 'waiting' OR status = 'redriving' AND id = ANY($2)) \
         AND ($2 IS NULL OR id = ANY($2)) AND ($3 IS NULL OR \"group\" = $3) ORDER BY id LIMIT $4 FOR UPDATE), \
         marked AS (UPDATE dead_letters SET status = 'redriving' FROM chosen WHERE dead_letters.id = chosen.id \
         RETURNING dead_letters.id) \
         INSERT INTO redrive_letters (redrive_id, dead_letter_id) SELECT $1, id FROM marked",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<diesel::sql_types::Nullable<Array<SqlUuid>>, _>(ids)
    .bind::<diesel::sql_types::Nullable<Text>, _>(group)
    .bind::<BigInt, _>(LETTERS_MAX)
    .execute(connection)
    .await?;
    Ok(ordered)
}

/// A job as it is now.
pub async fn get(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Redrive>, StoreError> {
    let job = sql_query(
        "SELECT r.id, r.actor, r.rate_per_s, r.created_at, count(l.outcome) AS total, \
         count(*) FILTER (WHERE l.outcome IN ('queued', 'sent')) AS pending, \
         count(*) FILTER (WHERE l.outcome IN ('queued', 'sent')) = 0 AS done, \
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

/// What sending came to.
pub enum Sending {
    /// There may be more to send at once.
    Sent,
    /// Nothing is due before then.
    Wait(Duration),
}

/// Puts the next letters of one due job among the retries. One that is there already is not put there twice.
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
    // Not by the size of the batch: one whose letters all ended while it waited for them is empty, too.
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
