//! Number of events that wait in the outbox, for its bound and for the gauges.
//!
//! Events are counted soon after this process has written some, and at long intervals otherwise. Counting a million
//! rows takes a third of a second, so the interval grows with the duration of a count: the bound may be exceeded by
//! the events that are written in that time.

use std::time::{Duration, Instant};

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Double};
use jaego_pg::{Pool, Statement, StatementSql, StoreError};
use opentelemetry::metrics::Gauge;
use tokio_util::sync::CancellationToken;

use crate::outbox::Outbox;

/// Interval between counts while events wait, and while there are none.
const COUNT_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Counts take at most one part in this many of one connection's time.
const COUNT_SHARE: u32 = 10;

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = Double)]
    oldest_s: f64,
}

struct Count;
impl StatementSql for Count {
    const SQL: &'static str = "SELECT (SELECT count(*) FROM outbox) AS pending, \
        coalesce((SELECT extract(epoch FROM now() - created_at) FROM outbox ORDER BY id LIMIT 1), 0)::float8 AS oldest_s";
}

/// Keeps the outbox's pending count and gauges up to date.
pub(super) struct Backlog<'a> {
    pool: &'a Pool,
    outbox: &'a Outbox,
    pending: Gauge<i64>,
    oldest_s: Gauge<f64>,
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
        Self { pool, outbox, pending, oldest_s }
    }

    /// Runs until `stop`, even without a broker, because the bound must hold.
    pub(super) async fn run(self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let begun = Instant::now();
            // Others report that the database is unavailable.
            let waiting = self.count().await.unwrap_or(1);
            let pause = COUNT_EVERY.max(begun.elapsed() * COUNT_SHARE);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(if waiting == 0 { LOOK_EVERY } else { pause }) => {}
                () = async {
                    self.outbox.written().await;
                    tokio::time::sleep(pause).await;
                } => {}
            }
        }
    }

    async fn count(&self) -> Result<i64, StoreError> {
        let connection = self.pool.get().await?;
        let counted: Vec<Counted> = Statement::<Count>::new().load(&connection).await?;
        let Counted { pending, oldest_s } =
            counted.into_iter().next().ok_or(StoreError::Query(diesel::result::Error::NotFound))?;
        self.outbox.set_pending(pending);
        self.pending.record(pending, &[]);
        self.oldest_s.record(oldest_s, &[]);
        Ok(pending)
    }
}
