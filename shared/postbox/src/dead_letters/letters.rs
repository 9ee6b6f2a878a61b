//! The table of dead letters.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::callback::redact;
use jaego_contracts::topology::Queue;
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cause::Cause;
use crate::message::Message;

/// Maximum length of a stored error, characters.
const ERROR_LENGTH_MAX: usize = 1000;

/// Reason why a message died, and the number of attempts before that.
#[derive(Debug, Clone)]
pub struct Death {
    /// Stable identifier, such as `undecodable`.
    pub reason: String,
    /// Text of the last error.
    pub error: String,
    pub attempts: i32,
    /// Status of the last HTTP response, if there was one.
    pub http_status: Option<u16>,
    /// Factory that was called, if any.
    pub factory_id: Option<String>,
}

impl Death {
    /// Death of a message whose handling failed without an HTTP response.
    pub fn new(reason: &str, error: &str, attempts: i32) -> Self {
        Self { reason: reason.to_owned(), error: error.to_owned(), attempts, http_status: None, factory_id: None }
    }
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Records the outcome of these dead letters in every redrive job; a letter that is still queued is not sent any
/// more. This must be a statement of its own, after the one that changed the dead letters and in the same
/// transaction: it then sees the jobs that were ordered while that statement waited for a row lock.
async fn update_jobs(connection: &mut AsyncPgConnection, changed: &[Changed], outcome: &str) -> Result<(), StoreError> {
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

/// Stores a waiting dead letter, in the transaction that gives the message up; `is_redriven` if it was one before.
/// Another death of the same message updates the existing dead letter, unless it may be the death that is already
/// recorded there, or the dead letter was settled while its redrive was in flight. Callback URLs are stored without
/// their tokens.
pub async fn keep(
    connection: &mut AsyncPgConnection,
    queue: &'static Queue,
    mut message: Message,
    mut death: Death,
    is_redriven: bool,
) -> Result<(), StoreError> {
    let (content_type, is_redelivered) = (message.take_content_type(), message.is_redelivered());
    let Message { id: message_id, headers, body } = message;
    death.error = redact(&death.error).chars().take(ERROR_LENGTH_MAX).collect();
    let trace = headers.get("traceparent").and_then(Value::as_str).and_then(|text| text.parse::<TraceContext>().ok());
    let headers = headers.into_iter().map(|(name, value)| (name, without_tokens(value))).collect();
    let body = match std::str::from_utf8(&body) {
        Ok(text) => redact(text).into_bytes(),
        Err(_) => body,
    };
    let cause = Cause::of(queue.name, &death);
    let kept: Vec<Changed> = sql_query(
        "INSERT INTO dead_letters (id, queue, message_id, body_digest, reason, error, \"group\", cause, attempts, \
         content_type, headers, body, trace_id, http_status, factory_id, first_failed_at, last_failed_at, status) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, now(), now(), 'waiting') \
         ON CONFLICT (queue, message_id, body_digest) DO UPDATE SET status = excluded.status, reason = excluded.reason, \
         error = excluded.error, \"group\" = excluded.\"group\", cause = excluded.cause, \
         http_status = excluded.http_status, factory_id = excluded.factory_id, \
         attempts = dead_letters.attempts + excluded.attempts, headers = excluded.headers, \
         last_failed_at = excluded.last_failed_at, settled_at = NULL \
         WHERE NOT $16 AND (NOT $17 OR dead_letters.status = 'redriving') RETURNING id",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .bind::<Text, _>(queue.name)
    .bind::<Text, _>(message_id)
    .bind::<Binary, _>(Sha256::digest(&body).to_vec())
    .bind::<Text, _>(death.reason)
    .bind::<Text, _>(death.error)
    .bind::<Text, _>(cause.group)
    .bind::<Text, _>(cause.text)
    .bind::<BigInt, _>(i64::from(death.attempts))
    .bind::<Text, _>(content_type)
    .bind::<Jsonb, _>(Value::Object(headers))
    .bind::<Binary, _>(body)
    .bind::<Nullable<Text>, _>(trace.map(TraceContext::trace_id))
    .bind::<Nullable<SmallInt>, _>(death.http_status.and_then(|status| i16::try_from(status).ok()))
    .bind::<Nullable<Text>, _>(death.factory_id)
    .bind::<Bool, _>(is_redelivered)
    .bind::<Bool, _>(is_redriven)
    .load(connection)
    .await?;
    update_jobs(connection, &kept, "failed_again").await
}

fn without_tokens(value: Value) -> Value {
    match value {
        Value::String(text) => redact(&text).into(),
        other => other,
    }
}

/// Marks redriven dead letters as processed, in the transaction that deletes their retries. It does not matter whether
/// other copies of the messages have failed in the meantime.
pub(crate) async fn processed(connection: &mut AsyncPgConnection, ids: Vec<Uuid>) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let changed: Vec<Changed> = sql_query(
        "UPDATE dead_letters SET status = 'processed', settled_at = now() \
         WHERE id = ANY($1) AND status IN ('waiting', 'redriving') RETURNING id",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .load(connection)
    .await?;
    update_jobs(connection, &changed, "processed").await
}

/// Final state of a dead letter that is settled without being handled as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The work that it asked for is done.
    Processed,
    /// The work was given up.
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

/// Settles the dead letter of a message, if there is one, when the work that the message asked for has ended, with or
/// without a redrive. Runs in the caller's transaction.
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
    update_jobs(connection, &changed, end.as_status()).await
}

/// Marks a waiting dead letter as discarded; false when it is not waiting.
pub async fn discard(connection: &mut AsyncPgConnection, id: Uuid) -> Result<bool, StoreError> {
    let discarded = sql_query(
        "UPDATE dead_letters SET status = 'discarded', settled_at = now() \
         WHERE id = $1 AND status = 'waiting'",
    )
    .bind::<SqlUuid, _>(id)
    .execute(connection)
    .await?;
    Ok(discarded == 1)
}

/// A dead letter with the beginning of its body, or with all of it.
#[derive(Debug, QueryableByName)]
pub struct Letter {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub queue: String,
    #[diesel(sql_type = Text)]
    pub message_id: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Text)]
    pub error: String,
    #[diesel(sql_type = Text)]
    pub group: String,
    #[diesel(sql_type = BigInt)]
    pub attempts: i64,
    #[diesel(sql_type = Text)]
    pub content_type: String,
    #[diesel(sql_type = Jsonb)]
    pub headers: Value,
    #[diesel(sql_type = Binary)]
    pub body: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    pub body_bytes: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub trace_id: Option<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub http_status: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    pub factory_id: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub first_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub last_failed_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, queue, message_id, status, reason, error, \"group\", attempts, content_type, headers, \
    length(body)::bigint AS body_bytes, trace_id, http_status, factory_id, first_failed_at, last_failed_at";

pub struct Filter<'a> {
    pub status: &'a str,
    pub queue: Option<&'a str>,
    pub group: Option<&'a str>,
    pub older_than: Option<Uuid>,
}

