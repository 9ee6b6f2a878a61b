//! The table of dead letters.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::REDRIVE_JOB_HEADER;
use super::cause::Cause;
use crate::amqp::topology::Queue;
use crate::db::StoreError;

/// A death to be kept.
pub(super) struct NewLetter {
    pub(super) queue: &'static str,
    pub(super) message_id: String,
    pub(super) content_type: String,
    pub(super) reason: String,
    pub(super) error: String,
    pub(super) cause: Cause,
    pub(super) attempts: i64,
    pub(super) headers: Value,
    pub(super) body: Vec<u8>,
    pub(super) trace_id: Option<String>,
    pub(super) failed_at: DateTime<Utc>,
    /// Its message, or itself if the broker made it, had been handed out before.
    pub(super) is_redelivered: bool,
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Tells every job what became of these letters: one that is queued still is not sent any more. A statement
/// after the one that changed the letters, in its transaction: it sees the jobs that were ordered while that
/// waited for a letter.
async fn tell_jobs(connection: &mut AsyncPgConnection, changed: &[Changed], outcome: &str) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = changed.iter().map(|letter| letter.id).collect();
    sql_query(
        "UPDATE redrive_letters SET outcome = $2 WHERE dead_letter_id = ANY($1) AND outcome IN ('queued', 'sent')",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Text, _>(outcome)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps a letter, in a transaction: it waits, unless it has come to an `end` already. A death that is told
/// already changes nothing: an earlier one; another in a life that a redrive gave, since each is one message;
/// and of a life that the message's sender gave, one that was handed out again.
pub(super) async fn keep(
    connection: &mut AsyncPgConnection,
    letter: &NewLetter,
    end: Option<End>,
) -> Result<(), StoreError> {
    let kept: Vec<Changed> = sql_query(
        "INSERT INTO dead_letters (id, queue, message_id, body_digest, reason, error, \"group\", cause, \
         attempts, content_type, headers, body, trace_id, first_failed_at, last_failed_at, status, settled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15, \
         CASE WHEN $15 <> 'waiting' THEN now() END) \
         ON CONFLICT (queue, message_id, body_digest) DO UPDATE SET status = excluded.status, reason = excluded.reason, \
         error = excluded.error, \"group\" = excluded.\"group\", cause = excluded.cause, \
         attempts = dead_letters.attempts + excluded.attempts, headers = excluded.headers, \
         last_failed_at = excluded.last_failed_at, settled_at = excluded.settled_at \
         WHERE excluded.last_failed_at > dead_letters.last_failed_at \
         AND (excluded.headers ->> $16 IS DISTINCT FROM dead_letters.headers ->> $16 \
         OR excluded.headers ->> $16 IS NULL AND NOT $17) RETURNING id",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .bind::<Text, _>(letter.queue)
    .bind::<Text, _>(&letter.message_id)
    .bind::<Binary, _>(Sha256::digest(&letter.body).to_vec())
    .bind::<Text, _>(&letter.reason)
    .bind::<Text, _>(&letter.error)
    .bind::<Text, _>(&letter.cause.group)
    .bind::<Text, _>(&letter.cause.text)
    .bind::<BigInt, _>(letter.attempts)
    .bind::<Text, _>(&letter.content_type)
    .bind::<Jsonb, _>(&letter.headers)
    .bind::<Binary, _>(&letter.body)
    .bind::<Nullable<Text>, _>(&letter.trace_id)
    .bind::<Timestamptz, _>(letter.failed_at)
    .bind::<Text, _>(end.map_or("waiting", End::as_status))
    .bind::<Text, _>(REDRIVE_JOB_HEADER)
    .bind::<Bool, _>(letter.is_redelivered)
    .load(connection)
    .await?;
    tell_jobs(connection, &kept, "failed_again").await
}

/// A redriven letter was handled; whether another copy of it has failed meanwhile does not matter any more.
pub(crate) async fn processed(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(), StoreError> {
    connection
        .transaction(async |connection| {
            let changed: Vec<Changed> = sql_query(
                "UPDATE dead_letters SET status = 'processed', settled_at = now() \
                 WHERE id = $1 AND status IN ('waiting', 'redriving') RETURNING id",
            )
            .bind::<SqlUuid, _>(id)
            .load(connection)
            .await?;
            tell_jobs(connection, &changed, "processed").await
        })
        .await
}

/// How a letter ends that is not handled as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What it asked for has come about.
    Processed,
    /// It was given up.
    Discarded,
}

impl End {
    const fn as_status(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Discarded => "discarded",
        }
    }
}

/// What this message asked for has ended, by a redrive or without one: its letter, if it has one,
/// needs nobody any more. In the caller's transaction.
pub async fn resolve(
    connection: &mut AsyncPgConnection,
    queue: &Queue,
    message_id: &str,
    end: End,
) -> Result<(), StoreError> {
    let changed: Vec<Changed> = sql_query(
        "UPDATE dead_letters SET status = $3, settled_at = now() \
         WHERE queue = $1 AND message_id = $2 AND status IN ('waiting', 'redriving') RETURNING id",
    )
    .bind::<Text, _>(queue.name)
    .bind::<Text, _>(message_id)
    .bind::<Text, _>(end.as_status())
    .load(connection)
    .await?;
    tell_jobs(connection, &changed, end.as_status()).await
}

/// Marks a waiting letter discarded; false when it does not wait.
pub(super) async fn discard(connection: &mut AsyncPgConnection, id: Uuid) -> Result<bool, StoreError> {
    let discarded = sql_query(
        "UPDATE dead_letters SET status = 'discarded', settled_at = now() \
         WHERE id = $1 AND status = 'waiting'",
    )
    .bind::<SqlUuid, _>(id)
    .execute(connection)
    .await?;
    Ok(discarded == 1)
}

/// A letter with the beginning of its body, or all of it.
#[derive(Debug, QueryableByName)]
pub(super) struct Letter {
    #[diesel(sql_type = SqlUuid)]
    pub(super) id: Uuid,
    #[diesel(sql_type = Text)]
    pub(super) queue: String,
    #[diesel(sql_type = Text)]
    pub(super) message_id: String,
    #[diesel(sql_type = Text)]
    pub(super) status: String,
    #[diesel(sql_type = Text)]
    pub(super) reason: String,
    #[diesel(sql_type = Text)]
    pub(super) error: String,
    #[diesel(sql_type = Text)]
    pub(super) group: String,
    #[diesel(sql_type = BigInt)]
    pub(super) attempts: i64,
    #[diesel(sql_type = Text)]
    pub(super) content_type: String,
    #[diesel(sql_type = Jsonb)]
    pub(super) headers: Value,
    #[diesel(sql_type = Binary)]
    pub(super) body: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    pub(super) body_bytes: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) trace_id: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub(super) first_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub(super) last_failed_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, queue, message_id, status, reason, error, \"group\", attempts, content_type, headers, \
    length(body)::bigint AS body_bytes, trace_id, first_failed_at, last_failed_at";

/// Which letters to list.
pub(super) struct Filter<'a> {
    pub(super) status: &'a str,
    pub(super) queue: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) older_than: Option<Uuid>,
}

