//! Queries of the timeline: rows of some requests, limited to the newest.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use jaego_service::timeline::FETCH;
use uuid::Uuid;

use super::quarantine::QuarantineRow;
use super::receipts::ReceiptRow;
use super::schema::{production_requests, quarantine, receipts};

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_requests)]
pub(crate) struct RequestRow {
    pub(crate) id: Uuid,
    pub(crate) sku: String,
    pub(crate) factory_id: String,
    pub(crate) quantity: i64,
    pub(crate) received: i64,
    pub(crate) requested_at: Option<DateTime<Utc>>,
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    pub(crate) traceparent: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
}

pub(crate) async fn requests(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<RequestRow>, StoreError> {
    let rows = production_requests::table.filter(production_requests::id.eq_any(ids)).order(production_requests::id);
    Ok(rows.select(RequestRow::as_select()).load(connection).await?)
}

pub(crate) async fn receipts(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<ReceiptRow>, StoreError> {
    let rows = receipts::table.filter(receipts::request_id.eq_any(ids)).order(receipts::id.desc()).limit(FETCH);
    Ok(rows.select(ReceiptRow::as_select()).load(connection).await?)
}

/// Quarantine entries with the `traceparent` of their delivery.
pub(crate) async fn quarantine(
    connection: &mut AsyncPgConnection,
    ids: &[Uuid],
) -> Result<Vec<(QuarantineRow, String)>, StoreError> {
    let rows = quarantine::table.filter(quarantine::request_id.eq_any(ids)).order(quarantine::id.desc()).limit(FETCH);
    Ok(rows.select((QuarantineRow::as_select(), quarantine::traceparent)).load(connection).await?)
}
