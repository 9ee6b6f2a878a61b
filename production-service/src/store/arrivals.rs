//! What came about a request, perhaps before the request itself: receipts and closings.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::contracts::stock::StockReceived;
use shared::db::StoreError;
use shared::ids::{RequestId, Sku};

use super::schema::{early_closings, receipts};

/// Keeps a receipt, whatever came; false when it was kept before.
pub async fn keep_receipt(connection: &mut AsyncPgConnection, received: &StockReceived) -> Result<bool, StoreError> {
    let kept = diesel::insert_into(receipts::table)
        .values((
            receipts::id.eq(received.receipt_id.0),
            receipts::request_id.eq(received.request_id.0),
            receipts::sku.eq(received.sku.as_str()),
            receipts::quantity.eq(received.quantity.get()),
            receipts::received_at.eq(received.received_at),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(kept == 1)
}

#[derive(QueryableByName)]
struct Units {
    #[diesel(sql_type = BigInt)]
    units: i64,
}

/// Units of the product `sku` that came for a request so far.
pub async fn received_units(
    connection: &mut AsyncPgConnection,
    request_id: RequestId,
    sku: &Sku,
) -> Result<i64, StoreError> {
    let sum = "SELECT coalesce(sum(quantity), 0)::bigint AS units FROM receipts \
        WHERE request_id = $1 AND coalesce(sku, $2) = $2";
    let sum = diesel::sql_query(sum).bind::<SqlUuid, _>(request_id.0).bind::<Text, _>(sku.as_str());
    let units: Units = sum.get_result(connection).await?;
    Ok(units.units)
}

/// Remembers that a replenishment was closed whose request has not come yet.
pub async fn keep_closing(
    connection: &mut AsyncPgConnection,
    request_id: RequestId,
    reason: &str,
    closed_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(early_closings::table)
        .values((
            early_closings::request_id.eq(request_id.0),
            early_closings::reason.eq(reason),
            early_closings::closed_at.eq(closed_at),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

/// Why a request's replenishment was closed before it came, if it was; forgotten with this answer.
pub async fn take_closing(
    connection: &mut AsyncPgConnection,
    request_id: RequestId,
) -> Result<Option<String>, StoreError> {
    let reason = diesel::delete(early_closings::table.find(request_id.0))
        .returning(early_closings::reason)
        .get_result(connection)
        .await
        .optional()?;
    Ok(reason)
}
