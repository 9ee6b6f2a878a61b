//! Failed messages and redriven dead letters wait in PostgreSQL for their next attempt, so no consumer sleeps on one.
//! Each queue is retried independently of the others.

use std::time::Duration;

use diesel::sql_types::{BigInt, Binary, Double, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures::future::join_all;
use jaego_contracts::topology::Queue;
use jaego_pg::{Pool, StoreError};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::letter::storable;
use super::properties;
use super::{HandleError, Handled, Subscription};
use crate::dead_letters;
use crate::dead_letters::{DeadLetters, Death, NewDeadLetter, REDELIVERED_HEADER};

/// Polling interval, for messages that another replica has left; adding a message in this process notifies the loop.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause after a database error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Lease of a claimed message, seconds.
const CLAIM_S: i64 = 60;
/// Maximum messages of a queue that are retried concurrently.
const AT_ONCE: i64 = 4;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    message_id: String,
    #[diesel(sql_type = Jsonb)]
    headers: Value,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    /// Set for a redriven dead letter.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    dead_letter_id: Option<Uuid>,
}

#[derive(QueryableByName)]
struct Next {
    #[diesel(sql_type = Nullable<Double>)]
    in_s: Option<f64>,
}

/// Stores a message whose first attempt failed. If it is delivered again because its acknowledgement was lost, the
/// stored row and its number of attempts stay as they are.
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
    let identity = identity(queue, &message_id, body);
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

/// Identity of a message across deliveries: queue, id and body.
fn identity(queue: &Queue, message_id: &str, body: &[u8]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [queue.name, message_id] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.chain_update(body).finalize().to_vec()
}

pub(super) struct Retries<'a> {
    pub(super) pool: &'a Pool,
    pub(super) dead_letters: &'a DeadLetters,
    /// Delay before each attempt but the first.
    pub(super) delays: Vec<Duration>,
}

impl Retries<'_> {
    /// Retries due messages until `stop`. A queue whose handler hangs does not delay the others.
    pub(super) async fn run(&self, subscriptions: &[Subscription], stop: &CancellationToken) {
        join_all(subscriptions.iter().map(|subscription| self.run_queue(subscription, stop))).await;
    }

    async fn run_queue(&self, subscription: &Subscription, stop: &CancellationToken) {
        let mut signalled = self.dead_letters.retries();
        while !stop.is_cancelled() {
            signalled.mark_unchanged();
            let wait = match self.retry_some(subscription).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(queue = subscription.queue.name, %error, "cannot retry failed messages now");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = signalled.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Retries due messages; returns the wait until the next one is due.
    async fn retry_some(&self, subscription: &Subscription) -> Result<Duration, StoreError> {
        let claimed = claim(self.pool, subscription.queue).await?;
        if claimed.is_empty() {
            return next(self.pool, subscription.queue).await;
        }
        let tried = join_all(claimed.into_iter().map(|row| self.retry(subscription, row))).await;
        tried.into_iter().collect::<Result<(), _>>()?;
        Ok(Duration::ZERO)
    }

    async fn retry(&self, subscription: &Subscription, row: Row) -> Result<(), StoreError> {
        let (reason, error) = match subscription.handle(&row.body, row.dead_letter_id.is_some()).await {
            Ok(handled) => return self.finish(&row, handled).await,
            // The claim expires by itself, and the attempt is not counted.
            Err(HandleError::Store(error)) if error.is_unavailable() => return Err(error),
            // In the words of the first death, so that the letter stays in its group.
            Err(HandleError::Decode(error)) => (error.reason(), storable(error.text())),
            Err(error) => ("handler-failed", storable(&error.to_string())),
        };
        let attempts = row.attempts + 1;
        let delay = usize::try_from(row.attempts).ok().and_then(|index| self.delays.get(index));
        let delay = delay.filter(|_| reason == "handler-failed");
        // While the table of dead letters is full, retries go on.
        let delay = delay.or_else(|| self.delays.last().filter(|_| !self.dead_letters.has_room()));
        if let Some(delay) = delay {
            return postpone(self.pool, row.id, attempts, &error, *delay).await;
        }
        tracing::warn!(queue = subscription.queue.name, error, attempts, "dead-lettered");
        self.bury(subscription.queue, row, Death::new(reason, &error, attempts)).await
    }

    /// Deletes the message. A redriven dead letter becomes processed, unless the work that it started is still in
    /// progress.
    async fn finish(&self, row: &Row, handled: Handled) -> Result<(), StoreError> {
        let mut connection = self.pool.get().await?;
        connection
            .transaction(async |connection| {
                forget(connection, row.id).await?;
                match row.dead_letter_id.filter(|_| handled == Handled::Done) {
                    Some(letter) => dead_letters::processed(connection, letter).await,
                    None => Ok::<_, StoreError>(()),
                }
            })
            .await?;
        self.dead_letters.note_change();
        Ok(())
    }

    async fn bury(&self, queue: &Queue, row: Row, death: Death) -> Result<(), StoreError> {
        let mut connection = self.pool.get().await?;
        connection
            .transaction(async |connection| {
                forget(connection, row.id).await?;
                let is_redriven = row.dead_letter_id.is_some();
                let headers = row.headers.as_object().cloned().unwrap_or_default();
                dead_letters::keep(connection, letter(queue, row.message_id, headers, row.body, death, is_redriven))
                    .await
            })
            .await?;
        self.dead_letters.note_change();
        Ok(())
    }
}

/// Dead letter of a message that was delivered with these headers.
pub(super) fn letter(
    queue: &Queue,
    message_id: String,
    mut headers: Map<String, Value>,
    body: Vec<u8>,
    death: Death,
    is_redriven: bool,
) -> NewDeadLetter {
    let content_type = properties::take_content_type(&mut headers).unwrap_or_default();
    let is_redelivered = headers.contains_key(REDELIVERED_HEADER);
    NewDeadLetter { queue: queue.name, message_id, content_type, headers, body, death, is_redelivered, is_redriven }
}

async fn forget(connection: &mut diesel_async::AsyncPgConnection, id: i64) -> Result<(), StoreError> {
    sql_query("DELETE FROM message_retries WHERE id = $1").bind::<BigInt, _>(id).execute(connection).await?;
    Ok(())
}

async fn claim(pool: &Pool, queue: &Queue) -> Result<Vec<Row>, StoreError> {
    let mut connection = pool.get().await?;
    let rows = sql_query(
        "UPDATE message_retries SET next_attempt_at = now() + $1 * interval '1 second' WHERE id IN \
         (SELECT id FROM message_retries WHERE queue = $2 AND next_attempt_at <= now() \
          ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) \
         RETURNING id, message_id, headers, body, attempts, dead_letter_id",
    )
    .bind::<BigInt, _>(CLAIM_S)
    .bind::<Text, _>(queue.name)
    .bind::<BigInt, _>(AT_ONCE)
    .load(&mut connection)
    .await?;
    Ok(rows)
}

/// Time until the next message of the queue is due, `LOOK_EVERY` at most.
async fn next(pool: &Pool, queue: &Queue) -> Result<Duration, StoreError> {
    let mut connection = pool.get().await?;
    let next: Next = sql_query(
        "SELECT extract(epoch FROM min(next_attempt_at) - now())::float8 AS in_s FROM message_retries WHERE queue = $1",
    )
    .bind::<Text, _>(queue.name)
    .get_result(&mut connection)
    .await?;
    let due = next.in_s.and_then(|in_s| Duration::try_from_secs_f64(in_s.max(0.01)).ok());
    Ok(due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY))
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

fn milliseconds(delay: Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
