//! Figures and ledger.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{FactoryId, MovementId, Sku};
use jaego_pg::{Statement, StatementSql};
use uuid::Uuid;

use super::products::ProductRow;
use super::schema::{self, products, stock, stock_movements};
use super::{StoreError, corrupt, product_states};
use crate::domain::policy::Mode;
use crate::domain::product_state::ProductState;
use crate::domain::replenishment::Status;
use crate::domain::stock::{Figures, Movement};

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = stock)]
pub struct StockRow {
    pub sku: String,
    /// Units in the warehouse.
    pub on_hand: i64,
    /// Units sold and waiting for stock.
    pub backordered: i64,
    /// Units ordered and not yet received.
    pub on_order: i64,
    /// End of the pause of automatic orders after a refusal.
    pub replenish_not_before: Option<DateTime<Utc>>,
    /// Refusals since a factory last accepted.
    pub refusals_in_a_row: i32,
    /// Time of the last change of the figures.
    pub updated_at: DateTime<Utc>,
    /// End of the pause of automatic orders set by an operator.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// Raised by every change of data that decisions depend on.
    pub version: i64,
}

impl StockRow {
    pub fn figures(&self) -> Figures {
        Figures { on_hand: self.on_hand, backordered: self.backordered, on_order: self.on_order }
    }

    /// End of the pause of automatic orders. None if there is no pause now.
    pub fn paused_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.replenish_not_before.max(self.snoozed_until).filter(|until| now < *until)
    }
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = stock_movements)]
pub struct MovementRow {
    pub id: Uuid,
    /// Position in the ledger.
    pub entry: i64,
    pub sku: String,
    pub cause: String,
    /// Signed units.
    pub delta: i64,
    pub before: i64,
    pub after: i64,
    /// The order, receipt or adjustment that caused the entry.
    pub reference: String,
    /// An operator's name, `shop` or `factory`.
    pub actor: String,
    /// An operator's note.
    pub note: Option<String>,
    pub at: DateTime<Utc>,
}

struct WriteStock;
impl StatementSql for WriteStock {
    // `part_0` is `Holding`: no row is updated before all of them are locked, in key order.
    const SQL: &'static str = "UPDATE stock SET on_hand = new.on_hand, backordered = new.backordered, \
        on_order = new.on_order, refusals_in_a_row = new.refusals, replenish_not_before = new.refused_until, \
        version = new.version, updated_at = new.at \
        FROM part_0, unnest(?, ?, ?, ?, ?, ?, ?, ?) \
        AS new (sku, on_hand, backordered, on_order, refusals, refused_until, version, at) \
        WHERE part_0.is_held AND stock.sku = new.sku";
}

/// A product as changed by a decision.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    pub sku: &'a Sku,
    pub state: &'a ProductState,
    /// The new version of its row.
    pub version: i64,
}

