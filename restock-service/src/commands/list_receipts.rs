//! Goods receipts for an operator to read.

use jaego_pg::{Pool, StoreError};
use uuid::Uuid;

use crate::store;
pub(crate) use crate::store::receipts::ReceiptRow;

/// Newest first.
pub(crate) async fn list_receipts(
    pool: &Pool,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ReceiptRow>, StoreError> {
    store::receipts::list(&mut *pool.get().await?, older_than, limit).await
}
