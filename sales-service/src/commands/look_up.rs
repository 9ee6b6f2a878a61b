//! Read-only queries.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::{OrderId, Sku};
use uuid::Uuid;

use super::Context;
use crate::store::replenishments::OpenRow;
use crate::store::{orders, product_states, products, replenishments, stock};

pub use crate::domain::policy::Stance;
pub use crate::store::StoreError;
pub use crate::store::orders::{Filter as OrderFilter, OrderLineRow, OrderView};
pub use crate::store::replenishments::{Filter as ReplenishmentFilter, ReplenishmentRow};
pub use crate::store::stock::{MovementRow, StockFilter, StockView};

/// Expected arrival of the units a line waits for, by order and SKU. A line without an entry has no known date.
pub type RestockEtas = HashMap<(Uuid, String), DateTime<Utc>>;

/// One order with its lines, and the expected arrival of the units it waits for.
pub async fn order(context: &Context, id: OrderId) -> Result<Option<(OrderView, RestockEtas)>, StoreError> {
    let mut connection = context.pool.get().await?;
    let Some(view) = orders::get(&mut connection, id).await? else { return Ok(None) };
    let etas = restock_etas(&mut connection, std::slice::from_ref(&view)).await?;
    Ok(Some((view, etas)))
}

/// A waiting line gets the latest date of the requests that cover its place in the queue, and none if one of those
/// dates is unknown.
async fn restock_etas(connection: &mut AsyncPgConnection, orders: &[OrderView]) -> Result<RestockEtas, StoreError> {
    let is_waiting = |view: &&OrderView| view.lines.iter().any(|line| line.waiting > 0);
    let waiting: Vec<&OrderView> = orders.iter().filter(is_waiting).collect();
    let ids: Vec<Uuid> = waiting.iter().flat_map(|view| view.replenishment_ids.iter().copied()).collect();
    let now = Utc::now();
    let rows = if ids.is_empty() { Vec::new() } else { replenishments::open_of(connection, &ids).await? };
    let open: HashMap<Uuid, OpenRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut etas = RestockEtas::new();
    for view in waiting {
        for line in view.lines.iter().filter(|line| line.waiting > 0) {
            let covering = view.replenishment_ids.iter().filter_map(|id| open.get(id));
            let dates = covering.filter(|row| row.sku == line.sku).map(|row| row.due().filter(|due| *due > now));
            let last = dates.collect::<Option<Vec<_>>>().and_then(|dates| dates.into_iter().max());
            etas.extend(last.map(|eta| ((view.order.id, line.sku.clone()), eta)));
        }
    }
    Ok(etas)
}

/// Products with their figures, in SKU order.
pub async fn stock(context: &Context, filter: StockFilter<'_>, limit: i64) -> Result<Vec<StockView>, StoreError> {
    stock::list(&mut *context.pool.get().await?, filter, limit).await
}

/// Ledger entries of a product, newest first. None if there is no such product.
pub async fn movements(
    context: &Context,
    sku: &Sku,
    before: Option<i64>,
    limit: i64,
) -> Result<Option<Vec<MovementRow>>, StoreError> {
    let mut connection = context.pool.get().await?;
    if products::get(&mut connection, sku).await?.is_none() {
        return Ok(None);
    }
    stock::movements(&mut connection, sku, before, limit).await.map(Some)
}

/// Replenishments, newest first.
pub async fn replenishments(
    context: &Context,
    filter: ReplenishmentFilter<'_>,
    limit: i64,
) -> Result<Vec<ReplenishmentRow>, StoreError> {
    replenishments::list(&mut *context.pool.get().await?, filter, limit).await
}

/// Orders, newest first, and the expected arrival of the units they wait for.
pub async fn orders(
    context: &Context,
    filter: OrderFilter<'_>,
    limit: i64,
) -> Result<(Vec<OrderView>, RestockEtas), StoreError> {
    let mut connection = context.pool.get().await?;
    let views = orders::list(&mut connection, filter, limit).await?;
    let etas = restock_etas(&mut connection, &views).await?;
    Ok((views, etas))
}

/// The current decision of a product's policy. None if there is no such product.
pub async fn replenishment_decision(
    context: &Context,
    sku: &str,
    now: DateTime<Utc>,
) -> Result<Option<(StockView, Stance)>, StoreError> {
    let filter = StockFilter { skus: Some(&[sku]), ..StockFilter::default() };
    let Some(view) = stock(context, filter, 1).await?.into_iter().next() else { return Ok(None) };
    let stance = view.state.stance(context.limits, product_states::moment(now));
    Ok(Some((view, stance)))
}
