//! Quarantined deliveries for an operator to read.

use jaego_pg::{Pool, StoreError};
use uuid::Uuid;

use crate::store;
pub(crate) use crate::store::quarantine::QuarantineRow;

/// Newest first.
pub(crate) async fn list_quarantine(
    pool: &Pool,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    store::quarantine::list(&mut *pool.get().await?, older_than, limit).await
}
