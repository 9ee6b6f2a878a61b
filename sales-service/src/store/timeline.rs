//! Queries for timelines. Each uses an index and is bounded.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::OrderId;
use jaego_service::timeline::FETCH;
use uuid::{Builder, Uuid};

use super::StoreError;
use super::replenishments::ReplenishmentRow;
use super::schema::{order_replenishments, receipts_applied, replenishments, stock_movements};
use super::stock::MovementRow;
use crate::domain::stock::Cause;

/// Ids of a sale's ledger entries are generated shortly after the order's timestamp: at once, or after a wait for the
/// products' row locks.
const NAMED_WITHIN: [TimeDelta; 2] = [TimeDelta::seconds(1), TimeDelta::seconds(60)];
/// Tolerance for clocks that are set back.
const MARGIN: TimeDelta = TimeDelta::seconds(1);
/// An order gets its id on arrival, and is decided after its wait in the queue.
const DECIDED_WITHIN: TimeDelta = TimeDelta::seconds(60);
/// Maximum orders listed for one replenishment.
const ORDERS_MAX: i64 = 20;

/// The lowest id that can be generated at this time. Ids are UUIDv7, which begin with the time.
fn first_id_at(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// The ledger entries of an order's sale, of which there are `count`. Their ids are close to the order's own time, so
/// only the sales of that time are read. An index by order would make every order more expensive.
pub async fn sale_entries(
    connection: &mut AsyncPgConnection,
    id: OrderId,
    sold_at: DateTime<Utc>,
    count: usize,
) -> Result<Vec<MovementRow>, StoreError> {
    let mut entries = Vec::new();
    for within in NAMED_WITHIN {
        if entries.len() >= count {
            break;
        }
        entries = stock_movements::table
            .filter(stock_movements::id.ge(first_id_at(sold_at - MARGIN)))
            .filter(stock_movements::id.lt(first_id_at(sold_at + within)))
            .filter(stock_movements::reference.eq(id.to_string()))
            .filter(stock_movements::cause.eq(Cause::Sale.name()))
            .order(stock_movements::id)
            .limit(FETCH)
            .select(MovementRow::as_select())
            .load(connection)
            .await?;
    }
    Ok(entries)
}

/// The newest entries of these orders and receipts, except sales.
pub async fn other_entries(
    connection: &mut AsyncPgConnection,
    references: &[Uuid],
) -> Result<Vec<MovementRow>, StoreError> {
    let references: Vec<String> = references.iter().map(Uuid::to_string).collect();
    let entries = stock_movements::table
        .filter(stock_movements::reference.eq_any(references))
        // A literal, as in the partial index: with a parameter the index would not be used.
        .filter(sql::<Bool>("cause <> 'sale'"))
        .order(stock_movements::entry.desc())
        .limit(FETCH)
        .select(MovementRow::as_select())
        .load(connection)
        .await?;
    Ok(entries)
}

/// These replenishments, oldest first.
pub async fn replenishments(
    connection: &mut AsyncPgConnection,
    ids: &[Uuid],
) -> Result<Vec<ReplenishmentRow>, StoreError> {
    let rows = replenishments::table
        .filter(replenishments::id.eq_any(ids))
        .order(replenishments::id)
        .limit(FETCH)
        .select(ReplenishmentRow::as_select())
        .load(connection)
        .await?;
    Ok(rows)
}

/// The first orders linked to a replenishment. Only orders with ids shortly before the decision are searched, because
/// both were decided together.
pub async fn orders_behind(
    connection: &mut AsyncPgConnection,
    replenishment: &ReplenishmentRow,
) -> Result<Vec<Uuid>, StoreError> {
    let decided_at = replenishment.created_at;
    let ids = order_replenishments::table
        .filter(order_replenishments::order_id.ge(first_id_at(decided_at - DECIDED_WITHIN)))
        .filter(order_replenishments::order_id.lt(first_id_at(decided_at + MARGIN)))
        .filter(order_replenishments::replenishment_id.eq(replenishment.id))
        .order(order_replenishments::order_id)
        .limit(ORDERS_MAX)
        .select(order_replenishments::order_id)
        .load(connection)
        .await?;
    Ok(ids)
}

/// A receipt that has been added to stock.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = receipts_applied)]
pub struct AppliedRow {
    pub receipt_id: Uuid,
    /// The production request that the receipt answers.
    pub request_id: Uuid,
    pub sku: String,
    /// Units received.
    pub quantity: i64,
    /// Time when restock-service booked it.
    pub received_at: DateTime<Utc>,
    /// Time when it was added to stock.
    pub applied_at: DateTime<Utc>,
}

/// The newest receipts of these production requests.
pub async fn receipts(connection: &mut AsyncPgConnection, requests: &[Uuid]) -> Result<Vec<AppliedRow>, StoreError> {
    let rows = receipts_applied::table
        .filter(receipts_applied::request_id.eq_any(requests))
        .order(receipts_applied::applied_at.desc())
        .limit(FETCH)
        .select(AppliedRow::as_select())
        .load(connection)
        .await?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_time_are_not_before_the_first_of_it() {
        let (before, id) = (Utc::now(), Uuid::now_v7());
        assert!(first_id_at(before) <= id);
        assert!(id < first_id_at(before + MARGIN));
    }
}