/// Newest first; of each body the first `body_max` bytes.
pub(super) async fn list(
    connection: &mut AsyncPgConnection,
    filter: &Filter<'_>,
    body_max: i64,
    limit: i64,
) -> Result<Vec<Letter>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, substr(body, 1, $1::integer) AS body FROM dead_letters WHERE status = $2 \
         AND ($3 IS NULL OR queue = $3) AND ($4 IS NULL OR \"group\" = $4) AND ($5 IS NULL OR id < $5) \
         ORDER BY id DESC LIMIT $6"
    );
    let letters = sql_query(sql)
        .bind::<BigInt, _>(body_max)
        .bind::<Text, _>(filter.status)
        .bind::<Nullable<Text>, _>(filter.queue)
        .bind::<Nullable<Text>, _>(filter.group)
        .bind::<Nullable<SqlUuid>, _>(filter.older_than)
        .bind::<BigInt, _>(limit)
        .load(connection)
        .await?;
    Ok(letters)
}

/// These letters with their whole bodies, in the order of their ids.
pub(super) async fn get(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<Letter>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, body FROM dead_letters WHERE id = ANY($1) ORDER BY id");
    Ok(sql_query(sql).bind::<Array<SqlUuid>, _>(ids).load(connection).await?)
}

/// Letters with one cause that wait, or are under way.
#[derive(Debug, QueryableByName)]
#[expect(clippy::struct_field_names, reason = "the column's name, and the word for it everywhere")]
pub(super) struct Group {
    #[diesel(sql_type = Text)]
    pub(super) group: String,
    #[diesel(sql_type = Text)]
    pub(super) queue: String,
    #[diesel(sql_type = Text)]
    pub(super) reason: String,
    #[diesel(sql_type = Text)]
    pub(super) cause: String,
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) redriving: i64,
    #[diesel(sql_type = Timestamptz)]
    pub(super) first_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub(super) last_failed_at: DateTime<Utc>,
}

