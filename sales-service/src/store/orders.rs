//! Orders and their lines.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{OrderId, RequestId, Sku};
use jaego_pg::{Statement, StatementSql};
use jaego_service::idempotency::{KeptAnswer, KeyUse};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::schema::{order_lines, order_replenishments, orders};
use super::{StoreError, corrupt};
use crate::domain::goods::{Fill, WaitingLine};
use crate::domain::intake::DecidedOrder;

#[derive(Debug, Clone, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = orders)]
pub struct OrderRow {
    pub id: Uuid,
    pub status: String,
    /// The customer, as named by the shop.
    pub customer: Option<String>,
    /// Total price, minor units.
    pub total: i64,
    /// The trace of the order's request.
    pub traceparent: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = order_lines)]
pub struct OrderLineRow {
    pub order_id: Uuid,
    pub sku: String,
    /// Units ordered.
    pub quantity: i64,
    /// Units taken from stock.
    pub filled: i64,
    /// Units sold and waiting for stock.
    pub waiting: i64,
    /// Unit price, minor units.
    pub unit_price: i64,
}

/// An order with its lines and replenishments.
#[derive(Debug, Clone)]
pub struct OrderView {
    pub order: OrderRow,
    /// Lines in the order of the request.
    pub lines: Vec<OrderLineRow>,
    /// The replenishments that cover the units this order waits for, or has waited for.
    pub replenishment_ids: Vec<Uuid>,
    /// Replenishments made necessary by this order that do not cover it.
    pub set_off: Vec<Uuid>,
}

impl OrderView {
    /// All replenishments related to this order.
    pub fn all_replenishments(&self) -> Vec<Uuid> {
        self.replenishment_ids.iter().chain(&self.set_off).copied().collect()
    }
}

/// A decided order with the parts of the request that the decision does not need.
#[derive(Debug)]
pub struct OrderToInsert<'a> {
    pub decided: &'a DecidedOrder,
    /// The customer, as named by the shop.
    pub customer: Option<&'a str>,
    /// The trace of the order's request.
    pub traceparent: String,
    /// The Idempotency-Key, with the answer unless it can be rendered again from the order.
    pub key: Option<OrderKey<'a>>,
}

/// The part of a request's Idempotency-Key that is stored with the order.
#[derive(Debug, Clone, Copy)]
pub struct OrderKey<'a> {
    pub key: &'a KeyUse,
    /// The answer. None for a confirmed order, whose answer can be rendered again whatever happens to the order.
    pub answer: Option<&'a KeptAnswer>,
}

/// Lookup value of a key: digest of endpoint, caller and key.
pub fn key_hash(used: &KeyUse) -> Vec<u8> {
    Sha256::digest(format!("{}\n{}\n{}", used.endpoint, used.caller, used.key)).to_vec()
}

struct InsertOrders;
impl StatementSql for InsertOrders {
    // `part_0` is [`super::product_states::Holding`].
    const SQL: &'static str = "INSERT INTO orders \
        (id, status, customer, total, traceparent, key_hash, fingerprint, answer_status, answer, created_at) \
        SELECT id, status, customer, total, traceparent, key_hash, fingerprint, answer_status, answer, ? \
        FROM part_0, unnest(?, ?, ?, ?, ?, ?, ?, ?, ?) \
        AS new (id, status, customer, total, traceparent, key_hash, fingerprint, answer_status, answer) WHERE part_0.is_held";
}

