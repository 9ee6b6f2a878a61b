//! Cancels an order, which gives its units back once.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::AsyncConnection;
use jaego_contracts::ids::{OrderId, Sku};
use jaego_contracts::order;
use jaego_contracts::order::OrderSummary;
use jaego_postbox::outbox;
use jaego_web::problem::{Problem, ProblemKind};

use super::stock_change::StockChange;
use super::{Asked, Context, Refused, write};
use crate::domain::goods::Arrival;
use crate::domain::order::{NotSold, OrderStatus};
use crate::domain::stock::Cause;
use crate::store::orders::{self, OrderView};
use crate::store::{StoreError, corrupt};

/// Cancels a confirmed or backordered order. An order that is already cancelled is returned unchanged; 409 for a
/// rejected one.
pub async fn cancel_order(context: &Context, id: OrderId, asked: Asked<'_>) -> Result<OrderView, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let view = connection
        .transaction(async move |connection| {
            let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no order {id}."));
            let view = orders::get(connection, id).await?.ok_or_else(unknown)?;
            let parse = |sku: &str| sku.parse::<Sku>().map_err(|_| corrupt("an order's SKU"));
            let skus = view.lines.iter().map(|line| parse(&line.sku)).collect::<Result<BTreeSet<Sku>, _>>()?;
            // Lock order everywhere: products in key order, then the order.
            let mut change = StockChange::lock(connection, &skus).await?;
            let Some(status) = orders::lock_status(connection, id).await? else { return Err(unknown().into()) };
            match OrderStatus::of_name(&status).ok_or_else(|| corrupt("an order's status"))?.cancel() {
                Ok(true) => {}
                // It may have been cancelled since it was read, so it is read again.
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
            change.find_waiting(connection).await?;
            for (sku, (filled, waiting)) in &taken {
                let arrival = Arrival { cause: Cause::Cancellation, units: *filled, given_up: *waiting };
                change.take_in(sku, arrival, &id.to_string(), asked.trace);
            }
            let limits = context.limits;
            let saved = change.save(connection, limits, asked.actor, asked.reason).await?;
            let mut events = saved.events;
            if saved.has_left {
                context.hand_out.notify_one();
            }
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
