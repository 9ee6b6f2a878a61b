//! The periodic sweep: asks the policy of every product whose position is low, to catch what
//! events missed, and what a pause held back.

use std::time::Duration;

use diesel_async::AsyncConnection;
use shared::ids::Sku;
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
        connection.transaction(async |connection| evaluate(connection, &sku).await).await?;
        context.outbox.wake();
    }
    Ok(count)
}

async fn evaluate(connection: &mut diesel_async::AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    let now = write::now();
    let Some(mut shelf) = write::lock_shelf(connection, sku, now).await? else { return Ok(()) };
    let before = shelf.open_replenishments.len();
    let events = write::settle_shelf(connection, sku, &mut shelf, now, TraceContext::new_root()).await?;
    // Nobody needs to hear of figures that did not change.
    if shelf.open_replenishments.len() > before {
        outbox::append(connection, events).await?;
    }
    Ok(())
}
