//! The outbox's rows, as the leader sees them.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text};
use futures::future::OptionFuture;
use futures::try_join;
use jaego_pg::{Pipeline, Pool, Statement, StatementSql, StoreError, within};
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
    /// Key by which events are held. `Read` builds the same key in SQL.
    pub(super) fn key(&self) -> String {
        Self::key_of(&self.exchange, &self.routing_key)
    }

    pub(super) fn key_of(exchange: &str, routing_key: &str) -> String {
        format!("{exchange}/{routing_key}")
    }
}

/// The record to write for an event that the broker confirmed or did not accept.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// The event is deleted.
    Published,
    /// The broker does not accept its key, for this reason. The event stays, and records the error for all events of
    /// the key.
    Held(String),
    /// The broker does not accept this event, for this reason. Its retry delay grows each time.
    Refused(String),
}

/// Forces index scans: a plan that was prepared while the outbox was empty would otherwise scan the whole table for
/// every window. A commit need not wait for the disk, either: if a crash of the database loses deletions, their
/// events are published again, which consumers tolerate anyway.
struct Prepare;
impl StatementSql for Prepare {
    const SQL: &'static str = "SELECT set_config('enable_seqscan', 'off', true), \
        set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), \
        set_config('synchronous_commit', 'off', true)";
}

/// Due events after an id, except those in flight and those of held keys; or only the due events of one held key. A row
/// that was committed late, with an id inside a window in flight, is read after that window has been settled.
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

/// Deletes published events. Records an error for the others, and a retry time for those refused individually.
struct Settle;
impl StatementSql for Settle {
    const SQL: &'static str = "WITH forgotten AS (DELETE FROM outbox WHERE id = ANY(?)) \
        UPDATE outbox SET last_error = failed.error, attempts = attempts + 1, \
            not_before = now() + failed.delay_ms * interval '1 millisecond' \
        FROM unnest(?, ?, ?) AS failed (id, error, delay_ms) WHERE outbox.id = failed.id";
}

/// Events to read.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) after: i64,
    /// Zero reads nothing.
    pub(super) limit: i64,
    /// First and last ids of the windows in flight.
    pub(super) in_flight: Vec<(i64, i64)>,
    /// Keys to leave out.
    pub(super) held: Vec<String>,
    /// If set, only events of this key are read.
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

/// Result of one round trip.
pub(super) struct Turn {
    pub(super) rows: Vec<Row>,
    /// None if no renewal was requested.
    pub(super) lease_is_ours: Option<bool>,
}

/// Longest wait for one round trip.
const LIMIT: Duration = Duration::from_secs(15);

/// Writes the fates of events in one transaction; reads the wanted events, and then renews the lease if `renewing` is
/// given, in another. A leader that freezes while it reads holds no row that the next leader needs.
pub(super) async fn turn<S: StatementSql>(
    pool: &Pool,
    settled: &[(Row, Fate)],
    wanted: Wanted,
    renewing: Option<Statement<S>>,
) -> Result<Turn, StoreError> {
    let turn = async {
        let transaction = Pipeline::new(pool.get().await?);
        let connection = transaction.connection();
        let (settles, reads) = (!settled.is_empty(), wanted.limit > 0);
        let reads_or_renews = reads || renewing.is_some();
        let prepare = || Statement::<Prepare>::new().run(connection);
        let (_, _, _, _, _, _, rows, renewed, _) = try_join!(
            maybe(settles.then(|| transaction.begin())),
            maybe(settles.then(prepare)),
            maybe(settles.then(|| settling(settled).run(connection))),
            maybe(settles.then(|| transaction.commit())),
            maybe(reads_or_renews.then(|| transaction.begin())),
            maybe(reads_or_renews.then(prepare)),
            maybe(reads.then(|| wanted.read(&transaction))),
            maybe(renewing.map(|renewing| renewing.run(connection))),
            maybe(reads_or_renews.then(|| transaction.commit())),
        )?;
        Ok(Turn { rows: rows.unwrap_or_default(), lease_is_ours: renewed.map(|rows| rows == 1) })
    };
    within(LIMIT, pool, turn).await
}

async fn maybe<T, E: Into<StoreError>>(
    statement: Option<impl Future<Output = Result<T, E>>>,
) -> Result<Option<T>, StoreError> {
    OptionFuture::from(statement).await.transpose().map_err(Into::into)
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

/// Retry delay: 100 ms, doubling up to 30 s.
fn delay_ms(attempts: i32) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 10) - 1).unwrap_or_default();
    (100_i64 << doublings).min(30_000)
}
