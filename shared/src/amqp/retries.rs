//! Failed messages wait here, in PostgreSQL, for their next attempt: no consumer sleeps on one.

use std::time::Duration;

use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::consumer::{HandleError, Subscription};
use super::letter::{Death, dead_letter as letter, storable};
use super::topology::Queue;
use crate::db::{Pool, StoreError};
use crate::dead_letters::REDRIVE_HEADER;
use crate::outbox::{self, Outbox, OutgoingMessage};
use crate::settings::Amqp;

/// How often due retries are looked for.
const POLL: Duration = Duration::from_millis(250);
/// A claimed message is left to its claimer for this long.
const CLAIM_S: i64 = 60;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    queue: String,
    #[diesel(sql_type = Text)]
    message_id: String,
    #[diesel(sql_type = Jsonb)]
    headers: Value,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

/// Keeps a message whose first attempt failed. One that is delivered again, because its acknowledgement was
/// lost, is kept already, with the attempts that it has had.
pub(super) async fn park(
    pool: &Pool,
    queue: &Queue,
    message_id: String,
    headers: Map<String, Value>,
    body: &[u8],
    error: &str,
    delay: Duration,
) -> Result<(), StoreError> {
    let mut connection = pool.get().await?;
    let identity = identity(queue, &message_id, &headers, body);
    sql_query(
        "INSERT INTO message_retries \
         (queue, message_id, headers, body, attempts, next_attempt_at, last_error, identity) \
         VALUES ($1, $2, $3, $4, 1, now() + $5 * interval '1 millisecond', $6, $7) \
         ON CONFLICT (identity) DO NOTHING",
    )
    .bind::<Text, _>(queue.name)
    .bind::<Text, _>(message_id)
    .bind::<Jsonb, _>(Value::Object(headers))
    .bind::<Binary, _>(body)
    .bind::<BigInt, _>(milliseconds(delay))
    .bind::<Text, _>(error)
    .bind::<Binary, _>(identity)
    .execute(&mut connection)
    .await?;
    Ok(())
}

/// What makes two deliveries one message: queue, id and body, and the dead letter if it is redriven.
fn identity(queue: &Queue, message_id: &str, headers: &Map<String, Value>, body: &[u8]) -> Vec<u8> {
    let redrive = headers.get(REDRIVE_HEADER).and_then(Value::as_str).unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [queue.name, message_id, redrive] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.chain_update(body).finalize().to_vec()
}

/// Hands a dead letter to the outbox.
pub(super) async fn dead_letter(pool: &Pool, letter: OutgoingMessage) -> Result<(), StoreError> {
    let connection = pool.get().await?;
    outbox::append(&connection, [letter]).await
}

/// Retries what is due until `stop`.
pub(super) async fn run(
    pool: &Pool,
    outbox: &Outbox,
    subscriptions: &[Subscription],
    amqp: &Amqp,
    stop: &CancellationToken,
) {
    let delays = amqp.retry_delays();
    while !stop.is_cancelled() {
        match retry_one(pool, outbox, subscriptions, &delays).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "cannot retry failed messages now"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// One due message; false when there is none.
async fn retry_one(
    pool: &Pool,
    outbox: &Outbox,
    subscriptions: &[Subscription],
    delays: &[Duration],
) -> Result<bool, StoreError> {
    let queues: Vec<&str> = subscriptions.iter().map(|subscription| subscription.queue.name).collect();
    let Some(row) = claim(pool, &queues).await? else { return Ok(false) };
    let Some(subscription) = subscriptions.iter().find(|subscription| subscription.queue.name == row.queue) else {
        return Ok(false);
    };
    let headers = row.headers.as_object().cloned().unwrap_or_default();
    let (reason, error) = match subscription.handle(pool, &headers, &row.body).await {
        Ok(()) => return finish(pool, row.id, None).await.map(|()| true),
        // The claim runs out by itself; the attempt does not count.
        Err(HandleError::Store(error)) if error.is_unavailable() => return Err(error),
        Err(HandleError::Decode(error)) => (error.reason(), error.to_string()),
        Err(error) => ("handler-failed", storable(&error.to_string())),
    };
    let attempts = row.attempts + 1;
    let next_delay = usize::try_from(row.attempts).ok().and_then(|index| delays.get(index));
    if let (Some(delay), "handler-failed") = (next_delay, reason) {
        postpone(pool, row.id, attempts, &error, *delay).await?;
    } else {
        tracing::warn!(queue = row.queue, error, attempts, "dead-lettered");
        let death = Death { reason, error: &error, attempts };
        let letter = letter(subscription.queue, row.message_id, headers, &row.body, &death);
        finish(pool, row.id, Some(letter)).await?;
        outbox.wake();
    }
    Ok(true)
}

async fn claim(pool: &Pool, queues: &[&str]) -> Result<Option<Row>, StoreError> {
    let mut connection = pool.get().await?;
    let rows: Vec<Row> = sql_query(
        "UPDATE message_retries SET next_attempt_at = now() + $1 * interval '1 second' WHERE id IN \
         (SELECT id FROM message_retries WHERE next_attempt_at <= now() AND queue = ANY($2) \
          ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING id, queue, message_id, headers, body, attempts",
    )
    .bind::<BigInt, _>(CLAIM_S)
    .bind::<diesel::sql_types::Array<Text>, _>(queues)
    .load(&mut connection)
    .await?;
    Ok(rows.into_iter().next())
}

async fn postpone(pool: &Pool, id: i64, attempts: i32, error: &str, delay: Duration) -> Result<(), StoreError> {
    let mut connection = pool.get().await?;
    sql_query(
        "UPDATE message_retries SET attempts = $2, last_error = $3, \
         next_attempt_at = now() + $4 * interval '1 millisecond' WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<Integer, _>(attempts)
    .bind::<Text, _>(error)
    .bind::<BigInt, _>(milliseconds(delay))
    .execute(&mut connection)
    .await?;
    Ok(())
}

/// Forgets the message, in one transaction with its dead letter if it died.
async fn finish(pool: &Pool, id: i64, letter: Option<OutgoingMessage>) -> Result<(), StoreError> {
    let mut connection = pool.get().await?;
    connection
        .transaction(async move |connection| {
            sql_query("DELETE FROM message_retries WHERE id = $1").bind::<BigInt, _>(id).execute(connection).await?;
            outbox::append(connection, letter).await
        })
        .await
}

fn milliseconds(delay: Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
