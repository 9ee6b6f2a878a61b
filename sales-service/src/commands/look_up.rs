//! Questions: nothing changes.

use shared::ids::{OrderId, Sku};

use super::Context;
use crate::store::{orders, products, replenishments, stock};

pub use crate::store::StoreError;
pub use crate::store::orders::{OrderLineRow, OrderView};
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