/// Writes products together with [`product_states::holding`], which must be the first part.
pub fn writing(changed: &[Changed<'_>]) -> Statement<impl StatementSql + use<>> {
    fn column<T>(changed: &[Changed<'_>], pick: impl Fn(&ProductState) -> T) -> Vec<T> {
        changed.iter().map(|changed| pick(changed.state)).collect()
    }
    Statement::<WriteStock>::new()
        .bind::<Array<Text>, _>(changed.iter().map(|changed| changed.sku.to_string()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(column(changed, |state| state.figures.on_hand))
        .bind::<Array<BigInt>, _>(column(changed, |state| state.figures.backordered))
        .bind::<Array<BigInt>, _>(column(changed, |state| state.figures.on_order))
        .bind::<Array<Integer>, _>(column(changed, |state| {
            i32::try_from(state.pauses.refusals_in_a_row).unwrap_or(i32::MAX)
        }))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(changed, |state| {
            state.pauses.refused_until.and_then(product_states::time)
        }))
        .bind::<Array<BigInt>, _>(changed.iter().map(|changed| changed.version).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(column(changed, |state| product_states::time(state.changed_at)))
}

/// Writes products whose rows are locked.
pub async fn write(
    connection: &AsyncPgConnection,
    held: &BTreeMap<Sku, i64>,
    changed: &[Changed<'_>],
) -> Result<(), StoreError> {
    if !changed.is_empty() {
        product_states::holding(held).together().and(writing(changed)).run(connection).await?;
    }
    Ok(())
}

struct InsertMovements;
impl StatementSql for InsertMovements {
    const SQL: &'static str = "INSERT INTO stock_movements \
        (id, sku, cause, delta, before, after, reference, actor, note, at) \
        SELECT id, sku, cause, delta, before, before + delta, reference, ?, ?, ? \
        FROM unnest(?, ?, ?, ?, ?, ?) WITH ORDINALITY \
        AS new (id, sku, cause, delta, before, reference, place) ORDER BY place";
}

/// Origin of a stock change.
#[derive(Debug, Clone, Copy)]
pub struct Hand<'a> {
    /// An operator's name, `shop` or `factory`.
    pub actor: &'a str,
    pub at: DateTime<Utc>,
    /// An operator's note.
    pub note: Option<&'a str>,
}

/// Writes ledger entries and returns their ids. `reference` gives the text stored for an entry's reference.
pub async fn insert_movements<R>(
    connection: &AsyncPgConnection,
    movements: &[Movement<R>],
    hand: Hand<'_>,
    reference: impl Fn(&R) -> String,
) -> Result<Vec<MovementId>, StoreError> {
    let (ids, inserting) = inserting_movements(movements, hand, reference);
    if !ids.is_empty() {
        inserting.run(connection).await?;
    }
    Ok(ids)
}

/// The statement of [`insert_movements`], to be combined with others.
pub fn inserting_movements<R, F: Fn(&R) -> String>(
    movements: &[Movement<R>],
    hand: Hand<'_>,
    reference: F,
) -> (Vec<MovementId>, Statement<impl StatementSql + use<R, F>>) {
    let ids: Vec<MovementId> = movements.iter().map(|_| MovementId::generate()).collect();
    let number = |pick: fn(&Movement<R>) -> i64| movements.iter().map(pick).collect::<Vec<_>>();
    let inserting = Statement::<InsertMovements>::new()
        .bind::<Text, _>(hand.actor.to_owned())
        .bind::<Nullable<Text>, _>(hand.note.map(ToOwned::to_owned))
        .bind::<Timestamptz, _>(hand.at)
        .bind::<Array<SqlUuid>, _>(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(movements.iter().map(|entry| entry.sku.to_string()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(movements.iter().map(|entry| entry.cause.name()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(number(|entry| entry.delta))
        .bind::<Array<BigInt>, _>(number(|entry| entry.before))
        .bind::<Array<Text>, _>(movements.iter().map(|entry| reference(&entry.reference)).collect::<Vec<_>>());
    (ids, inserting)
}

/// Clears the refusals of a product, which came from a factory that no longer makes it.
pub async fn forget_refusals(connection: &mut AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    let none = (stock::refusals_in_a_row.eq(0), stock::replenish_not_before.eq(None::<DateTime<Utc>>));
    diesel::update(stock::table.find(sku.as_str())).set(none).execute(connection).await?;
    Ok(())
}

/// Ends the refusal pauses of all products of a factory, which has shown that it works. Rows are locked in key order.
pub async fn forget_refusals_by(connection: &mut AsyncPgConnection, factory: &FactoryId) -> Result<(), StoreError> {
    let its_own = products::table.filter(products::factory_id.eq(factory.as_str())).select(products::sku);
    let skus: Vec<String> = stock::table
        .filter(stock::sku.eq_any(its_own))
        .filter(stock::refusals_in_a_row.gt(0))
        .order(stock::sku)
        .select(stock::sku)
        .for_update()
        .load(connection)
        .await?;
    let none = (stock::refusals_in_a_row.eq(0), stock::replenish_not_before.eq(None::<DateTime<Utc>>));
    diesel::update(stock::table.filter(stock::sku.eq_any(skus))).set(none).execute(connection).await?;
    Ok(())
}

/// A product with its figures and open requests, for display.
#[derive(Debug)]
pub struct StockView {
    pub product: ProductRow,
    pub stock: StockRow,
    /// The state that decisions are based on.
    pub state: ProductState,
}

impl StockView {
    /// Expected arrival of a unit ordered now, if none is on hand.
    pub fn restock_eta(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let eta = self.state.promised_at(self.state.figures.backordered, 1, product_states::moment(now));
        eta.and_then(product_states::time)
    }
}

/// Filter for [`list`].
#[derive(Debug, Default)]
pub struct StockFilter<'a> {
    pub skus: Option<&'a [&'a str]>,
    pub only_on_sale: bool,
    /// Only SKUs after this one.
    pub after: Option<&'a str>,
}

/// Products in SKU order.
pub async fn list(
    connection: &mut AsyncPgConnection,
    filter: StockFilter<'_>,
    limit: i64,
) -> Result<Vec<StockView>, StoreError> {
    let mut query = products::table.inner_join(stock::table.on(stock::sku.eq(products::sku))).into_boxed();
    if let Some(skus) = filter.skus {
        query = query.filter(products::sku.eq_any(skus));
    }
    if filter.only_on_sale {
        query = query.filter(products::on_sale);
    }
    if let Some(after) = filter.after {
        query = query.filter(products::sku.gt(after));
    }
    let rows: Vec<(ProductRow, StockRow)> = query
        .order(products::sku)
        .limit(limit)
        .select((ProductRow::as_select(), StockRow::as_select()))
        .load(connection)
        .await?;
    let skus = rows.iter().map(|(product, _)| product.sku.parse().map_err(|_| corrupt("a SKU")));
    let skus: Vec<Sku> = skus.collect::<Result<_, StoreError>>()?;
    let mut states = product_states::read(connection, &skus.iter().cloned().collect()).await?.states;
    let views = rows.into_iter().zip(skus).filter_map(|((product, stock), sku)| {
        let state = states.remove(&sku)?;
        Some(StockView { product, stock, state })
    });
    Ok(views.collect())
}

/// Ledger entries of a product, newest first.
pub async fn movements(
    connection: &mut AsyncPgConnection,
    sku: &Sku,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<MovementRow>, StoreError> {
    let mut query = stock_movements::table.filter(stock_movements::sku.eq(sku.as_str())).into_boxed();
    if let Some(before) = before {
        query = query.filter(stock_movements::entry.lt(before));
    }
    let query = query.order(stock_movements::entry.desc()).limit(limit).select(MovementRow::as_select());
    Ok(query.load(connection).await?)
}

/// Pauses automatic orders of a product until the given time. Returns false if there is no such product.
pub async fn snooze(connection: &mut AsyncPgConnection, sku: &Sku, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let updated =
        diesel::update(stock::table.find(sku.as_str())).set(stock::snoozed_until.eq(until)).execute(connection).await?;
    Ok(updated == 1)
}

/// Maximum products per sweep.
const SWEEP_MAX: i64 = 10_000;

/// Products without a pause whose position is at or below the reorder point. Withdrawn products only if orders wait
/// for more than is on order.
pub async fn low(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<Vec<Sku>, StoreError> {
    let position = stock::on_hand + stock::on_order - stock::backordered;
    let skus: Vec<String> = stock::table
        .inner_join(products::table.on(products::sku.eq(stock::sku)))
        .filter(products::mode.ne(Mode::Off.name()))
        .filter(position.le(products::reorder_point))
        .filter(products::on_sale.or(position.lt(0)))
        .filter(diesel::dsl::not(
            products::mode.eq(Mode::Manual.name()).and(diesel::dsl::exists(
                schema::replenishments::table
                    .filter(schema::replenishments::sku.eq(stock::sku))
                    .filter(schema::replenishments::status.eq(Status::Proposed.name())),
            )),
        ))
        .filter(stock::replenish_not_before.is_null().or(stock::replenish_not_before.le(now)))
        .filter(stock::snoozed_until.is_null().or(stock::snoozed_until.le(now)))
        .order(stock::sku)
        .limit(SWEEP_MAX)
        .select(stock::sku)
        .load(connection)
        .await?;
    skus.into_iter().map(|sku| sku.parse().map_err(|_| corrupt("a SKU"))).collect()
}
