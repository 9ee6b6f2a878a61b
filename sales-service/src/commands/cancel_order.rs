//! An order is cancelled: its units go back, once.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::AsyncConnection;
use shared::contracts::order::{self, OrderSummary};
use shared::ids::{OrderId, Sku};
use shared::outbox;
use shared::problem::{Problem, ProblemKind};

use super::{Asked, Context, Refused, write};
use crate::domain::goods::Arrival;
use crate::domain::order::{NotSold, OrderStatus};
use crate::domain::stock::Cause;
use crate::store::orders::{self, OrderView};
use crate::store::stock::Hand;
use crate::store::{StoreError, corrupt, shelves};

/// Cancels a confirmed or backordered order. One that is cancelled already is answered as it is;
/// 409 for a refused one.
pub async fn cancel_order(context: &Context, id: OrderId, asked: Asked<'_>) -> Result<OrderView, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let view = connection
        .transaction(async move |connection| {
            let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no order {id}."));
            let view = orders::get(connection, id).await?.ok_or_else(unknown)?;
            let parse = |sku: &str| sku.parse::<Sku>().map_err(|_| corrupt("an order's SKU"));
            let skus = view.lines.iter().map(|line| parse(&line.sku)).collect::<Result<BTreeSet<Sku>, _>>()?;
            let now = write::now();
            // Products first, in key order, then the order: the order of locks everywhere.
            let mut loaded = shelves::lock(connection, &skus, now).await?;
            let Some(status) = orders::lock_status(connection, id).await? else { return Err(unknown().into()) };
            match OrderStatus::of_name(&status).ok_or_else(|| corrupt("an order's status"))?.cancel() {
                Ok(true) => {}
                // Perhaps only since it was read: as it is now.
                Ok(false) => return Ok::<_, Refused>(orders::get(connection, id).await?.ok_or_else(unknown)?),
                Err(NotSold) => {
                    let detail = format!("Only an order that was sold can be cancelled; this one is {status}.");
                    return Err(Problem::new(ProblemKind::Conflict, detail).with("status", status).into());
                }
            }
            let mut taken: BTreeMap<Sku, (i64, i64)> = BTreeMap::new();
            for line in orders::release(connection, id).await? {
                let (filled, waiting) = taken.entry(parse(&line.sku)?).or_default();
                *filled += line.filled;
                *waiting += line.waiting;
            }
            let (mut events, mut fills) = (Vec::new(), Vec::new());
            for (sku, (filled, waiting)) in &taken {
                let Some(shelf) = loaded.shelves.get_mut(sku) else { continue };
                let incoming = write::IncomingUnits {
                    sku,
                    arrival: Arrival { cause: Cause::Cancellation, units: *filled, given_up: *waiting },
                    reference: id.to_string(),
                    hand: Hand { actor: asked.actor, at: now, note: asked.reason },
                    trace: asked.trace,
                };
                let taken = write::take_in(connection, shelf, incoming).await?;
                events.extend(taken.events);
                fills.extend(taken.fills);
            }
            // All at once: orders are locked in the order of their ids, whoever locks several.
            events.extend(write::fill(connection, &fills, asked.trace).await?);
            let view = orders::get(connection, id).await?.ok_or_else(unknown)?;
            let summary: Vec<OrderSummary> = vec![write::summary(&view)];
            events.extend(write::orders_changed(&order::CANCELLED, summary, asked.trace));
            outbox::append(connection, events).await?;
            asked.record(connection, "order.cancel", &id.to_string()).await?;
            Ok(view)
        })
        .await?;
    context.outbox.wake();
    Ok(view)
}
