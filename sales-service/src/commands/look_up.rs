//! Questions: nothing changes.

use chrono::{DateTime, Utc};
use shared::ids::{OrderId, Sku};

use super::Context;
use crate::domain::policy;
use crate::store::{orders, products, replenishments, stock};

pub use crate::domain::policy::Stance;
pub use crate::store::StoreError;
pub use crate::store::orders::{Filter as OrderFilter, OrderLineRow, OrderView};
pub use crate::store::replenishments::{Filter as ReplenishmentFilter, ReplenishmentRow};
pub use crate::store::stock::{MovementRow, StockFilter, StockView};

/// One order with its lines.
pub async fn order(context: &Context, id: OrderId) -> Result<Option<OrderView>, StoreError> {
    orders::get(&mut *context.pool.get().await?, id).await
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

/// Orders, newest first.
pub async fn orders(context: &Context, filter: OrderFilter<'_>, limit: i64) -> Result<Vec<OrderView>, StoreError> {
    orders::list(&mut *context.pool.get().await?, filter, limit).await
}

/// What the policy of one product says now; None when there is no such product.
pub async fn replenishment_decision(
    context: &Context,
    sku: &str,
    now: DateTime<Utc>,
) -> Result<Option<(StockView, Stance)>, StoreError> {
    let filter = StockFilter { sku: Some(sku), ..StockFilter::default() };
    let Some(view) = stock(context, filter, 1).await?.into_iter().next() else { return Ok(None) };
    let stance = policy::stance(&view.stock.figures(), &view.product.policy()?, view.stock.paused_until(now).is_some());
    Ok(Some((view, stance)))
}
