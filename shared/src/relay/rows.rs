//! The outbox's rows, as the relay sees them.

use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::publish::Outcome;
use crate::db::{Pool, Statement, StatementSql, StoreError};

/// What waits for a missing queue is tried again at least so often.
const HELD_DELAY_MS_MAX: i64 = 5_000;

#[derive(QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = Text)]
    pub(super) message_id: String,
    #[diesel(sql_type = Text)]
    pub(super) exchange: String,
    #[diesel(sql_type = Text)]
    pub(super) routing_key: String,
    #[diesel(sql_type = Text)]
    pub(super) content_type: String,
    #[diesel(sql_type = Jsonb)]
    pub(super) headers: Value,
    #[diesel(sql_type = Binary)]
    pub(super) body: Vec<u8>,
    #[diesel(sql_type = Bool)]
    pub(super) subscriber_required: bool,
    #[diesel(sql_type = Integer)]
    pub(super) attempts: i32,
}

#[derive(QueryableByName)]
pub(super) struct Backlog {
    #[diesel(sql_type = BigInt)]
    pub(super) pending: i64,
    #[diesel(sql_type = diesel::sql_types::Double)]
    pub(super) oldest_s: f64,
}

struct DeleteConfirmed;
impl StatementSql for DeleteConfirmed {
    const SQL: &'static str = "DELETE FROM outbox WHERE id = ANY(?)";
}

struct PostponeFailed;
impl StatementSql for PostponeFailed {
    const SQL: &'static str = "UPDATE outbox SET last_error = failed.error, \
        not_before = now() + failed.delay_ms * interval '1 millisecond' \
        FROM unnest(?, ?, ?) AS failed (id, error, delay_ms) WHERE outbox.id = failed.id";
}

/// Takes up to `limit` due rows for `claim_ms`.
pub(super) async fn claim(pool: &Pool, limit: i64, claim_ms: u64) -> Result<Vec<Row>, StoreError> {
    let mut connection = pool.get().await?;
    let mut rows: Vec<Row> = sql_query(
        "UPDATE outbox SET not_before = now() + $1 * interval '1 millisecond', attempts = attempts + 1 \
         WHERE id IN (SELECT id FROM outbox WHERE not_before <= now() ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING id, message_id, exchange, routing_key, content_type, headers, body, subscriber_required, attempts",
    )
    .bind::<BigInt, _>(i64::try_from(claim_ms).unwrap_or(i64::MAX))
    .bind::<BigInt, _>(limit)
    .load(&mut connection)
    .await?;
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}

/// Forgets what was confirmed, and gives the rest a time for its next attempt. Answers how many were
/// confirmed, and how many not.
pub(super) async fn settle(pool: &Pool, rows: &[Row], outcomes: &[Outcome]) -> Result<(u64, u64), StoreError> {
    let mut confirmed = Vec::new();
    let (mut ids, mut errors, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for (row, outcome) in rows.iter().zip(outcomes) {
        let (error, delay_ms) = match outcome {
            Outcome::Confirmed => {
                confirmed.push(row.id);
                continue;
            }
            Outcome::Refused(error) => (error, delay_ms(row.attempts)),
            Outcome::Held(error) => (error, delay_ms(row.attempts).min(HELD_DELAY_MS_MAX)),
            // Its turn is as soon as there is a link again.
            Outcome::Unsent(error) => (error, 0),
        };
        ids.push(row.id);
        errors.push(error.clone());
        delays.push(delay_ms);
    }
    let counts = (confirmed.len() as u64, ids.len() as u64);
    let mut connection = pool.get().await?;
    if !confirmed.is_empty() {
        Statement::<DeleteConfirmed>::new().bind::<Array<BigInt>, _>(confirmed).run(&mut connection).await?;
    }
    if !ids.is_empty() {
        Statement::<PostponeFailed>::new()
            .bind::<Array<BigInt>, _>(ids)
            .bind::<Array<Text>, _>(errors)
            .bind::<Array<BigInt>, _>(delays)
            .run(&mut connection)
            .await?;
    }
    Ok(counts)
}

/// All that waits.
pub(super) async fn backlog(pool: &Pool) -> Result<Backlog, StoreError> {
    let mut connection = pool.get().await?;
    let query = "SELECT count(*) AS pending, \
                 coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_s FROM outbox";
    Ok(sql_query(query).get_result(&mut connection).await?)
}

/// 100 ms doubling to 30 s.
fn delay_ms(attempts: i32) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 10) - 1).unwrap_or_default();
    (100_i64 << doublings).min(30_000)
}
