//! Periodically flags accepted requests that were not received in full in time, and announces them.

use std::collections::HashMap;
use std::time::Duration;

use diesel_async::AsyncConnection;
use jaego_contracts::ids::FactoryId;
use jaego_pg::StoreError;
use tokio_util::sync::CancellationToken;

use super::{Context, announce};
use crate::domain::Factory;
use crate::store::{factories, work};

/// Maximum requests per transaction.
const BATCH: i64 = 100;

/// Checks at once, then at the interval `every`, until `stop`.
pub async fn run(context: Context, every: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match mark_overdue(&context).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "accepted requests were not received in full in time"),
            Err(error) => tracing::warn!(%error, "cannot look for overdue requests; the next round tries again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Flags all requests that are overdue now; returns their number. Replicas share the work.
pub async fn mark_overdue(context: &Context) -> Result<usize, StoreError> {
    let mut total = 0;
    loop {
        let mut connection = context.pool.get().await?;
        let (found, flagged) = connection
            .transaction(async |connection| {
                let late = work::lock_late(connection, BATCH).await?;
                let names: Vec<&str> = late.iter().map(|stored| stored.state.factory_id.as_str()).collect();
                let known = if names.is_empty() { Vec::new() } else { factories::find_all(connection, &names).await? };
                let known: HashMap<FactoryId, Factory> =
                    known.into_iter().map(|factory| (factory.id.clone(), factory)).collect();
                let mut flagged = 0;
                for stored in &late {
                    let Some(factory) = known.get(&stored.state.factory_id) else { continue };
                    let Some(change) = stored.state.be_late(factory.overdue_after()) else { continue };
                    announce::save(connection, stored, &change, announce::trace_of(stored), "").await?;
                    flagged += 1;
                }
                Ok::<_, StoreError>((late.len(), flagged))
            })
            .await?;
        if flagged > 0 {
            context.wake_after_commit();
        }
        total += flagged;
        if flagged == 0 || i64::try_from(found).is_ok_and(|found| found < BATCH) {
            return Ok(total);
        }
    }
}
