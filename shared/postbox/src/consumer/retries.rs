//! Failed messages and redriven dead letters wait in PostgreSQL for their next attempt, so no consumer sleeps on one.
//! Each queue is retried independently of the others.
//!
//! A claim is known by the time at which it ends. A process that has been frozen for longer has lost it: it changes
//! nothing, because another one may have settled the message in the meantime.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures::future::join_all;
use jaego_contracts::topology::Queue;
use jaego_pg::{Pool, StoreError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lanes::{Attempted, Incoming, Lanes};
use super::subscription::{Failure, Handled, Subscription};
use crate::dead_letters;
use crate::dead_letters::{DeadLetters, Death};
use crate::message::Message;

/// Polling interval, for messages that another replica has left; adding a message in this process notifies the loop.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause after a database error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Duration of a claim, seconds.
const CLAIM_S: i64 = 60;
/// Maximum messages of a queue that are claimed.
const ROOM: usize = 64;

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
    #[diesel(sql_type = Timestamptz, column_name = next_attempt_at)]
    claimed_until: DateTime<Utc>,
    /// Set for a redriven dead letter.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    dead_letter_id: Option<Uuid>,
}

impl Incoming for Row {
    fn body(&self) -> &[u8] {
        &self.body
    }

    fn is_redriven(&self) -> bool {
        self.dead_letter_id.is_some()
    }
}

/// The next attempt at a message.
struct Next {
    row: Row,
    /// None if the last attempt was not made.
    error: Option<String>,
    delay: Duration,
}

