//! Units for more waiting orders than one transaction fills are handed out in slices. No product's row is locked for
//! long, and a process that dies leaves the rest to the next slice.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::Sku;
use jaego_postbox::outbox;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::stock_change::StockChange;
use crate::domain::goods::Arrival;
use crate::domain::stock::Cause;
use crate::store::{StoreError, corrupt, incoming, product_states};

/// Hands out units whenever notified, and checks at the interval `every` for units left by other replicas, until
/// `stop`.
pub async fn run(context: Context, every: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match hand_out(&context, &stop).await {
            // There may be more products than one round covers.
            Ok(slices) if slices > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "handing out received units was interrupted; it continues later"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.hand_out.notified() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Hands out one slice of each product that has units left. Returns the number of slices.
pub async fn hand_out(context: &Context, stop: &CancellationToken) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let mut slices = 0;
    let skus: BTreeSet<Sku> = incoming::skus(&mut connection).await?.into_iter().collect();
    // Locked products are skipped instead of waited for.
    let held = product_states::held(&connection, &skus).await?;
    for sku in skus.iter().filter(|sku| !held.contains_key(*sku)) {
        if stop.is_cancelled() {
            break;
        }
        match connection.transaction(async |connection| slice(context, connection, sku).await).await {
            Ok(true) => {
                slices += 1;
                context.outbox.wake();
            }
            Ok(false) => {}
            Err(error) if error.is_unavailable() => return Err(error),
            // A failure for one product must not hold up the others.
            Err(error) => tracing::warn!(%sku, %error, "received units cannot be handed out now"),
        }
    }
    Ok(slices)
}

/// Fills the next waiting orders of this product. Returns false if nothing could be handed out.
async fn slice(context: &Context, connection: &mut AsyncPgConnection, sku: &Sku) -> Result<bool, StoreError> {
    let Some(mut change) = StockChange::lock_one(connection, sku).await? else { return Ok(false) };
    let Some(row) = incoming::first(connection, sku).await? else { return Ok(false) };
    let cause = Cause::of_name(&row.cause).ok_or_else(|| corrupt("the cause of received units"))?;
    let trace = row.traceparent.parse().map_err(|_| corrupt("a trace"))?;
    change.find_waiting(connection).await?;
    if let Some(state) = change.touch(sku, trace, true) {
        state.figures.release_on_order(row.units);
    }
    change.take_in(sku, Arrival { cause, units: row.units, given_up: 0 }, &row.reference, trace);
    let left = change.take_left();
    if left == row.units {
        // The figures say that orders are waiting, but there are none. The audit reports it.
        return Ok(false);
    }
    incoming::set_left(connection, row.id, left).await?;
    let saved = change.save(connection, context.limits, &row.actor, row.note.as_deref()).await?;
    outbox::append(connection, saved.events).await?;
    Ok(true)
}
