//! The periodic sweep: asks the policy of every product whose position is low, to catch what
//! events missed, and what a pause held back; and asks again for what nothing was heard of.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::{RequestId, Sku};
use jaego_contracts::trace::TraceContext;
use jaego_postbox::outbox;
use tokio_util::sync::CancellationToken;

use super::ask_again::ask_again;
use super::stock_change::StockChange;
use super::{Context, write};
use crate::domain::shelf::Shelf;
use crate::store::{StoreError, shelves, stock};

/// Sweeps every `every` until `stop`; what was ordered and not heard of for `ask_after` is ordered again.
pub async fn run(context: Context, every: Duration, ask_after: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if let Err(error) = sweep(&context).await {
            tracing::warn!(%error, "the sweep was broken off; the next one goes on");
        }
        match ask_again(&context, ask_after).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "nothing was heard of replenishments; they were asked for again"),
            Err(error) => tracing::warn!(%error, "replenishments cannot be asked for again now"),
        }
    }
}

/// One sweep; each product in a transaction of its own. Answers how many were looked at.
pub async fn sweep(context: &Context) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let low = stock::low(&mut connection, write::now()).await?;
    let count = low.len();
    let low: BTreeSet<Sku> = low.into_iter().collect();
    // Nobody waits here for a product that something else holds: the next sweep asks.
    let held = shelves::held(&connection, &low).await?;
    for sku in low.difference(&held) {
        let evaluated = connection.transaction(async |connection| evaluate(context, connection, sku).await).await;
        match evaluated {
            Ok(()) => context.outbox.wake(),
            Err(error) if error.is_unavailable() => return Err(error),
            // One that cannot be asked must not keep the others from being asked.
            Err(error) => tracing::error!(%sku, %error, "the policy of this product cannot be asked"),
        }
    }
    Ok(count)
}

async fn evaluate(context: &Context, connection: &mut AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    let Some(mut change) = StockChange::lock_one(connection, sku).await? else { return Ok(()) };
    let (limits, now) = (context.limits, shelves::moment(change.at));
    let asks = |shelf: &Shelf| !shelf.clone().replenish(sku, false, limits, now, &mut RequestId::generate).is_empty();
    // Figures that do not change are not written, and nobody needs to hear of them.
    if !change.shelf(sku).is_some_and(asks) {
        return Ok(());
    }
    change.touch(sku, TraceContext::new_root(), true);
    let saved = change.save(connection, limits, "sweep", None).await?;
    outbox::append(connection, saved.events).await
}
