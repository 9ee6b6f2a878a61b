//! How much waits in the outbox, for its bound and for the gauges.
//!
//! Counting a million rows takes a third of a second, and the bound is needed each second. So a full count is made as
//! rarely as it is slow, and between two of them what was written since is added (the sequence of the ids tells) and
//! what this process has published is taken off. What other replicas have published in that time is not: the bound may
//! come a little early, and never late.

use std::time::{Duration, Instant};

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Double};
use opentelemetry::metrics::Gauge;
use tokio_util::sync::CancellationToken;

use super::rows;
use crate::db::{Pool, Statement, StatementSql, StoreError};
use crate::outbox::Outbox;

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Full counts may take one part in so many of the time of one connection.
const COUNT_SHARE: u32 = 50;

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    /// The highest id that was ever given out.
    #[diesel(sql_type = BigInt)]
    given_out: i64,
    #[diesel(sql_type = Double)]
    oldest_s: f64,
}

struct Count;
impl StatementSql for Count {
    const SQL: &'static str = "SELECT (SELECT count(*) FROM outbox) AS pending, \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox', 'id')::regclass), 0) AS given_out, \
        coalesce((SELECT extract(epoch FROM now() - created_at) FROM outbox ORDER BY id LIMIT 1), 0)::float8 AS oldest_s";
}

struct Glance;
impl StatementSql for Glance {
    const SQL: &'static str = "SELECT 0::bigint AS pending, \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox', 'id')::regclass), 0) AS given_out, \
        coalesce((SELECT extract(epoch FROM now() - created_at) FROM outbox ORDER BY id LIMIT 1), 0)::float8 AS oldest_s";
}

/// Keeps the outbox's figures until `stop`.
pub(super) struct Backlog<'a> {
    pool: &'a Pool,
    outbox: &'a Outbox,
    pending: Gauge<i64>,
    oldest_s: Gauge<f64>,
    /// At the last full count: what waited, the ids given out, what this process had published.
    base: (i64, i64, i64),
    count_at: Instant,
}

impl<'a> Backlog<'a> {
    pub(super) fn new(pool: &'a Pool, outbox: &'a Outbox) -> Self {
        let meter = opentelemetry::global::meter("jaego");
        let pending =
            meter.i64_gauge("jaego_outbox_pending").with_description("Messages waiting for the broker").build();
        let oldest_s = meter
            .f64_gauge("jaego_outbox_oldest_seconds")
            .with_description("Age of the oldest waiting message")
            .build();
        Self { pool, outbox, pending, oldest_s, base: (0, 0, 0), count_at: Instant::now() }
    }

    /// Tells it each second. Without a broker, too: the bound must hold.
    pub(super) async fn run(mut self, published: impl Fn() -> i64, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            // A database that is away is told by others.
            self.tell(&published).await.ok();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(TELL_EVERY) => {}
            }
        }
    }

    async fn tell(&mut self, published: &impl Fn() -> i64) -> Result<(), StoreError> {
        let begun = Instant::now();
        let (pending, oldest_s) = if begun >= self.count_at {
            let counted = self.ask::<Count>().await?;
            // Read after it: what was deleted meanwhile is still in the count, and not taken off.
            self.base = (counted.pending, counted.given_out, published());
            self.count_at = begun + begun.elapsed() * COUNT_SHARE;
            rows::forget_claims(self.pool).await?;
            (counted.pending, counted.oldest_s)
        } else {
            let glanced = self.ask::<Glance>().await?;
            let (pending, given_out, published_then) = self.base;
            let estimated = pending + (glanced.given_out - given_out) - (published() - published_then);
            (estimated.max(0), glanced.oldest_s)
        };
        self.outbox.set_pending(pending);
        self.pending.record(pending, &[]);
        self.oldest_s.record(oldest_s, &[]);
        Ok(())
    }

    async fn ask<S: StatementSql>(&self) -> Result<Counted, StoreError> {
        let connection = self.pool.get().await?;
        let counted: Vec<Counted> = Statement::<S>::new().load(&connection).await?;
        counted.into_iter().next().ok_or(StoreError::Query(diesel::result::Error::NotFound))
    }
}
