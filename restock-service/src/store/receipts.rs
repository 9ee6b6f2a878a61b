//! Goods receipts.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::RequestId;
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::schema::receipts::{self, dsl};

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = receipts)]
pub(crate) struct ReceiptRow {
    pub(crate) id: Uuid,
    pub(crate) request_id: Uuid,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    pub(crate) factory_id: String,
    pub(crate) delivery_id: Option<String>,
    /// Id of the callback's token; None if no callback reported the goods.
    pub(crate) jti: Option<String>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) traceparent: String,
    /// The operator who booked the goods; None if their callback did.
    pub(crate) actor: Option<String>,
    pub(crate) reason: Option<String>,
}

struct Insert;
impl StatementSql for Insert {
    const SQL: &'static str = "INSERT INTO receipts (id, request_id, sku, quantity, factory_id, delivery_id, jti, \
        received_at, traceparent, actor, reason) SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
}

pub(crate) async fn insert(connection: &AsyncPgConnection, rows: &[ReceiptRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let text = |pick: fn(&ReceiptRow) -> &String| rows.iter().map(|row| pick(row).clone()).collect::<Vec<_>>();
    let optional =
        |pick: fn(&ReceiptRow) -> &Option<String>| rows.iter().map(|row| pick(row).clone()).collect::<Vec<_>>();
    Statement::<Insert>::new()
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.request_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|row| &row.sku))
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.quantity).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|row| &row.factory_id))
        .bind::<Array<Nullable<Text>>, _>(optional(|row| &row.delivery_id))
        .bind::<Array<Nullable<Text>>, _>(optional(|row| &row.jti))
        .bind::<Array<Timestamptz>, _>(rows.iter().map(|row| row.received_at).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|row| &row.traceparent))
        .bind::<Array<Nullable<Text>>, _>(optional(|row| &row.actor))
        .bind::<Array<Nullable<Text>>, _>(optional(|row| &row.reason))
        .run(connection)
        .await?;
    Ok(())
}

/// Newest first; ids increase with time.
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

/// Receipts of one request, oldest first.
pub(crate) async fn of_request(
    connection: &mut AsyncPgConnection,
    request_id: RequestId,
    limit: i64,
) -> Result<Vec<ReceiptRow>, StoreError> {
    let query = dsl::receipts.filter(dsl::request_id.eq(request_id.0)).order(dsl::id).limit(limit);
    Ok(query.select(ReceiptRow::as_select()).load(connection).await?)
}