/// Groups after `after`, by id.
pub(super) async fn groups(
    connection: &mut AsyncPgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Group>, StoreError> {
    let groups = sql_query(
        "SELECT \"group\", min(queue) AS queue, min(reason) AS reason, min(cause) AS cause, \
         count(*) FILTER (WHERE status = 'waiting') AS count, \
         count(*) FILTER (WHERE status = 'redriving') AS redriving, \
         min(first_failed_at) AS first_failed_at, max(last_failed_at) AS last_failed_at FROM dead_letters \
         WHERE (status = 'waiting' OR status = 'redriving') AND ($1 IS NULL OR \"group\" > $1) GROUP BY \"group\" ORDER BY \"group\" LIMIT $2",
    )
    .bind::<Nullable<Text>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    Ok(groups)
}

/// How many of a queue wait, and for how long, and how many are under way.
#[derive(QueryableByName)]
pub(super) struct Depth {
    #[diesel(sql_type = Text)]
    pub(super) queue: String,
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) redriving: i64,
    #[diesel(sql_type = diesel::sql_types::Double)]
    pub(super) oldest_s: f64,
}

pub(super) async fn depths(connection: &mut AsyncPgConnection) -> Result<Vec<Depth>, StoreError> {
    let depths = sql_query(
        "SELECT queue, count(*) FILTER (WHERE status = 'waiting') AS count, \
         count(*) FILTER (WHERE status = 'redriving') AS redriving, \
         coalesce(extract(epoch FROM now() - min(last_failed_at) FILTER (WHERE status = 'waiting')), 0)::float8 \
         AS oldest_s FROM dead_letters WHERE status = 'waiting' OR status = 'redriving' GROUP BY queue",
    )
    .load(connection)
    .await?;
    Ok(depths)
}

/// Forgets up to a thousand letters that were settled more than `days` ago; true when there may be more.
pub(super) async fn prune(connection: &mut AsyncPgConnection, days: i64) -> Result<bool, StoreError> {
    const AT_ONCE: usize = 1000;
    let pruned = sql_query(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters \
         WHERE settled_at < now() - $1 * interval '1 day' LIMIT 1000)",
    )
    .bind::<BigInt, _>(days)
    .execute(connection)
    .await?;
    sql_query(
        "DELETE FROM redrives WHERE is_sent AND created_at < now() - $1 * interval '1 day' \
         AND NOT EXISTS (SELECT FROM redrive_letters WHERE redrive_id = redrives.id) AND $2",
    )
    .bind::<BigInt, _>(days)
    .bind::<Bool, _>(pruned < AT_ONCE)
    .execute(connection)
    .await?;
    Ok(pruned == AT_ONCE)
}
