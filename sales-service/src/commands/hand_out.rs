//! Units that more orders wait for than one transaction fills are handed out slice by slice: no product's row is held
//! for long, and a process that dies leaves the rest to the next slice.

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
use crate::store::{StoreError, corrupt, incoming, shelves};

/// Hands out whenever units are left, and looks every `every` for those of other replicas, until `stop`.
pub async fn run(context: Context, every: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match hand_out(&context, &stop).await {
            // There may be more products than one round looks at.
            Ok(slices) if slices > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "handing out was broken off; it goes on later"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.hand_out.notified() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// One slice of each product that has units left; answers how many slices were handed out.
pub async fn hand_out(context: &Context, stop: &CancellationToken) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let mut slices = 0;
    let skus: BTreeSet<Sku> = incoming::skus(&mut connection).await?.into_iter().collect();
    // Nobody waits here for a product that something else holds.
    let held = shelves::held(&connection, &skus).await?;
    for sku in skus.difference(&held) {
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
            // One that somebody holds must not keep the others from theirs.
            Err(error) => tracing::warn!(%sku, %error, "units cannot be handed out now"),
        }
    }
    Ok(slices)
}

/// Gives the next waiting orders of this product what has come for them; false when nothing could be given.
async fn slice(context: &Context, connection: &mut AsyncPgConnection, sku: &Sku) -> Result<bool, StoreError> {
    let Some(mut change) = StockChange::lock_one(connection, sku).await? else { return Ok(false) };
    let Some(row) = incoming::first(connection, sku).await? else { return Ok(false) };
    let cause = Cause::of_name(&row.cause).ok_or_else(|| corrupt("why units came"))?;
    let trace = row.traceparent.parse().map_err(|_| corrupt("a trace"))?;
    change.look_who_waits(connection).await?;
    if let Some(shelf) = change.touch(sku, trace, true) {
        shelf.figures.release_on_order(row.units);
    }
    change.take_in(sku, Arrival { cause, units: row.units, given_up: 0 }, &row.reference, trace);
    let left = change.take_left();
    if left == row.units {
        // Orders are said to wait, and none is there: the audit tells.
        return Ok(false);
    }
    incoming::set_left(connection, row.id, left).await?;
    let saved = change.save(connection, context.limits, &row.actor, row.note.as_deref()).await?;
    outbox::append(connection, saved.events).await?;
    Ok(true)
}
