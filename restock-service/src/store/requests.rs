//! Production requests.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql, StoreError};
use shared::ids::RequestId;

use super::schema::production_requests::{self, dsl};
use crate::domain::delivery::Order;

/// What is known of a request that is being decided upon.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_requests)]
pub(crate) struct LockedRequest {
    /// Units booked so far.
    pub(crate) received: i64,
    /// When it was cancelled.
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    /// The trace it was asked for in.
    pub(crate) traceparent: Option<String>,
}

/// Locks the request for the rest of the transaction; one that is not known yet is made from `order`.
pub(crate) async fn lock(
    connection: &mut AsyncPgConnection,
    id: RequestId,
    order: &Order,
) -> Result<LockedRequest, StoreError> {
    diesel::insert_into(dsl::production_requests)
        .values((
            dsl::id.eq(id.0),
            dsl::sku.eq(order.sku.as_str()),
            dsl::factory_id.eq(order.factory_id.as_str()),
            dsl::quantity.eq(order.quantity.get()),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    let row = dsl::production_requests.find(id.0).select(LockedRequest::as_select()).for_update();
    Ok(row.get_result(connection).await?)
}

/// Books units of a locked request.
pub(crate) async fn add_received(
    connection: &mut AsyncPgConnection,
    id: RequestId,
    quantity: i64,
) -> Result<(), StoreError> {
    diesel::update(dsl::production_requests.find(id.0))
        .set(dsl::received.eq(dsl::received + quantity))
        .execute(connection)
        .await?;
    Ok(())
}

/// A request as a message tells of it.
#[derive(Debug, Clone)]
pub(crate) struct RequestNews {
    /// Which.
    pub(crate) id: RequestId,
    /// What, by whom, how many.
    pub(crate) order: Order,
    /// When it was asked for.
    pub(crate) requested_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    /// Its trace.
    pub(crate) traceparent: Option<String>,
}

struct Merge;
impl StatementSql for Merge {
    const SQL: &'static str = "INSERT INTO production_requests AS known \
        (id, sku, factory_id, quantity, requested_at, cancelled_at, traceparent) VALUES (?, ?, ?, ?, ?, ?, ?) \
        ON CONFLICT (id) DO UPDATE SET \
        requested_at = coalesce(known.requested_at, excluded.requested_at), \
        cancelled_at = coalesce(known.cancelled_at, excluded.cancelled_at), \
        traceparent = coalesce(known.traceparent, excluded.traceparent)";
}

/// Adds what was not known; what is known stays, so messages may come twice and in any order.
pub(crate) async fn merge(connection: &mut AsyncPgConnection, news: RequestNews) -> Result<(), StoreError> {
    Statement::<Merge>::new()
        .bind::<SqlUuid, _>(news.id.0)
        .bind::<Text, _>(String::from(news.order.sku))
        .bind::<Text, _>(String::from(news.order.factory_id))
        .bind::<BigInt, _>(news.order.quantity.get())
        .bind::<Nullable<Timestamptz>, _>(news.requested_at)
        .bind::<Nullable<Timestamptz>, _>(news.cancelled_at)
        .bind::<Nullable<Text>, _>(news.traceparent)
        .run(connection)
        .await?;
    Ok(())
}
