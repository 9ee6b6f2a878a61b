//! Production requests.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{InvalidCode, Quantity, RequestId};
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::schema::production_requests::{self, dsl};
use super::unreadable;
use crate::domain::batch::Progress;
use crate::domain::delivery::Order;

/// State of a request, for an operator's decision.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_requests)]
pub(crate) struct LockedRequest {
    pub(crate) sku: String,
    pub(crate) factory_id: String,
    /// Units ordered.
    pub(crate) quantity: i64,
    /// Units booked so far.
    pub(crate) received: i64,
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
}

impl LockedRequest {
    pub(crate) fn order(&self) -> Result<Order, StoreError> {
        Ok(Order {
            sku: self.sku.parse().map_err(|error: InvalidCode| unreadable(error))?,
            factory_id: self.factory_id.parse().map_err(|error: InvalidCode| unreadable(error))?,
            quantity: Quantity::try_from(self.quantity).map_err(unreadable)?,
        })
    }
}

/// A request while its callbacks are decided.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) progress: Progress,
    /// Trace of the production request.
    pub(crate) traceparent: Option<String>,
}

/// A known request; the figures are missing if another transaction holds it.
#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    received: Option<i64>,
    #[diesel(sql_type = Nullable<Bool>)]
    is_cancelled: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
}

// One primary key lookup per request, in the order of the list: a subquery that locks rows cannot be merged into
// another plan.
struct Hold;
impl StatementSql for Hold {
    const SQL: &'static str = "SELECT wanted.id, received, is_cancelled, traceparent FROM unnest(?) AS wanted (id) \
        CROSS JOIN LATERAL (SELECT FROM production_requests p WHERE p.id = wanted.id OFFSET 0) AS present \
        LEFT JOIN LATERAL (SELECT received, cancelled_at IS NOT NULL AS is_cancelled, traceparent \
        FROM production_requests p WHERE p.id = wanted.id FOR UPDATE SKIP LOCKED) AS known ON true";
}

/// Locks requests for the rest of the transaction, in the order of `ids`, which must be sorted. Returns also those that
/// another transaction holds. Unknown requests are left out; one that is added after this makes the insert fail.
pub(crate) async fn hold(
    connection: &AsyncPgConnection,
    ids: &[RequestId],
) -> Result<(HashMap<RequestId, Held>, HashSet<RequestId>), StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<HeldRow> = Statement::<Hold>::new().bind::<Array<SqlUuid>, _>(ids).load(connection).await?;
    let (mut held, mut elsewhere) = (HashMap::new(), HashSet::new());
    for HeldRow { id, received, is_cancelled, traceparent } in rows {
        if let (Some(received), Some(is_cancelled)) = (received, is_cancelled) {
            held.insert(RequestId(id), Held { progress: Progress { received, is_cancelled }, traceparent });
        } else {
            elsewhere.insert(RequestId(id));
        }
    }
    Ok((held, elsewhere))
}

/// Constraint that is violated when another transaction has inserted the same request in between.
pub(crate) const PRIMARY_KEY: &str = "production_requests_pkey";

struct Insert;
impl StatementSql for Insert {
    const SQL: &'static str = "INSERT INTO production_requests (id, sku, factory_id, quantity, received) \
        SELECT * FROM unnest(?, ?, ?, ?, ?)";
}

/// Inserts requests that are known only from their callbacks, with the units booked for them. The rows are in the
/// order of their ids, so that two transactions with the same requests do not deadlock.
pub(crate) async fn insert(connection: &AsyncPgConnection, new: &[(RequestId, &Order, i64)]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    Statement::<Insert>::new()
        .bind::<Array<SqlUuid>, _>(new.iter().map(|(id, ..)| id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|(_, order, _)| order.sku.to_string()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|(_, order, _)| order.factory_id.to_string()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(new.iter().map(|(_, order, _)| order.quantity.get()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(new.iter().map(|(.., received)| *received).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}

struct WriteReceived;
impl StatementSql for WriteReceived {
    const SQL: &'static str = "UPDATE production_requests AS known SET received = new.received \
        FROM unnest(?, ?) AS new (id, received) WHERE known.id = new.id";
}

/// Writes the booked units of locked requests.
pub(crate) async fn write_received(
    connection: &AsyncPgConnection,
    figures: &[(RequestId, i64)],
) -> Result<(), StoreError> {
    if figures.is_empty() {
        return Ok(());
    }
    Statement::<WriteReceived>::new()
        .bind::<Array<SqlUuid>, _>(figures.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(figures.iter().map(|(_, received)| *received).collect::<Vec<_>>())
        .run_by_index(connection)
        .await?;
    Ok(())
}

pub(crate) async fn find_and_lock(
    connection: &mut AsyncPgConnection,
    id: RequestId,
) -> Result<Option<LockedRequest>, StoreError> {
    let row = dsl::production_requests.find(id.0).select(LockedRequest::as_select()).for_update();
    Ok(row.get_result(connection).await.optional()?)
}

/// Adds booked units to a locked request.
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

/// A request as described by a message.
#[derive(Debug, Clone)]
pub(crate) struct RequestNews {
    pub(crate) id: RequestId,
    pub(crate) order: Order,
    pub(crate) requested_at: Option<DateTime<Utc>>,
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
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

/// Adds what was not known and keeps what was, so messages may be repeated and come in any order.
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
