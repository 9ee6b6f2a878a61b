//! The outbox's rows, as the relay sees them: claimed by the window, settled by the turn.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Text};
use futures::join;
use serde_json::Value;

use super::publish::Outcome;
use crate::db::{Pipeline, Pool, Statement, StatementSql, StoreError};

/// What waits for a missing queue is tried again at least so often.
const HELD_DELAY_MS_MAX: i64 = 5_000;

#[derive(QueryableByName)]
pub(super) struct Row {
    /// Of the claim that it came with.
    #[diesel(sql_type = BigInt)]
    pub(super) claim_id: i64,
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

/// Plans are made for an outbox that is large, whatever it was when they were made: one that was prepared while
/// it was empty would read all of it, window by window. And a commit need not wait for the disk: what a crash of
/// the database forgets of claims and deletions is published again, which consumers bear anyway.
struct Prepare;
impl StatementSql for Prepare {
    const SQL: &'static str = "SELECT set_config('enable_seqscan', 'off', true), \
        set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), \
        set_config('synchronous_commit', 'off', true)";
}

/// Relays take turns at claiming, so that each sees what the one before has taken.
struct TakeTurns;
impl StatementSql for TakeTurns {
    const SQL: &'static str = "SELECT pg_advisory_xact_lock(hashtextextended('outbox claims', 0))";
}

/// A claim is a stretch of ids; rows that are in somebody else's are left alone until it is settled or over.
/// Rows that were committed late into a stretch are in nobody's window: they wait for its end, too.
struct Claim;
impl StatementSql for Claim {
    const SQL: &'static str = "WITH due AS MATERIALIZED ( \
            SELECT id, message_id, exchange, routing_key, content_type, headers, body, subscriber_required, attempts \
            FROM outbox WHERE id > ? AND not_before <= now() AND NOT id <@ (SELECT \
                coalesce(range_agg(int8range(first_id, last_id, '[]')), '{}') FROM outbox_claims WHERE until > now()) \
            ORDER BY id LIMIT ?), \
        claim AS (INSERT INTO outbox_claims (first_id, last_id, until) \
            SELECT min(id), max(id), now() + ? * interval '1 millisecond' FROM due HAVING count(*) > 0 \
            RETURNING id) \
        SELECT claim.id AS claim_id, due.* FROM claim, due";
}

/// Forgets what was confirmed, gives the rest a time for its next attempt, and ends the claims.
struct Settle;
impl StatementSql for Settle {
    const SQL: &'static str = "WITH forgotten AS (DELETE FROM outbox WHERE id = ANY(?)), \
        postponed AS (UPDATE outbox SET last_error = failed.error, attempts = attempts + 1, \
            not_before = now() + failed.delay_ms * interval '1 millisecond' \
            FROM unnest(?, ?, ?) AS failed (id, error, delay_ms) WHERE outbox.id = failed.id) \
        DELETE FROM outbox_claims WHERE id = ANY(?)";
}

struct ForgetClaims;
impl StatementSql for ForgetClaims {
    const SQL: &'static str = "DELETE FROM outbox_claims WHERE until <= now()";
}

/// Takes up to `limit` due rows above `after` for `claim_ms`, the first of them first.
pub(super) async fn claim(pool: &Pool, after: i64, limit: i64, claim_ms: u64) -> Result<Vec<Row>, StoreError> {
    let transaction = Pipeline::new(pool.get().await?);
    let connection = transaction.connection();
    let claim = Statement::<Claim>::new()
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(limit)
        .bind::<BigInt, _>(i64::try_from(claim_ms).unwrap_or(i64::MAX));
    let (begun, prepared, turn, claimed, committed) = join!(
        transaction.begin(),
        Statement::<Prepare>::new().run(connection),
        Statement::<TakeTurns>::new().run(connection),
        claim.load(connection),
        transaction.commit(),
    );
    begun?;
    prepared?;
    turn?;
    let mut rows: Vec<Row> = claimed?;
    committed?;
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}

/// How many rows were confirmed, and how many not.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Settled {
    pub(super) confirmed: u64,
    pub(super) failed: u64,
}

/// Writes down what became of rows, and ends their claims.
pub(super) async fn settle(pool: &Pool, rows: &[(Row, Outcome)]) -> Result<Settled, StoreError> {
    let (mut confirmed, mut claims) = (Vec::with_capacity(rows.len()), Vec::new());
    let (mut ids, mut errors, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    let mut settled = Settled::default();
    for (row, outcome) in rows {
        claims.push(row.claim_id);
        let (error, delay_ms) = match outcome {
            Outcome::Confirmed => {
                confirmed.push(row.id);
                continue;
            }
            Outcome::Refused(error) => (error, delay_ms(row.attempts + 1)),
            Outcome::Held(error) => (error, delay_ms(row.attempts + 1).min(HELD_DELAY_MS_MAX)),
            // Its turn is as soon as there is a link again: it is due, and only let go.
            Outcome::Unsent(_) => {
                settled.failed += 1;
                continue;
            }
        };
        ids.push(row.id);
        errors.push(error.clone());
        delays.push(delay_ms);
    }
    claims.sort_unstable();
    claims.dedup();
    settled.confirmed = confirmed.len() as u64;
    settled.failed += ids.len() as u64;
    let transaction = Pipeline::new(pool.get().await?);
    let connection = transaction.connection();
    let settle = Statement::<Settle>::new()
        .bind::<Array<BigInt>, _>(confirmed)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(errors)
        .bind::<Array<BigInt>, _>(delays)
        .bind::<Array<BigInt>, _>(claims);
    let (begun, prepared, written, committed) = join!(
        transaction.begin(),
        Statement::<Prepare>::new().run(connection),
        settle.run(connection),
        transaction.commit(),
    );
    begun?;
    prepared?;
    written?;
    committed?;
    Ok(settled)
}

/// Forgets claims that ran out, of relays that died.
pub(super) async fn forget_claims(pool: &Pool) -> Result<(), StoreError> {
    Statement::<ForgetClaims>::new().run(&*pool.get().await?).await?;
    Ok(())
}

/// 100 ms doubling to 30 s.
fn delay_ms(attempts: i32) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 10) - 1).unwrap_or_default();
    (100_i64 << doublings).min(30_000)
}
