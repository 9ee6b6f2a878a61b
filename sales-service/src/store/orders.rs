//! Orders and their lines.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql};
use shared::ids::{OrderId, Sku};
use uuid::Uuid;

use super::StoreError;
use super::schema::{order_lines, order_replenishments, orders};
use crate::domain::goods::{Fill, WaitingLine};
use crate::domain::intake::DecidedOrder;

/// An order as it is stored.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = orders)]
pub struct OrderRow {
    /// Its id.
    pub id: Uuid,
    /// What became of it.
    pub status: String,
    /// Whose it is, in the shop's words.
    pub customer: Option<String>,
    /// Price of all lines, minor units.
    pub total: i64,
    /// The trace of its request.
    pub traceparent: String,
    /// When it was taken.
    pub created_at: DateTime<Utc>,
}

/// A line as it is stored.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = order_lines)]
pub struct OrderLineRow {
    /// Its order.
    pub order_id: Uuid,
    /// What.
    pub sku: String,
    /// Ordered.
    pub quantity: i64,
    /// Taken from stock.
    pub filled: i64,
    /// Sold and waiting for stock.
    pub waiting: i64,
    /// Price of a unit, minor units.
    pub unit_price: i64,
}

/// An order with all that belongs to it.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// The order.
    pub order: OrderRow,
    /// Its lines, as ordered.
    pub lines: Vec<OrderLineRow>,
    /// The replenishments that it caused or waits for.
    pub replenishment_ids: Vec<Uuid>,
}

/// A decided order with what the request said beside its lines.
#[derive(Debug)]
pub struct OrderToInsert<'a> {
    /// The decision.
    pub decided: &'a DecidedOrder,
    /// Whose it is.
    pub customer: Option<&'a str>,
    /// The trace of its request.
    pub traceparent: String,
}

struct InsertOrders;
impl StatementSql for InsertOrders {
    const SQL: &'static str = "INSERT INTO orders (id, status, customer, total, traceparent, created_at) \
        SELECT id, status, customer, total, traceparent, ? \
        FROM unnest(?, ?, ?, ?, ?) AS new (id, status, customer, total, traceparent)";
}