/// Inserts orders together with [`super::product_states::holding`], which must be the first part; their lines are inserted
/// by [`inserting_lines`]. A key that another order has used violates [`KEY`].
pub fn inserting(new: &[OrderToInsert<'_>], now: DateTime<Utc>) -> Statement<impl StatementSql + use<>> {
    Statement::<InsertOrders>::new()
        .bind::<Timestamptz, _>(now)
        .bind::<Array<SqlUuid>, _>(new.iter().map(|order| order.decided.id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|order| order.decided.status.name()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(new.iter().map(|order| order.customer.map(str::to_owned)).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(new.iter().map(|order| order.decided.total()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|order| order.traceparent.clone()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Binary>>, _>(keyed(new, |key| key_hash(key.key)))
        .bind::<Array<Nullable<Binary>>, _>(keyed(new, |key| key.key.fingerprint.clone()))
        .bind::<Array<Nullable<SmallInt>>, _>(answers(new, |answer| i16::try_from(answer.status).unwrap_or(500)))
        .bind::<Array<Nullable<Text>>, _>(answers(new, |answer| answer.body.clone()))
}

fn answers<T>(new: &[OrderToInsert<'_>], pick: impl Fn(&KeptAnswer) -> T) -> Vec<Option<T>> {
    new.iter().map(|order| order.key?.answer.map(&pick)).collect()
}

fn keyed<T>(new: &[OrderToInsert<'_>], pick: impl Fn(OrderKey<'_>) -> T) -> Vec<Option<T>> {
    new.iter().map(|order| order.key.map(&pick)).collect()
}

/// The unique index on keys.
pub const KEY: &str = "orders_key";

struct FindKept;
impl StatementSql for FindKept {
    const SQL: &'static str = "SELECT kept.* FROM unnest(?) AS wanted (key_hash) CROSS JOIN LATERAL ( \
        SELECT id, key_hash, fingerprint, answer_status, answer, status, customer, total, traceparent, created_at, \
        CASE WHEN answer IS NULL THEN (SELECT jsonb_agg(jsonb_build_object('sku', sku, 'quantity', quantity, \
            'unit_price', unit_price) ORDER BY order_lines.id) FROM order_lines WHERE order_id = orders.id) END AS lines \
        FROM orders WHERE key_hash = wanted.key_hash LIMIT 1) AS kept";
}

/// An order that was placed with an Idempotency-Key.
#[derive(Debug, QueryableByName)]
#[diesel(table_name = orders)]
pub struct KeptOrder {
    /// Lookup value of the key ([`key_hash`]).
    #[diesel(sql_type = Binary)]
    pub key_hash: Vec<u8>,
    /// Digest of the request's body.
    #[diesel(sql_type = Binary)]
    pub fingerprint: Vec<u8>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    answer_status: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    answer: Option<String>,
    #[diesel(embed)]
    order: OrderRow,
    #[diesel(sql_type = Nullable<Jsonb>)]
    lines: Option<serde_json::Value>,
}

/// A line of an order that was placed with a key.
#[derive(Deserialize)]
struct KeptLine {
    sku: String,
    quantity: i64,
    unit_price: i64,
}

impl KeptOrder {
    /// The original answer: the stored one, or, for an order that was confirmed at once, the one rendered again by
    /// `confirmed`.
    pub fn into_answer(self, confirmed: impl FnOnce(OrderView) -> KeptAnswer) -> Result<KeptAnswer, StoreError> {
        if let (Some(status), Some(body)) = (self.answer_status, self.answer) {
            return Ok(KeptAnswer { status: u16::try_from(status).unwrap_or(500), body });
        }
        let lines: Vec<KeptLine> = serde_json::from_value(self.lines.unwrap_or_default())
            .map_err(|_| corrupt("the lines of an order with a key"))?;
        let order_id = self.order.id;
        let line = |KeptLine { sku, quantity, unit_price }| OrderLineRow {
            order_id,
            sku,
            quantity,
            filled: quantity,
            waiting: 0,
            unit_price,
        };
        let lines = lines.into_iter().map(line).collect();
        let view = OrderView { order: self.order, lines, replenishment_ids: Vec::new(), set_off: Vec::new() };
        Ok(confirmed(view))
    }
}

/// The orders that were placed with these keys. Must run in a transaction.
pub async fn kept(connection: &AsyncPgConnection, hashes: Vec<Vec<u8>>) -> Result<Vec<KeptOrder>, StoreError> {
    // A plan cached while the table was empty would read the whole table.
    let find = Statement::<FindKept>::new().bind::<Array<Binary>, _>(hashes);
    Ok(find.load_replanned(connection).await?)
}

struct FindAny;
impl StatementSql for FindAny {
    const SQL: &'static str = "SELECT id FROM orders WHERE id = ANY(?) LIMIT 1";
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    #[expect(dead_code, reason = "whether there is a row is the answer")]
    id: Uuid,
}

/// Returns true if one of these orders exists. The orders of one batch are either all stored or none is.
pub async fn exists(connection: &AsyncPgConnection, ids: Vec<Uuid>) -> Result<bool, StoreError> {
    let rows: Vec<IdRow> = Statement::<FindAny>::new().bind::<Array<SqlUuid>, _>(ids).load(connection).await?;
    Ok(!rows.is_empty())
}

struct InsertLines;
impl StatementSql for InsertLines {
    const SQL: &'static str = "INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
        SELECT order_id, sku, quantity, filled, waiting, unit_price \
        FROM unnest(?, ?, ?, ?, ?, ?) WITH ORDINALITY \
        AS new (order_id, sku, quantity, filled, waiting, unit_price, place) ORDER BY place";
}

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
    const SQL: &'static str = "INSERT INTO order_replenishments (order_id, replenishment_id, covers) \
        SELECT * FROM unnest(?, ?, ?) ON CONFLICT DO NOTHING";
}

/// Links orders to the replenishments that cover their waiting units, and to those that they set off.
pub fn inserting_replenishments(
    new: &[OrderToInsert<'_>],
    set_off: &[(OrderId, RequestId)],
) -> Statement<impl StatementSql + use<>> {
    let covering = new.iter().flat_map(|order| order.decided.replenishments.iter().map(|id| (order.decided.id, *id)));
    let covering = covering.map(|link| (link, true));
    let links: Vec<_> = covering.chain(set_off.iter().map(|link| (*link, false))).collect();
    Statement::<InsertOrderReplenishments>::new()
        .bind::<Array<SqlUuid>, _>(links.iter().map(|((order, _), _)| order.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(links.iter().map(|((_, request), _)| request.0).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(links.iter().map(|(_, covers)| *covers).collect::<Vec<_>>())
}

/// These orders with their lines and replenishments.
pub async fn all(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<OrderView>, StoreError> {
    let rows = orders::table.filter(orders::id.eq_any(ids)).select(OrderRow::as_select()).load(connection).await?;
    with_lines(connection, rows).await
}

pub async fn get(connection: &mut AsyncPgConnection, id: OrderId) -> Result<Option<OrderView>, StoreError> {
    let rows = orders::table.find(id.0).select(OrderRow::as_select()).load(connection).await?;
    Ok(with_lines(connection, rows).await?.pop())
}

/// Loads lines and replenishments; keeps the order of `rows`.
async fn with_lines(connection: &mut AsyncPgConnection, rows: Vec<OrderRow>) -> Result<Vec<OrderView>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|order| order.id).collect();
    let all: Vec<OrderLineRow> = order_lines::table
        .filter(order_lines::order_id.eq_any(&ids))
        .order(order_lines::id)
        .select(OrderLineRow::as_select())
        .load(connection)
        .await?;
    let links: Vec<(Uuid, Uuid, bool)> = order_replenishments::table
        .filter(order_replenishments::order_id.eq_any(&ids))
        .order(order_replenishments::replenishment_id)
        .select(order_replenishments::all_columns)
        .load(connection)
        .await?;
    let mut lines: HashMap<Uuid, Vec<OrderLineRow>> = HashMap::new();
    for line in all {
        lines.entry(line.order_id).or_default().push(line);
    }
    let mut covering: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    let mut set_off: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (order, replenishment, covers) in links {
        let list = if covers { &mut covering } else { &mut set_off };
        list.entry(order).or_default().push(replenishment);
    }
    let view = |order: OrderRow| OrderView {
        lines: lines.remove(&order.id).unwrap_or_default(),
        replenishment_ids: covering.remove(&order.id).unwrap_or_default(),
        set_off: set_off.remove(&order.id).unwrap_or_default(),
        order,
    };
    Ok(rows.into_iter().map(view).collect())
}

struct FindWaiting;
impl StatementSql for FindWaiting {
    // `waiting > 0` is a literal, as in the partial index, so that a cached plan can use the index.
    const SQL: &'static str = "SELECT id, order_id, waiting FROM order_lines \
        WHERE sku = ? AND waiting > 0 ORDER BY id LIMIT ?";
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

/// Maximum lines filled by one transaction, which bounds the time it holds the product's row to some tens of
/// milliseconds.
pub const FILLED_MAX: i64 = 1000;

/// The oldest waiting lines of a product, at most [`FILLED_MAX`]. The caller has locked the product's figures.
pub async fn waiting_lines(connection: &AsyncPgConnection, sku: &Sku) -> Result<Vec<WaitingLine>, StoreError> {
    let rows: Vec<WaitingRow> = Statement::<FindWaiting>::new()
        .bind::<Text, _>(sku.to_string())
        .bind::<BigInt, _>(FILLED_MAX)
        .load(connection)
        .await?;
    let line = |row: WaitingRow| WaitingLine { order_id: OrderId(row.order_id), line_id: row.id, waiting: row.waiting };
    Ok(rows.into_iter().map(line).collect())
}

struct FillLines;
impl StatementSql for FillLines {
    const SQL: &'static str = "UPDATE order_lines SET filled = filled + fill.units, waiting = waiting - fill.units \
        FROM unnest(?, ?, ?) AS fill (order_id, id, units) \
        WHERE order_lines.order_id = fill.order_id AND order_lines.id = fill.id";
}

struct ConfirmFilled;
impl StatementSql for ConfirmFilled {
    const SQL: &'static str = "UPDATE orders SET status = 'confirmed' WHERE id = ANY(?) AND status = 'backordered' \
        AND NOT EXISTS (SELECT FROM order_lines WHERE order_id = orders.id AND waiting > 0)";
}

/// Fills waiting lines. Returns the orders that no longer wait for anything.
pub async fn fill(connection: &mut AsyncPgConnection, fills: &[Fill]) -> Result<Vec<OrderView>, StoreError> {
    if fills.is_empty() {
        return Ok(Vec::new());
    }
    Statement::<FillLines>::new()
        .bind::<Array<SqlUuid>, _>(fills.iter().map(|fill| fill.order_id.0).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(fills.iter().map(|fill| fill.line_id).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(fills.iter().map(|fill| fill.units).collect::<Vec<_>>())
        .run_by_index(connection)
        .await?;
    let mut ids: Vec<Uuid> = fills.iter().map(|fill| fill.order_id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    // Two products of one order may be received at the same time. The later transaction sees the earlier one's lines
    // after this lock, so it is the one that completes the order.
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

/// Locks an order and returns its status. The caller has locked its products' figures.
pub async fn lock_status(connection: &mut AsyncPgConnection, id: OrderId) -> Result<Option<String>, StoreError> {
    Ok(orders::table.find(id.0).select(orders::status).for_update().first(connection).await.optional()?)
}

/// Units that a line had taken or was waiting for when its order was cancelled.
#[derive(Debug, Queryable)]
pub struct ReleasedLine {
    pub sku: String,
    /// Units taken from stock.
    pub filled: i64,
    /// Units waited for.
    pub waiting: i64,
}

/// Marks an order cancelled and clears its lines. Returns what the lines had.
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

/// Filter for [`list`].
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub status: Option<&'a str>,
    /// Only orders with a line of this product.
    pub sku: Option<&'a str>,
    /// Only orders older than this one.
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
