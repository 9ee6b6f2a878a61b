//! Figures and ledger.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql};
use shared::ids::{FactoryId, MovementId, Sku};
use uuid::Uuid;

use super::products::ProductRow;
use super::replenishments::UnderWay;
use super::schema::{self, products, stock, stock_movements};
use super::{StoreError, corrupt, replenishments};
use crate::domain::policy::{self, Mode};
use crate::domain::replenishment::Status;
use crate::domain::stock::{Figures, Movement};

/// A product's figures as they are stored.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = stock)]
pub struct StockRow {
    /// Which product.
    pub sku: String,
    /// In the warehouse.
    pub on_hand: i64,
    /// Sold, waiting for stock.
    pub backordered: i64,
    /// Requested, not yet received.
    pub on_order: i64,
    /// Nothing is ordered by itself before this.
    pub replenish_not_before: Option<DateTime<Utc>>,
    /// Refusals since a factory last accepted.
    pub refusals_in_a_row: i32,
    /// When the figures last changed.
    pub updated_at: DateTime<Utc>,
    /// An operator wants nothing ordered by itself before this.
    pub snoozed_until: Option<DateTime<Utc>>,
}

impl StockRow {
    /// The figures alone.
    pub fn figures(&self) -> Figures {
        Figures { on_hand: self.on_hand, backordered: self.backordered, on_order: self.on_order }
    }

    /// Until when nothing is ordered by itself; None when nothing holds it back now.
    pub fn paused_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.replenish_not_before.max(self.snoozed_until).filter(|until| now < *until)
    }
}

