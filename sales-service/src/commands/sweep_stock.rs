//! The periodic sweep. It evaluates the policy of every product whose position is low, to catch shortages that events
//! missed or a pause held back, and repeats production requests that got no news.

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
use crate::domain::product_state::ProductState;
use crate::store::{StoreError, product_states, stock};

/// Sweeps at the interval `every` until `stop`. Replenishments without news for `ask_after` are requested again.
pub async fn run(context: Context, every: Duration, ask_after: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if let Err(error) = sweep(&context).await {
            tracing::warn!(%error, "the sweep was interrupted; the next one continues");
        }
        match ask_again(&context, ask_after).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "replenishments got no response; they were requested again"),
            Err(error) => tracing::warn!(%error, "replenishments cannot be requested again now"),
        }
    }
}

/// One sweep, with one transaction per product. Returns the number of low products.
pub async fn sweep(context: &Context) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let low = stock::low(&mut connection, write::now()).await?;
    let count = low.len();
    let low: BTreeSet<Sku> = low.into_iter().collect();
    // Locked products are skipped instead of waited for; the next sweep evaluates them.
    let held = product_states::held(&connection, &low).await?;
    for sku in low.iter().filter(|sku| !held.contains_key(*sku)) {
        let evaluated = connection.transaction(async |connection| evaluate(context, connection, sku).await).await;
        match evaluated {
            Ok(()) => context.outbox.wake(),
            Err(error) if error.is_unavailable() => return Err(error),
            // A failure for one product must not keep the others from being evaluated.
            Err(error) => tracing::error!(%sku, %error, "the policy of this product cannot be evaluated"),
        }
    }
    Ok(count)
}

async fn evaluate(context: &Context, connection: &mut AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    let Some(mut change) = StockChange::lock_one(connection, sku).await? else { return Ok(()) };
    let (limits, now) = (context.limits, product_states::moment(change.at));
    let asks =
        |state: &ProductState| !state.clone().replenish(sku, false, limits, now, &mut RequestId::generate).is_empty();
    // Unchanged figures are neither written nor announced.
    if !change.state(sku).is_some_and(asks) {
        return Ok(());
    }
    change.touch(sku, TraceContext::new_root(), true);
    let saved = change.save(connection, limits, "sweep", None).await?;
    outbox::append(connection, saved.events).await
}
