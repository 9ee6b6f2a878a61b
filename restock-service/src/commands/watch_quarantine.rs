//! Measures how much waits in the quarantine, as a metric for alarms.

use std::time::Duration;

use jaego_pg::{Pool, StoreError};
use opentelemetry::metrics::Meter;
use tokio_util::sync::CancellationToken;

use crate::store;

/// Interval between two counts.
const EVERY: Duration = Duration::from_secs(15);

pub(crate) async fn watch_quarantine(pool: Pool, meter: Meter, stop: CancellationToken) {
    let waiting = meter
        .i64_gauge("jaego_quarantine_waiting")
        .with_description("Deliveries in quarantine that wait for an operator")
        .build();
    while !stop.is_cancelled() {
        match count(&pool).await {
            Ok(count) => waiting.record(count, &[]),
            Err(error) => tracing::warn!(%error, "the quarantine could not be counted"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn count(pool: &Pool) -> Result<i64, StoreError> {
    store::quarantine::count_waiting(&*pool.get().await?).await
}