/// Stores messages whose first attempt failed, each with its error. If one is delivered again because its
/// acknowledgement was lost, the stored row and its number of attempts stay as they are.
pub(super) async fn park(
    pool: &Pool,
    queue: &Queue,
    failed: &[(Message, String)],
    delay: Duration,
) -> Result<(), StoreError> {
    let mut connection = pool.get().await?;
    let messages = || failed.iter().map(|(message, _)| message);
    sql_query(
        "INSERT INTO message_retries \
         (queue, message_id, headers, body, attempts, next_attempt_at, last_error, identity) \
         SELECT $1, message_id, headers, body, 1, now() + $2 * interval '1 millisecond', error, identity \
         FROM unnest($3, $4, $5, $6, $7) AS failed (message_id, headers, body, error, identity) \
         ON CONFLICT (identity) DO NOTHING",
    )
    .bind::<Text, _>(queue.name)
    .bind::<BigInt, _>(milliseconds(delay))
    .bind::<Array<Text>, _>(messages().map(|message| &message.id).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(messages().map(|message| Value::Object(message.headers.clone())).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(messages().map(|message| &message.body).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(failed.iter().map(|(_, error)| error).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(messages().map(|message| identity(queue, message)).collect::<Vec<_>>())
    .execute(&mut connection)
    .await?;
    Ok(())
}

/// Identity of a message across deliveries: queue, id and body.
fn identity(queue: &Queue, message: &Message) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [queue.name, &message.id] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.chain_update(&message.body).finalize().to_vec()
}

pub(super) struct Retries<'a> {
    pub(super) pool: &'a Pool,
    pub(super) dead_letters: &'a DeadLetters,
    /// Delay before each attempt but the first (`amqp.retry_delays_ms`); a message is given up after the last.
    pub(super) delays: Vec<Duration>,
}

impl Retries<'_> {
    /// Retries due messages until `stop`. A queue whose handler hangs does not delay the others.
    pub(super) async fn run(&self, subscriptions: &[Subscription], stop: &CancellationToken) {
        join_all(subscriptions.iter().map(|subscription| self.run_queue(subscription, stop))).await;
    }

    async fn run_queue(&self, subscription: &Subscription, stop: &CancellationToken) {
        let queue = subscription.queue;
        let mut signalled = self.dead_letters.retries();
        let mut lanes = Lanes::new(subscription, ROOM, stop);
        let mut look_at = Instant::now();
        loop {
            let settled = tokio::select! {
                () = stop.cancelled() => break,
                attempted = lanes.next() => {
                    look_at = Instant::now();
                    self.settle(queue, attempted).await
                }
                _ = signalled.changed() => {
                    look_at = Instant::now();
                    Ok(())
                }
                () = sleep_until(look_at), if lanes.free() > 0 => self.look(queue, &mut lanes, &mut look_at).await,
            };
            if let Err(error) = settled {
                tracing::warn!(queue = queue.name, %error, "cannot retry failed messages now");
                look_at = Instant::now() + AFTER_ERROR;
            }
        }
        let mut left = lanes.take_waiting();
        while !lanes.is_empty() {
            left.extend(lanes.next().await);
        }
        if let Err(error) = self.settle(queue, left).await {
            tracing::warn!(queue = queue.name, %error, "retries go on when their claims have ended");
        }
    }

    /// Claims messages that are due; if there is none, `look_at` becomes the time when the next one is.
    async fn look(&self, queue: &Queue, lanes: &mut Lanes<'_, Row>, look_at: &mut Instant) -> Result<(), StoreError> {
        let claimed = claim(self.pool, queue, lanes.free()).await?;
        if claimed.is_empty() {
            *look_at = Instant::now() + next_due(self.pool, queue).await?;
        }
        self.finish(lanes.add(claimed).await).await
    }

    /// Records the results of attempts.
    async fn settle(&self, queue: &'static Queue, attempted: Vec<Attempted<Row>>) -> Result<(), StoreError> {
        let (mut handled, mut next) = (Vec::new(), Vec::new());
        for (row, result) in attempted {
            let delay = usize::try_from(row.attempts).ok().and_then(|index| self.delays.get(index));
            // While the table of dead letters is full, retries go on.
            let longest = || self.delays.last();
            match result {
                Some(Ok(done)) => handled.push((row, done)),
                Some(Err(failure)) => {
                    let delay = delay.filter(|_| !failure.is_final());
                    match delay.or_else(|| longest().filter(|_| !self.dead_letters.has_room())) {
                        Some(delay) => next.push(Next { error: Some(failure.error), delay: *delay, row }),
                        None => self.bury(queue, row, failure).await?,
                    }
                }
                // It was not attempted, so it does not wait longer each time.
                None => {
                    let delay = self.delays.iter().copied().next().unwrap_or_default();
                    next.push(Next { error: None, delay, row });
                }
            }
        }
        self.finish(handled).await?;
        postpone(self.pool, next).await
    }

    /// Deletes messages. A redriven dead letter becomes processed, unless the work that it started is still in
    /// progress.
    async fn finish(&self, handled: Vec<(Row, Handled)>) -> Result<(), StoreError> {
        if handled.is_empty() {
            return Ok(());
        }
        let mut connection = self.pool.get().await?;
        connection
            .transaction(async |connection| {
                let own = forget(connection, handled.iter().map(|(row, _)| row)).await?;
                let done = handled.iter().filter(|(row, done)| *done == Handled::Done && own.contains(&row.id));
                let letters = done.filter_map(|(row, _)| row.dead_letter_id).collect();
                dead_letters::processed(connection, letters).await
            })
            .await?;
        self.dead_letters.note_change();
        Ok(())
    }

    async fn bury(&self, queue: &'static Queue, row: Row, failure: Failure) -> Result<(), StoreError> {
        let death = Death::new(failure.reason, &failure.error, row.attempts + 1);
        tracing::warn!(queue = queue.name, error = death.error, attempts = death.attempts, "dead-lettered");
        let mut connection = self.pool.get().await?;
        connection
            .transaction(async |connection| {
                if forget(connection, [&row]).await?.is_empty() {
                    return Ok(());
                }
                let is_redriven = row.is_redriven();
                let headers = row.headers.as_object().cloned().unwrap_or_default();
                let message = Message { id: row.message_id, headers, body: row.body };
                dead_letters::keep(connection, queue, message, death, is_redriven).await
            })
            .await?;
        self.dead_letters.note_change();
        Ok(())
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Deletes messages whose claims are still this process's; returns their ids.
async fn forget(
    connection: &mut AsyncPgConnection,
    rows: impl IntoIterator<Item = &Row> + Clone,
) -> Result<Vec<i64>, StoreError> {
    let deleted: Vec<Id> = sql_query(
        "DELETE FROM message_retries USING unnest($1, $2) AS own (id, claimed_until) \
         WHERE message_retries.id = own.id AND next_attempt_at = claimed_until RETURNING message_retries.id",
    )
    .bind::<Array<BigInt>, _>(rows.clone().into_iter().map(|row| row.id).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows.into_iter().map(|row| row.claimed_until).collect::<Vec<_>>())
    .load(connection)
    .await?;
    Ok(deleted.into_iter().map(|row| row.id).collect())
}

async fn claim(pool: &Pool, queue: &Queue, limit: usize) -> Result<Vec<Row>, StoreError> {
    let mut connection = pool.get().await?;
    let mut rows: Vec<Row> = sql_query(
        "UPDATE message_retries SET next_attempt_at = now() + $1 * interval '1 second' WHERE id IN \
         (SELECT id FROM message_retries WHERE queue = $2 AND next_attempt_at <= now() \
          ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) \
         RETURNING id, message_id, headers, body, attempts, next_attempt_at, dead_letter_id",
    )
    .bind::<BigInt, _>(CLAIM_S)
    .bind::<Text, _>(queue.name)
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .load(&mut connection)
    .await?;
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

/// Time until the next message of the queue is due, `LOOK_EVERY` at most.
async fn next_due(pool: &Pool, queue: &Queue) -> Result<Duration, StoreError> {
    #[derive(QueryableByName)]
    struct Due {
        #[diesel(sql_type = Nullable<Double>)]
        in_s: Option<f64>,
    }
    let mut connection = pool.get().await?;
    let due: Due = sql_query(
        "SELECT extract(epoch FROM min(next_attempt_at) - now())::float8 AS in_s FROM message_retries WHERE queue = $1",
    )
    .bind::<Text, _>(queue.name)
    .get_result(&mut connection)
    .await?;
    let due = due.in_s.and_then(|in_s| Duration::try_from_secs_f64(in_s.max(0.01)).ok());
    Ok(due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY))
}

/// Ends claims.
async fn postpone(pool: &Pool, next: Vec<Next>) -> Result<(), StoreError> {
    if next.is_empty() {
        return Ok(());
    }
    let mut connection = pool.get().await?;
    sql_query(
        "UPDATE message_retries SET attempts = attempts + (error IS NOT NULL)::integer, \
         last_error = coalesce(error, last_error), next_attempt_at = now() + delay * interval '1 millisecond' \
         FROM unnest($1, $2, $3, $4) AS own (id, claimed_until, error, delay) \
         WHERE message_retries.id = own.id AND next_attempt_at = claimed_until",
    )
    .bind::<Array<BigInt>, _>(next.iter().map(|next| next.row.id).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(next.iter().map(|next| next.row.claimed_until).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(next.iter().map(|next| next.error.as_deref()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(next.iter().map(|next| milliseconds(next.delay)).collect::<Vec<_>>())
    .execute(&mut connection)
    .await?;
    Ok(())
}

fn milliseconds(delay: Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
