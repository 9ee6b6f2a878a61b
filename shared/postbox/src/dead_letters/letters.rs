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
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cause::Cause;

/// Longest error that is kept, characters.
const ERROR_LENGTH_MAX: usize = 1000;

/// Why and after how many attempts a message died.
#[derive(Debug, Clone)]
pub struct Death {
    /// A stable word, such as `undecodable`.
    pub reason: String,
    /// The last error in words.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What was answered last, if it was HTTP.
    pub http_status: Option<u16>,
    /// Who should have answered.
    pub factory_id: Option<String>,
}

impl Death {
    /// Of a message that was handled in vain.
    pub fn new(reason: &str, error: &str, attempts: i32) -> Self {
        Self { reason: reason.to_owned(), error: error.to_owned(), attempts, http_status: None, factory_id: None }
    }
}

/// A death to be kept.
#[derive(Debug)]
pub struct NewLetter {
    /// Its queue.
    pub queue: &'static str,
    /// The message's id.
    pub message_id: String,
    /// Its media type; empty when it came without one.
    pub content_type: String,
    /// Its headers.
    pub headers: Map<String, Value>,
    /// Its body.
    pub body: Vec<u8>,
    /// Why it died.
    pub death: Death,
    /// The message had been handed out before: its death may have been kept already.
    pub is_redelivered: bool,
    /// The letter's redrive has failed.
    pub is_redriven: bool,
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

/// Keeps a letter that waits from now on, in the transaction that gives up. Another death of the same message is told
/// on the letter that is there, unless it may be the one that was told, or the letter has come to an end while its
/// redrive was under way. Callback URLs are kept without their tokens.
pub async fn keep(connection: &mut AsyncPgConnection, letter: NewLetter) -> Result<(), StoreError> {
    let NewLetter { queue, message_id, content_type, headers, body, mut death, is_redelivered, is_redriven } = letter;
    death.error = redact(&death.error).chars().take(ERROR_LENGTH_MAX).collect();
    let trace = headers.get("traceparent").and_then(Value::as_str).and_then(|text| text.parse::<TraceContext>().ok());
    let headers = headers.into_iter().map(|(name, value)| (name, without_tokens(value))).collect();
    let body = match std::str::from_utf8(&body) {
        Ok(text) => redact(text).into_bytes(),
        Err(_) => body,
    };
    let cause = Cause::of(queue, &death);
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
    .bind::<Text, _>(queue)
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
    tell_jobs(connection, &kept, "failed_again").await
}

fn without_tokens(value: Value) -> Value {
    match value {
        Value::String(text) => redact(&text).into(),
        other => other,
    }
}

/// A redriven letter was handled; in the transaction that forgets its retry. Whether another copy of it has failed
/// meanwhile does not matter any more.
pub(crate) async fn processed(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(), StoreError> {
    let changed: Vec<Changed> = sql_query(
        "UPDATE dead_letters SET status = 'processed', settled_at = now() \
         WHERE id = $1 AND status IN ('waiting', 'redriving') RETURNING id",
    )
    .bind::<SqlUuid, _>(id)
    .load(connection)
    .await?;
    tell_jobs(connection, &changed, "processed").await
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

/// A letter with the beginning of its body, or all of it.
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

/// Which letters to list.
pub struct Filter<'a> {
    pub status: &'a str,
    pub queue: Option<&'a str>,
    pub group: Option<&'a str>,
    pub older_than: Option<Uuid>,
}

/// Newest first; of each body the first `body_max` bytes.
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

/// These letters with their whole bodies, in the order of their ids.
pub async fn get(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<Letter>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, body FROM dead_letters WHERE id = ANY($1) ORDER BY id");
    Ok(sql_query(sql).bind::<Array<SqlUuid>, _>(ids).load(connection).await?)
}

/// An example of a group.
#[derive(Debug, QueryableByName, Serialize, ToSchema)]
pub struct NewestLetter {
    #[diesel(sql_type = SqlUuid, column_name = newest_id)]
    id: Uuid,
    #[diesel(sql_type = Text, column_name = newest_error)]
    #[schema(example = "the factory answered 503")]
    error: String,
}

/// Letters that died of the same, and wait or are under way.
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
    /// The error without what differs between letters.
    #[diesel(sql_type = Text)]
    #[schema(example = "the factory answered <n>")]
    cause: String,
    /// Those that wait.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 500)]
    count: i64,
    /// Those that were sent back and are not handled yet; they do not count as waiting.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 20)]
    redriving: i64,
    /// What the factory answered last.
    #[diesel(sql_type = Nullable<SmallInt>)]
    #[schema(required, example = 503)]
    http_status: Option<i16>,
    /// Which factory.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required, example = "FF-500293")]
    factory_id: Option<String>,
    /// The letter that died last, with its error as it was told.
    #[diesel(embed)]
    newest: NewestLetter,
    #[diesel(sql_type = Timestamptz)]
    first_failed_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_failed_at: DateTime<Utc>,
}

/// Groups after `after`, by id.
pub async fn groups(
    connection: &mut AsyncPgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<DeadLetterGroup>, StoreError> {
    let groups = sql_query(
        "SELECT \"group\", min(queue) AS queue, min(reason) AS reason, min(cause) AS cause, \
         count(*) FILTER (WHERE status = 'waiting') AS count, \
         count(*) FILTER (WHERE status = 'redriving') AS redriving, \
         min(http_status) AS http_status, min(factory_id) AS factory_id, \
         (array_agg(id ORDER BY last_failed_at DESC, id DESC))[1] AS newest_id, \
         (array_agg(error ORDER BY last_failed_at DESC, id DESC))[1] AS newest_error, \
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

/// Forgets up to a thousand letters that were settled more than `days` ago; true when there may be more.
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
