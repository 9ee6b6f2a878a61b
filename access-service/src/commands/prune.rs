//! Deletes sessions and tokens that ended long ago.

use std::time::Duration;

use jaego_pg::StoreError;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::store;

const EVERY: Duration = Duration::from_secs(3600);
/// Rows deleted by one statement, so that none takes long.
const ROWS_MAX: i32 = 1000;

/// Deletes what ended `days` ago, once an hour.
pub(crate) async fn run(context: Context, days: i32, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match prune(&context, days).await {
            // There may be more.
            Ok(deleted) if deleted > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "ended sessions and tokens cannot be deleted now"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn prune(context: &Context, days: i32) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let tokens = store::tokens::prune(&mut connection, days, ROWS_MAX).await?;
    Ok(tokens + store::sessions::prune(&mut connection, days, ROWS_MAX).await?)
}
