//! The outbox's rows, as the leader sees them.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text};
use futures::future::OptionFuture;
use futures::join;
use jaego_pg::{Pipeline, Pool, Statement, StatementSql, StoreError};
use serde_json::Value;

#[derive(Debug, QueryableByName)]
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

impl Row {
    /// What is held together; the same in SQL.
    pub(super) fn key(&self) -> String {
        Self::key_of(&self.exchange, &self.routing_key)
    }

    pub(super) fn key_of(exchange: &str, routing_key: &str) -> String {
        format!("{exchange}/{routing_key}")
    }
}

/// What is to be written of an event that was tried.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is forgotten.
    Published,
    /// Its key is not taken, for this reason: it stays, for all of them.
    Held(String),
    /// The broker does not want this one, for this reason: it waits longer each time.
    Refused(String),
}

/// Plans are made for an outbox that is large, whatever it was when they were made: one that was prepared while
/// it was empty would read all of it, window by window. And a commit need not wait for the disk: what a crash of
/// the database forgets of deletions is published again, which consumers bear anyway.
struct Prepare;
impl StatementSql for Prepare {
    const SQL: &'static str = "SELECT set_config('enable_seqscan', 'off', true), \
        set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), \
        set_config('synchronous_commit', 'off', true)";
}

/// What is due behind an id, without what is on its way (a row that was committed late between two of those waits for
/// them) and what is held; or of one held key alone.
struct Read;
impl StatementSql for Read {
    const SQL: &'static str = "SELECT \
        id, message_id, exchange, routing_key, content_type, headers, body, subscriber_required, attempts \
        FROM outbox WHERE id > ? AND not_before <= now() \
        AND NOT EXISTS (SELECT FROM unnest(?, ?) AS sent (first_id, last_id) WHERE id BETWEEN first_id AND last_id) \
        AND CASE WHEN ?::text IS NULL THEN exchange || '/' || routing_key <> ALL (?) \
            ELSE exchange || '/' || routing_key = ? END \
        ORDER BY id LIMIT ?";
}

/// Forgets what was published, and gives what was not an error, and a time if it is to wait by itself.
struct Settle;
impl StatementSql for Settle {
    const SQL: &'static str = "WITH forgotten AS (DELETE FROM outbox WHERE id = ANY(?)) \
        UPDATE outbox SET last_error = failed.error, attempts = attempts + 1, \
            not_before = now() + failed.delay_ms * interval '1 millisecond' \
        FROM unnest(?, ?, ?) AS failed (id, error, delay_ms) WHERE outbox.id = failed.id";
}

/// What is to be read.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) after: i64,
    /// Nothing when it is zero.
    pub(super) limit: i64,
    /// First and last ids of what is on its way.
    pub(super) in_flight: Vec<(i64, i64)>,
    /// Keys that are left out.
    pub(super) held: Vec<String>,
    /// Only of this key.
    pub(super) probed: Option<String>,
}

impl Wanted {
    async fn read(self, transaction: &Pipeline) -> Result<Vec<Row>, StoreError> {
        let (first_ids, last_ids): (Vec<i64>, Vec<i64>) = self.in_flight.into_iter().unzip();
        let read = Statement::<Read>::new()
            .bind::<BigInt, _>(self.after)
            .bind::<Array<BigInt>, _>(first_ids)
            .bind::<Array<BigInt>, _>(last_ids)
            .bind::<Nullable<Text>, _>(self.probed.clone())
            .bind::<Array<Text>, _>(self.held)
            .bind::<Nullable<Text>, _>(self.probed)
            .bind::<BigInt, _>(self.limit);
        Ok(read.load(transaction.connection()).await?)
    }
}

/// What one round trip did.
pub(super) struct Turn {
    pub(super) rows: Vec<Row>,
    /// None when it was not asked.
    pub(super) lease_is_ours: Option<bool>,
}

/// Writes what became of events, reads the wanted ones, and renews the lease if that is to be done.
pub(super) async fn turn<S: StatementSql>(
    pool: &Pool,
    settled: &[(Row, Fate)],
    wanted: Wanted,
    renewing: Option<Statement<S>>,
) -> Result<Turn, StoreError> {
    let transaction = Pipeline::new(pool.get().await?);
    let connection = transaction.connection();
    let settling = (!settled.is_empty()).then(|| settling(settled).run(connection));
    let reading = (wanted.limit > 0).then(|| wanted.read(&transaction));
    let (begun, prepared, renewed, written, read, committed) = join!(
        transaction.begin(),
        Statement::<Prepare>::new().run(connection),
        OptionFuture::from(renewing.map(|renewing| renewing.run(connection))),
        OptionFuture::from(settling),
        OptionFuture::from(reading),
        transaction.commit(),
    );
    begun?;
    prepared?;
    let renewed = renewed.transpose()?;
    written.transpose()?;
    let rows = read.transpose()?.unwrap_or_default();
    committed?;
    Ok(Turn { rows, lease_is_ours: renewed.map(|rows| rows == 1) })
}

fn settling(settled: &[(Row, Fate)]) -> Statement<Settle> {
    let mut published = Vec::with_capacity(settled.len());
    let (mut ids, mut errors, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for (row, fate) in settled {
        let (error, delay_ms) = match fate {
            Fate::Published => {
                published.push(row.id);
                continue;
            }
            Fate::Held(error) => (error, 0),
            Fate::Refused(error) => (error, delay_ms(row.attempts + 1)),
        };
        ids.push(row.id);
        errors.push(error.clone());
        delays.push(delay_ms);
    }
    Statement::<Settle>::new()
        .bind::<Array<BigInt>, _>(published)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(errors)
        .bind::<Array<BigInt>, _>(delays)
}

/// 100 ms doubling to 30 s.
fn delay_ms(attempts: i32) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 10) - 1).unwrap_or_default();
    (100_i64 << doublings).min(30_000)
}
