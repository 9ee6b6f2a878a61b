//! Goods receipts.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::StoreError;
use uuid::Uuid;

use super::schema::receipts::{self, dsl};

/// A row.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = receipts)]
pub(crate) struct ReceiptRow {
    pub(crate) id: Uuid,
    pub(crate) request_id: Uuid,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    pub(crate) factory_id: String,
    pub(crate) delivery_id: Option<String>,
    /// The callback's token; none when no callback told of the goods.
    pub(crate) jti: Option<String>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) traceparent: String,
    /// The operator who booked them; none when their callback did.
    pub(crate) actor: Option<String>,
    /// The operator's reason.
    pub(crate) reason: Option<String>,
}

/// Adds a receipt.
pub(crate) async fn insert(connection: &mut AsyncPgConnection, row: &ReceiptRow) -> Result<(), StoreError> {
    diesel::insert_into(dsl::receipts).values(row).execute(connection).await?;
    Ok(())
}

/// Newest first; ids rise with time.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ReceiptRow>, StoreError> {
    let mut query = dsl::receipts.select(ReceiptRow::as_select()).order(dsl::id.desc()).limit(limit).into_boxed();
    if let Some(id) = older_than {
        query = query.filter(dsl::id.lt(id));
    }
    Ok(query.load(connection).await?)
}
