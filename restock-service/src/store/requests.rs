//! Production requests.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql, StoreError};
use shared::ids::{InvalidCode, Quantity, RequestId};

use super::schema::production_requests::{self, dsl};
use super::unreadable;
use crate::domain::delivery::Order;

/// What is known of a request that is being decided upon.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_requests)]
pub(crate) struct LockedRequest {
    /// What was asked for.
    pub(crate) sku: String,
    /// Who was asked.
    pub(crate) factory_id: String,
    /// How many units.
    pub(crate) quantity: i64,
    /// Units booked so far.
    pub(crate) received: i64,
    /// When it was cancelled.
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    /// The trace it was asked for in.
    pub(crate) traceparent: Option<String>,
}

impl LockedRequest {
    /// What, by whom, how many.
    pub(crate) fn order(&self) -> Result<Order, StoreError> {
        Ok(Order {
            sku: self.sku.parse().map_err(|error: InvalidCode| unreadable(error))?,
            factory_id: self.factory_id.parse().map_err(|error: InvalidCode| unreadable(error))?,
            quantity: Quantity::try_from(self.quantity).map_err(unreadable)?,
        })
    }
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
    find_and_lock(connection, id).await?.ok_or_else(|| unreadable("a request is gone"))
}

/// Locks a known request for the rest of the transaction.
pub(crate) async fn find_and_lock(
    connection: &mut AsyncPgConnection,
    id: RequestId,
) -> Result<Option<LockedRequest>, StoreError> {
    let row = dsl::production_requests.find(id.0).select(LockedRequest::as_select()).for_update();
    Ok(row.get_result(connection).await.optional()?)
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