/// A ledger entry as it is stored.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = stock_movements)]
pub struct MovementRow {
    /// Its id.
    pub id: Uuid,
    /// Its place in the ledger.
    pub entry: i64,
    /// Which product.
    pub sku: String,
    /// Why.
    pub cause: String,
    /// Units, signed.
    pub delta: i64,
    /// On hand before.
    pub before: i64,
    /// On hand after.
    pub after: i64,
    /// The order, receipt or adjustment.
    pub reference: String,
    /// Who.
    pub actor: String,
    /// An operator's words.
    pub note: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

struct WriteFigures;
impl StatementSql for WriteFigures {
    const SQL: &'static str = "UPDATE stock SET on_hand = new.on_hand, backordered = new.backordered, \
        on_order = new.on_order, updated_at = now() \
        FROM unnest(?, ?, ?, ?) AS new (sku, on_hand, backordered, on_order) WHERE stock.sku = new.sku";
}

/// Writes the figures of products whose rows are locked.
pub async fn write_figures(connection: &AsyncPgConnection, figures: &[(&Sku, Figures)]) -> Result<(), StoreError> {
    if !figures.is_empty() {
        writing_figures(figures).run(connection).await?;
    }
    Ok(())
}

/// What [`write_figures`] does, to be done together with other statements.
pub fn writing_figures(figures: &[(&Sku, Figures)]) -> Statement<impl StatementSql + use<>> {
    let column = |pick: fn(&Figures) -> i64| figures.iter().map(|(_, figures)| pick(figures)).collect::<Vec<_>>();
    Statement::<WriteFigures>::new()
        .bind::<Array<Text>, _>(figures.iter().map(|(sku, _)| sku.to_string()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(column(|figures| figures.on_hand))
        .bind::<Array<BigInt>, _>(column(|figures| figures.backordered))
        .bind::<Array<BigInt>, _>(column(|figures| figures.on_order))
}

struct InsertMovements;
impl StatementSql for InsertMovements {
    const SQL: &'static str = "INSERT INTO stock_movements \
        (id, sku, cause, delta, before, after, reference, actor, note, at) \
        SELECT id, sku, cause, delta, before, before + delta, reference, ?, ?, ? \
        FROM unnest(?, ?, ?, ?, ?, ?) WITH ORDINALITY \
        AS new (id, sku, cause, delta, before, reference, place) ORDER BY place";
}

/// Who changed stock, when, and in which words.
#[derive(Debug, Clone, Copy)]
pub struct Hand<'a> {
    /// Who: an operator's name, `shop` or `factory`.
    pub actor: &'a str,
    /// When.
    pub at: DateTime<Utc>,
    /// An operator's words.
    pub note: Option<&'a str>,
}

/// Writes ledger entries; answers their ids. `reference` names what an entry belongs to.
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

/// What [`insert_movements`] does, to be done together with other statements.
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

/// A refusal: nothing is ordered by itself for a while ([`policy::refusal_pause_s`]).
pub async fn pause_after_refusal(
    connection: &mut AsyncPgConnection,
    sku: &Sku,
    now: DateTime<Utc>,
    pause_s: i64,
    pause_max_s: i64,
) -> Result<(), StoreError> {
    let row = stock::table.find(sku.as_str());
    let refusals: i32 = row.select(stock::refusals_in_a_row).first(connection).await?;
    let pause_s = policy::refusal_pause_s(u32::try_from(refusals).unwrap_or_default(), pause_s, pause_max_s);
    let until = chrono::Duration::try_seconds(pause_s).and_then(|pause| now.checked_add_signed(pause));
    diesel::update(row)
        .set((stock::refusals_in_a_row.eq(refusals.saturating_add(1)), stock::replenish_not_before.eq(until)))
        .execute(connection)
        .await?;
    Ok(())
}

/// A factory works for this product: nothing is held back, and the next refusal pauses for the
/// shortest time again.
pub async fn forget_refusals(connection: &mut AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    let refused = stock::table.filter(stock::sku.eq(sku.as_str())).filter(stock::refusals_in_a_row.gt(0));
    let none = (stock::refusals_in_a_row.eq(0), stock::replenish_not_before.eq(None::<DateTime<Utc>>));
    diesel::update(refused).set(none).execute(connection).await?;
    Ok(())
}

/// The same for several products; their rows are locked already.
pub async fn forget_refusals_of(connection: &mut AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<(), StoreError> {
    let keys: Vec<&str> = skus.iter().map(Sku::as_str).collect();
    let refused = stock::table.filter(stock::sku.eq_any(keys)).filter(stock::refusals_in_a_row.gt(0));
    let none = (stock::refusals_in_a_row.eq(0), stock::replenish_not_before.eq(None::<DateTime<Utc>>));
    diesel::update(refused).set(none).execute(connection).await?;
    Ok(())
}

/// The same for all products of a factory; their rows are locked in key order.
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

/// A product with its figures and when more is expected, for showing.
#[derive(Debug)]
pub struct StockView {
    /// The product.
    pub product: ProductRow,
    /// Its figures.
    pub stock: StockRow,
    /// When more should be here.
    pub restock_eta: Option<DateTime<Utc>>,
    /// A proposal waits for an operator.
    pub has_proposal: bool,
}

/// Which products to show.
#[derive(Debug, Default)]
pub struct StockFilter<'a> {
    /// Only these.
    pub skus: Option<&'a [&'a str]>,
    /// Only those on sale.
    pub only_on_sale: bool,
    /// Only SKUs after this one.
    pub after: Option<&'a str>,
}

/// Products in the order of their SKU.
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
    let skus: Vec<&str> = rows.iter().map(|(product, _)| product.sku.as_str()).collect();
    let under_way = replenishments::under_way(connection, &skus).await?;
    let now = Utc::now();
    let view = |(product, stock): (ProductRow, StockRow)| {
        let mine = || under_way.iter().filter(|replenishment| replenishment.sku == stock.sku);
        let restock_eta = mine().filter_map(|replenishment| replenishment.restock_eta(now)).min();
        let has_proposal = mine().any(UnderWay::is_proposal);
        StockView { product, stock, restock_eta, has_proposal }
    };
    Ok(rows.into_iter().map(view).collect())
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

/// Holds back what is ordered by itself; false when there is no such product.
pub async fn snooze(connection: &mut AsyncPgConnection, sku: &Sku, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let updated =
        diesel::update(stock::table.find(sku.as_str())).set(stock::snoozed_until.eq(until)).execute(connection).await?;
    Ok(updated == 1)
}

/// Most products that one sweep looks at.
const SWEEP_MAX: i64 = 10_000;

/// Products whose position is at or below the reorder point and which nothing holds back.
pub async fn low(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<Vec<Sku>, StoreError> {
    let position = stock::on_hand + stock::on_order - stock::backordered;
    let skus: Vec<String> = stock::table
        .inner_join(products::table.on(products::sku.eq(stock::sku)))
        .filter(products::mode.ne(Mode::Off.name()))
        .filter(position.le(products::reorder_point))
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