/// Adds orders; their lines are [`inserting_lines`].
pub fn inserting(new: &[OrderToInsert<'_>], now: DateTime<Utc>) -> Statement<impl StatementSql + use<>> {
    Statement::<InsertOrders>::new()
        .bind::<Timestamptz, _>(now)
        .bind::<Array<SqlUuid>, _>(new.iter().map(|order| order.decided.id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|order| order.decided.status.name()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(new.iter().map(|order| order.customer.map(str::to_owned)).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(new.iter().map(|order| order.decided.total()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|order| order.traceparent.clone()).collect::<Vec<_>>())
}

struct InsertLines;
impl StatementSql for InsertLines {
    const SQL: &'static str = "INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
        SELECT order_id, sku, quantity, filled, waiting, unit_price \
        FROM unnest(?, ?, ?, ?, ?, ?) WITH ORDINALITY \
        AS new (order_id, sku, quantity, filled, waiting, unit_price, place) ORDER BY place";
}

/// Adds the lines of orders.
pub fn inserting_lines(new: &[OrderToInsert<'_>]) -> Statement<impl StatementSql + use<>> {
    let lines: Vec<_> =
        new.iter().flat_map(|order| order.decided.lines.iter().map(|line| (order.decided.id.0, line))).collect();
    Statement::<InsertLines>::new()
        .bind::<Array<SqlUuid>, _>(lines.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(lines.iter().map(|(_, line)| line.sku.to_string()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(lines.iter().map(|(_, line)| line.quantity.get()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(lines.iter().map(|(_, line)| line.filled).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(lines.iter().map(|(_, line)| line.waiting).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(lines.iter().map(|(_, line)| line.unit_price).collect::<Vec<_>>())
}

struct InsertOrderReplenishments;
impl StatementSql for InsertOrderReplenishments {
    const SQL: &'static str = "INSERT INTO order_replenishments (order_id, replenishment_id) \
        SELECT * FROM unnest(?, ?) ON CONFLICT DO NOTHING";
}

/// Adds which replenishments orders caused or wait for.
pub fn inserting_replenishments(new: &[OrderToInsert<'_>]) -> Statement<impl StatementSql + use<>> {
    let (orders, replenishments): (Vec<Uuid>, Vec<Uuid>) =
        new.iter().flat_map(|order| order.decided.replenishments.iter().map(|id| (order.decided.id.0, id.0))).unzip();
    Statement::<InsertOrderReplenishments>::new()
        .bind::<Array<SqlUuid>, _>(orders)
        .bind::<Array<SqlUuid>, _>(replenishments)
}

/// One order with all that belongs to it.
pub async fn get(connection: &mut AsyncPgConnection, id: OrderId) -> Result<Option<OrderView>, StoreError> {
    let rows = orders::table.find(id.0).select(OrderRow::as_select()).load(connection).await?;
    Ok(with_lines(connection, rows).await?.pop())
}

/// Orders with all that belongs to them, in the same order.
async fn with_lines(connection: &mut AsyncPgConnection, rows: Vec<OrderRow>) -> Result<Vec<OrderView>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|order| order.id).collect();
    let all: Vec<OrderLineRow> = order_lines::table
        .filter(order_lines::order_id.eq_any(&ids))
        .order(order_lines::id)
        .select(OrderLineRow::as_select())
        .load(connection)
        .await?;
    let waits_for: Vec<(Uuid, Uuid)> = order_replenishments::table
        .filter(order_replenishments::order_id.eq_any(&ids))
        .order(order_replenishments::replenishment_id)
        .select((order_replenishments::order_id, order_replenishments::replenishment_id))
        .load(connection)
        .await?;
    let mut lines: HashMap<Uuid, Vec<OrderLineRow>> = HashMap::new();
    for line in all {
        lines.entry(line.order_id).or_default().push(line);
    }
    let mut replenishments: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (order, replenishment) in waits_for {
        replenishments.entry(order).or_default().push(replenishment);
    }
    let view = |order: OrderRow| OrderView {
        lines: lines.remove(&order.id).unwrap_or_default(),
        replenishment_ids: replenishments.remove(&order.id).unwrap_or_default(),
        order,
    };
    Ok(rows.into_iter().map(view).collect())
}

struct FindWaiting;
impl StatementSql for FindWaiting {
    // `waiting > 0` as the index has it, so that a plan that is kept can use it.
    const SQL: &'static str = "SELECT id, order_id, waiting FROM order_lines \
        WHERE sku = ? AND waiting > 0 AND id > ? ORDER BY id LIMIT ?";
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = SqlUuid)]
    order_id: Uuid,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}

/// The oldest waiting lines of a product, enough to take `units`; the product's figures are locked.
pub async fn waiting_lines(
    connection: &mut AsyncPgConnection,
    sku: &Sku,
    units: i64,
) -> Result<Vec<WaitingLine>, StoreError> {
    const PAGE: i64 = 1000;
    let mut lines: Vec<WaitingLine> = Vec::new();
    let mut after = 0;
    loop {
        let page: Vec<WaitingRow> = Statement::<FindWaiting>::new()
            .bind::<Text, _>(sku.to_string())
            .bind::<BigInt, _>(after)
            .bind::<BigInt, _>(PAGE)
            .load(connection)
            .await?;
        let is_last = i64::try_from(page.len()).unwrap_or(PAGE) < PAGE;
        after = page.last().map_or(after, |row| row.id);
        lines.extend(page.into_iter().map(|row| WaitingLine {
            order_id: OrderId(row.order_id),
            line_id: row.id,
            waiting: row.waiting,
        }));
        if is_last || lines.iter().map(|line| line.waiting).sum::<i64>() >= units {
            return Ok(lines);
        }
    }
}

struct FillLines;
impl StatementSql for FillLines {
    const SQL: &'static str = "UPDATE order_lines SET filled = filled + fill.units, waiting = waiting - fill.units \
        FROM unnest(?, ?) AS fill (id, units) WHERE order_lines.id = fill.id";
}

struct ConfirmFilled;
impl StatementSql for ConfirmFilled {
    const SQL: &'static str = "UPDATE orders SET status = 'confirmed' WHERE id = ANY(?) AND status = 'backordered' \
        AND NOT EXISTS (SELECT FROM order_lines WHERE order_id = orders.id AND waiting > 0)";
}

/// Gives waiting lines their units; answers the orders that wait for nothing any more.
pub async fn fill(connection: &mut AsyncPgConnection, fills: &[Fill]) -> Result<Vec<OrderView>, StoreError> {
    if fills.is_empty() {
        return Ok(Vec::new());
    }
    Statement::<FillLines>::new()
        .bind::<Array<BigInt>, _>(fills.iter().map(|fill| fill.line_id).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(fills.iter().map(|fill| fill.units).collect::<Vec<_>>())
        .run(connection)
        .await?;
    let mut ids: Vec<Uuid> = fills.iter().map(|fill| fill.order_id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    // Two products of one order may be received at the same time: the later one, seeing the
    // earlier one's lines after this lock, is the one that completes it.
    let waiting: Vec<Uuid> = orders::table
        .filter(orders::id.eq_any(&ids))
        .filter(orders::status.eq("backordered"))
        .order(orders::id)
        .select(orders::id)
        .for_update()
        .load(connection)
        .await?;
    Statement::<ConfirmFilled>::new().bind::<Array<SqlUuid>, _>(waiting.clone()).run(connection).await?;
    let fulfilled = orders::table
        .filter(orders::id.eq_any(&waiting))
        .filter(orders::status.eq("confirmed"))
        .order(orders::id)
        .select(OrderRow::as_select())
        .load(connection)
        .await?;
    with_lines(connection, fulfilled).await
}

/// Locks an order; answers its status. Its products' figures are locked already.
pub async fn lock_status(connection: &mut AsyncPgConnection, id: OrderId) -> Result<Option<String>, StoreError> {
    Ok(orders::table.find(id.0).select(orders::status).for_update().first(connection).await.optional()?)
}

/// What a line had taken, or waited for, when its order was cancelled.
#[derive(Debug, Queryable)]
pub struct ReleasedLine {
    /// What.
    pub sku: String,
    /// Units that it had taken from stock.
    pub filled: i64,
    /// Units that it waited for.
    pub waiting: i64,
}

/// Marks an order cancelled and takes everything from its lines; answers what they had.
pub async fn release(connection: &mut AsyncPgConnection, id: OrderId) -> Result<Vec<ReleasedLine>, StoreError> {
    let mine = order_lines::table.filter(order_lines::order_id.eq(id.0));
    let released = mine
        .order(order_lines::id)
        .select((order_lines::sku, order_lines::filled, order_lines::waiting))
        .for_update()
        .load(connection)
        .await?;
    diesel::update(mine).set((order_lines::filled.eq(0), order_lines::waiting.eq(0))).execute(connection).await?;
    diesel::update(orders::table.find(id.0)).set(orders::status.eq("cancelled")).execute(connection).await?;
    Ok(released)
}

/// Which orders to list.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Only in this status.
    pub status: Option<&'a str>,
    /// Only with a line of this product.
    pub sku: Option<&'a str>,
    /// Only older than this one.
    pub before: Option<Uuid>,
}

/// Orders, newest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    filter: Filter<'_>,
    limit: i64,
) -> Result<Vec<OrderView>, StoreError> {
    let mut query = orders::table.into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(orders::status.eq(status));
    }
    if let Some(sku) = filter.sku {
        let with_line = order_lines::table.filter(order_lines::sku.eq(sku)).select(order_lines::order_id);
        query = query.filter(orders::id.eq_any(with_line));
    }
    if let Some(before) = filter.before {
        query = query.filter(orders::id.lt(before));
    }
    let rows: Vec<OrderRow> =
        query.order(orders::id.desc()).limit(limit).select(OrderRow::as_select()).load(connection).await?;
    with_lines(connection, rows).await
}
