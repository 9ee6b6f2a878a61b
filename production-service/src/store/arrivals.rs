//! Receipts and closings, which may arrive before their request.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{RequestId, Sku};
use jaego_contracts::stock::StockReceived;
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::schema::{early_closings, receipts};

/// Stores a receipt of any product; false when it was stored before.
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
    #[diesel(sql_type = SqlUuid)]
    request_id: Uuid,
    #[diesel(sql_type = BigInt)]
    units: i64,
}

struct Received;
impl StatementSql for Received {
    const SQL: &'static str = "SELECT receipts.request_id, sum(receipts.quantity)::bigint AS units \
        FROM unnest(?, ?) AS asked (id, sku) JOIN receipts ON receipts.request_id = asked.id \
        AND coalesce(receipts.sku, asked.sku) = asked.sku GROUP BY receipts.request_id";
}

/// Units received so far of each request's own product; requests without any are absent.
pub async fn received_units(
    connection: &mut AsyncPgConnection,
    asked: &[(RequestId, &Sku)],
) -> Result<HashMap<RequestId, i64>, StoreError> {
    let rows: Vec<Units> = Statement::<Received>::new()
        .bind::<Array<SqlUuid>, _>(asked.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(asked.iter().map(|(_, sku)| sku.to_string()).collect::<Vec<_>>())
        .load(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (RequestId(row.request_id), row.units)).collect())
}

/// Stores the closing of a replenishment whose request has not arrived yet.
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

#[derive(QueryableByName)]
struct Closing {
    #[diesel(sql_type = SqlUuid)]
    request_id: Uuid,
    #[diesel(sql_type = Text)]
    reason: String,
}

struct Take;
impl StatementSql for Take {
    const SQL: &'static str = "DELETE FROM early_closings WHERE request_id = ANY(?) RETURNING request_id, reason";
}

/// Removes the closings that arrived before these requests, and returns their reasons.
pub async fn take_closings(
    connection: &mut AsyncPgConnection,
    ids: &[RequestId],
) -> Result<HashMap<RequestId, String>, StoreError> {
    let rows: Vec<Closing> = Statement::<Take>::new()
        .bind::<Array<SqlUuid>, _>(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .load(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (RequestId(row.request_id), row.reason)).collect())
}
