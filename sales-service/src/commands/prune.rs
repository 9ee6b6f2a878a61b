//! The pruning job: deletes expired rows in small batches.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{Context, write};
use crate::settings::Retention;
use crate::store::{StoreError, retention};

/// Interval between two runs.
const EVERY: Duration = Duration::from_secs(3600);

pub async fn run(context: Context, settings: Retention, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match prune(&context, &settings).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "pruned refused orders and kept answers"),
            Err(error) => tracing::warn!(%error, "pruning was interrupted; it continues later"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Deletes expired refused orders and stored answers; returns their number. Each small batch is a transaction of its
/// own, so that no one waits long for its locks.
pub async fn prune(context: &Context, settings: &Retention) -> Result<usize, StoreError> {
    let before = |days: u32| -> DateTime<Utc> { write::now() - chrono::Duration::days(i64::from(days)) };
    let mut connection = context.pool.get().await?;
    let mut deleted = 0;
    loop {
        let count = retention::delete_kept_answers(&mut connection, before(settings.kept_answers_days)).await?;
        deleted += count;
        if count == 0 {
            break;
        }
    }
    if settings.refused_orders_days == 0 {
        return Ok(deleted);
    }
    loop {
        let count = retention::delete_refused_orders(
            &mut connection,
            before(settings.refused_orders_days),
            before(settings.kept_answers_days),
        )
        .await?;
        deleted += count;
        if count == 0 {
            return Ok(deleted);
        }
    }
}
