//! The periodic sweep: asks the policy of every product whose position is low, to catch what
//! events missed, and what a pause held back.

use std::time::Duration;

use diesel_async::AsyncConnection;
use shared::ids::{RequestId, Sku};
use shared::outbox;
use shared::trace::TraceContext;
use tokio_util::sync::CancellationToken;

use super::{Context, write};
use crate::store::{StoreError, stock};

/// Sweeps every `every` until `stop`.
pub async fn run(context: Context, every: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if let Err(error) = sweep(&context).await {
            tracing::warn!(%error, "the sweep was broken off; the next one goes on");
        }
    }
}

/// One sweep; each product in a transaction of its own. Answers how many were looked at.
pub async fn sweep(context: &Context) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let low = stock::low(&mut connection, write::now()).await?;
    let count = low.len();
    for sku in low {
        let evaluated = connection.transaction(async |connection| evaluate(connection, &sku).await).await;
        match evaluated {
            Ok(()) => context.outbox.wake(),
            Err(error) if error.is_unavailable() => return Err(error),
            // One that cannot be asked must not keep the others from being asked.
            Err(error) => tracing::error!(%sku, %error, "the policy of this product cannot be asked"),
        }
    }
    Ok(count)
}

async fn evaluate(connection: &mut diesel_async::AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    let now = write::now();
    let Some(mut shelf) = write::lock_shelf(connection, sku, now).await? else { return Ok(()) };
    // Figures that do not change are not written, and nobody needs to hear of them.
    if shelf.clone().replenish(sku, false, &mut RequestId::generate).is_none() {
        return Ok(());
    }
    let events = write::settle_shelf(connection, sku, &mut shelf, now, TraceContext::new_root()).await?;
    outbox::append(connection, events).await
}