/// Lists dead letters, newest first, each with the first `body_max` bytes of its body.
pub async fn list(
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

/// Dead letters with their whole bodies, ordered by id.
pub async fn get(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<Letter>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, body FROM dead_letters WHERE id = ANY($1) ORDER BY id");
    Ok(sql_query(sql).bind::<Array<SqlUuid>, _>(ids).load(connection).await?)
}

/// The newest dead letter of a group.
#[derive(Debug, QueryableByName, Serialize, ToSchema)]
pub struct NewestLetter {
    #[diesel(sql_type = SqlUuid, column_name = newest_id)]
    id: Uuid,
    #[diesel(sql_type = Text, column_name = newest_error)]
    #[schema(example = "the factory answered 503")]
    error: String,
}

/// Dead letters with the same cause that wait or are being redriven.
#[derive(Debug, QueryableByName, Serialize, ToSchema)]
pub struct DeadLetterGroup {
    #[diesel(sql_type = Text)]
    #[schema(example = "5f2b6d1c9a3e4f70")]
    pub group: String,
    #[diesel(sql_type = Text)]
    #[schema(example = "production.requests")]
    queue: String,
    #[diesel(sql_type = Text)]
    #[schema(example = "factory-unreachable")]
    reason: String,
    /// The error, without the details that differ between its dead letters.
    #[diesel(sql_type = Text)]
    #[schema(example = "the factory answered <n>")]
    cause: String,
    /// Dead letters that wait.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 500)]
    count: i64,
    /// Dead letters that were sent back and are not handled yet; not included in `count`.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 20)]
    redriving: i64,
    /// HTTP status of the factory's last response.
    #[diesel(sql_type = Nullable<SmallInt>)]
    #[schema(required, example = 503)]
    http_status: Option<i16>,
    /// The factory that was called.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required, example = "FF-500293")]
    factory_id: Option<String>,
    /// The newest dead letter, with its error unchanged.
    #[diesel(embed)]
    newest: NewestLetter,
    #[diesel(sql_type = Timestamptz)]
    first_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_failed_at: DateTime<Utc>,
}

/// Groups with ids after `after`, ordered by id.
pub async fn groups(
    connection: &mut AsyncPgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<DeadLetterGroup>, StoreError> {
    let groups = sql_query(
        "SELECT g.*, newest.* FROM (SELECT \"group\", count(*) FILTER (WHERE status = 'waiting') AS count, \
         count(*) FILTER (WHERE status = 'redriving') AS redriving, \
         min(first_failed_at) AS first_failed_at, max(last_failed_at) AS last_failed_at FROM dead_letters \
         WHERE status IN ('waiting', 'redriving') AND ($1 IS NULL OR \"group\" > $1) \
         GROUP BY \"group\" ORDER BY \"group\" LIMIT $2) AS g CROSS JOIN LATERAL \
         (SELECT queue, reason, cause, http_status, factory_id, id AS newest_id, error AS newest_error FROM dead_letters \
         WHERE status IN ('waiting', 'redriving') AND \"group\" = g.\"group\" \
         ORDER BY last_failed_at DESC, id DESC LIMIT 1) AS newest ORDER BY g.\"group\"",
    )
    .bind::<Nullable<Text>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    Ok(groups)
}

/// Numbers of a queue's dead letters that wait and that are being redriven, and the age of the oldest waiting one.
#[derive(QueryableByName)]
pub struct Depth {
    #[diesel(sql_type = Text)]
    pub queue: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    #[diesel(sql_type = BigInt)]
    pub redriving: i64,
    #[diesel(sql_type = diesel::sql_types::Double)]
    pub oldest_s: f64,
}

pub async fn depths(connection: &mut AsyncPgConnection) -> Result<Vec<Depth>, StoreError> {
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

/// Deletes up to a thousand dead letters that were settled more than `days` ago; true when there may be more.
pub async fn prune(connection: &mut AsyncPgConnection, days: i64) -> Result<bool, StoreError> {
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
