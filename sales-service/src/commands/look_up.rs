//! Questions: nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use shared::ids::{OrderId, Sku};

use super::Context;
use crate::domain::policy;
use crate::store::{orders, products, replenishments, stock};

pub use crate::domain::policy::Stance;
pub use crate::store::StoreError;
pub use crate::store::orders::{Filter as OrderFilter, OrderLineRow, OrderView};
pub use crate::store::replenishments::{Filter as ReplenishmentFilter, ReplenishmentRow};
pub use crate::store::stock::{MovementRow, StockFilter, StockView};

/// When more should be here, by SKU; a product that is not in it has nothing under way in time.
pub type RestockEtas = BTreeMap<String, DateTime<Utc>>;

/// One order with its lines, and when what it waits for should be here.
pub async fn order(context: &Context, id: OrderId) -> Result<Option<(OrderView, RestockEtas)>, StoreError> {
    let mut connection = context.pool.get().await?;
    let Some(view) = orders::get(&mut connection, id).await? else { return Ok(None) };
    let etas = restock_etas(&mut connection, std::slice::from_ref(&view)).await?;
    Ok(Some((view, etas)))
}

async fn restock_etas(connection: &mut AsyncPgConnection, orders: &[OrderView]) -> Result<RestockEtas, StoreError> {
    let lines = orders.iter().flat_map(|view| &view.lines);
    let waiting: BTreeSet<&str> = lines.filter(|line| line.waiting > 0).map(|line| line.sku.as_str()).collect();
    if waiting.is_empty() {
        return Ok(RestockEtas::new());
    }
    let waiting: Vec<&str> = waiting.into_iter().collect();
    let filter = StockFilter { skus: Some(&waiting), ..StockFilter::default() };
    let views = stock::list(connection, filter, i64::try_from(waiting.len()).unwrap_or(i64::MAX)).await?;
    Ok(views.into_iter().filter_map(|view| Some((view.product.sku, view.restock_eta?))).collect())
}

/// Products with their figures, in the order of their SKU.
pub async fn stock(context: &Context, filter: StockFilter<'_>, limit: i64) -> Result<Vec<StockView>, StoreError> {
    stock::list(&mut *context.pool.get().await?, filter, limit).await
}

/// Ledger entries of a product, newest first; None when there is no such product.
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

/// Orders, newest first, and when what they wait for should be here.
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

/// What the policy of one product says now; None when there is no such product.
pub async fn replenishment_decision(
    context: &Context,
    sku: &str,
    now: DateTime<Utc>,
) -> Result<Option<(StockView, Stance)>, StoreError> {
    let filter = StockFilter { skus: Some(&[sku]), ..StockFilter::default() };
    let Some(view) = stock(context, filter, 1).await?.into_iter().next() else { return Ok(None) };
    let stance = {
        let is_paused = view.stock.paused_until(now).is_some();
        policy::stance(&view.stock.figures(), &view.product.policy()?, is_paused, view.has_proposal)
    };
    Ok(Some((view, stance)))
}
