//! What is decided on: products with their figures, their policy and what is on order.
//!
//! Whoever has written a row of `stock` knows what is in it until its version is another one, so a batch of orders
//! may be decided on what the process remembers: [`holding`] locks the rows on the condition that they still have
//! the versions that were remembered. For that, every change of what is loaded here raises the version: a trigger
//! does it for `stock` and `products`, [`super::replenishments`] and [`super::factories`] by writing the row.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{RequestId, Sku};
use jaego_pg::{Statement, StatementSql};

use super::products::ProductRow;
use super::replenishments::OpenRow;
use super::schema::stock;
use super::stock::StockRow;
use super::{StoreError, corrupt, replenishments};
use crate::domain::shelf::{Moment, OpenRequest, Pauses, Shelf, Shelves};

/// What a decision works on: shelves, and the versions that their rows have.
#[derive(Debug, Default)]
pub struct Loaded {
    /// For the decision.
    pub shelves: Shelves,
    /// For [`holding`] and for writing them.
    pub versions: BTreeMap<Sku, i64>,
}

/// A time as the rules count it.
pub fn moment(at: DateTime<Utc>) -> Moment {
    at.timestamp_micros()
}

/// A time of the rules as it is stored.
pub fn time(moment: Moment) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(moment)
}

/// Locks the figures of these products in key order, then reads their policies and what is on order, in one round
/// trip. Unknown SKUs are left out.
pub async fn lock(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<Loaded, StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    // Done one after the other: what is read after the lock is what was committed before it was had.
    let (figures, terms, open) = futures::join!(
        lock_figures(connection, &keys),
        terms(connection, &keys),
        replenishments::open(connection, &keys),
    );
    assemble(figures?, terms?, open?)
}

/// The same without locks, for showing.
pub async fn read(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<Loaded, StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    let (figures, terms, open) = futures::join!(
        read_figures(connection, &keys),
        terms(connection, &keys),
        replenishments::open(connection, &keys),
    );
    assemble(figures?, terms?, open?)
}

fn assemble(figures: Vec<StockRow>, terms: Vec<Terms>, open: Vec<OpenRow>) -> Result<Loaded, StoreError> {
    let mut terms: BTreeMap<String, Terms> =
        terms.into_iter().map(|terms| (terms.product.sku.clone(), terms)).collect();
    let mut requests: BTreeMap<String, Vec<OpenRequest>> = BTreeMap::new();
    for row in open {
        let request = OpenRequest { id: RequestId(row.id), units: row.units, due: row.due().map(moment) };
        requests.entry(row.sku).or_default().push(request);
    }
    let mut loaded = Loaded::default();
    for row in figures {
        let Some(terms) = terms.remove(&row.sku) else { continue };
        let sku: Sku = row.sku.parse().map_err(|_| corrupt("a SKU"))?;
        let shelf = Shelf {
            figures: row.figures(),
            policy: terms.product.policy()?,
            factory_id: terms.product.factory()?,
            lead_time_s: terms.lead_time_s,
            unit_price: terms.product.price,
            on_sale: terms.product.on_sale,
            max_per_order: terms.product.max_per_order,
            open: requests.remove(&row.sku).unwrap_or_default(),
            automatic_open: usize::try_from(terms.automatic_open).unwrap_or_default(),
            has_proposal: terms.has_proposal,
            pauses: Pauses {
                refusals_in_a_row: u32::try_from(row.refusals_in_a_row).unwrap_or_default(),
                refused_until: row.replenish_not_before.map(moment),
                snoozed_until: row.snoozed_until.map(moment),
            },
            changed_at: moment(row.updated_at),
        };
        loaded.versions.insert(sku.clone(), row.version);
        loaded.shelves.insert(sku, shelf);
    }
    Ok(loaded)
}

async fn lock_figures(mut connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<StockRow>, StoreError> {
    let rows = stock::table.filter(stock::sku.eq_any(skus)).order(stock::sku).select(StockRow::as_select());
    Ok(rows.for_update().load(&mut connection).await?)
}

async fn read_figures(mut connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<StockRow>, StoreError> {
    let rows = stock::table.filter(stock::sku.eq_any(skus)).order(stock::sku).select(StockRow::as_select());
    Ok(rows.load(&mut connection).await?)
}

struct FindTerms;
impl StatementSql for FindTerms {
    // The requests are counted as far as a bound on them may go, not as many as there are. The statuses as the
    // indices have them: a plan that is kept can use them then.
    const SQL: &'static str = "SELECT products.*, coalesce(factories.lead_time_p50_s, factories.lead_time_s) AS lead_time_s, \
        EXISTS (SELECT FROM replenishments r WHERE r.sku = products.sku AND r.status = 'proposed') AS has_proposal, \
        (SELECT count(*) FROM (SELECT FROM replenishments r WHERE r.sku = products.sku \
            AND r.status IN ('open', 'stalled') AND r.reason <> 'manual' LIMIT 1000) AS counted) AS automatic_open \
        FROM unnest(?) AS wanted (sku) \
        CROSS JOIN LATERAL (SELECT * FROM products WHERE products.sku = wanted.sku LIMIT 1) AS products \
        LEFT JOIN factories ON factories.factory_id = products.factory_id";
}

#[derive(QueryableByName)]
struct Terms {
    #[diesel(embed)]
    product: ProductRow,
    #[diesel(sql_type = Nullable<BigInt>)]
    lead_time_s: Option<i64>,
    #[diesel(sql_type = Bool)]
    has_proposal: bool,
    #[diesel(sql_type = BigInt)]
    automatic_open: i64,
}

async fn terms(connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<Terms>, StoreError> {
    Ok(Statement::<FindTerms>::new().bind::<Array<Text>, _>(skus.to_vec()).load(connection).await?)
}

/// Locks the rows in key order, and raises `serialization_failure` unless each has the version that is expected of it.
/// The first part of the statement that writes a batch; the others refer to it, so that nothing is written before.
pub struct Holding;
impl StatementSql for Holding {
    // Product by product: a plan for all of them, made while there are few, reads the whole table when there are many.
    // The arrays in SELECTs of their own: otherwise one product looks so much cheaper than the ten which the planner
    // takes for any array that it plans anew for each batch, which is a sixth of what an order costs PostgreSQL.
    const SQL: &'static str = "SELECT serialization_failure_unless(count(held.is_so) = count(*)) AS is_held \
        FROM (SELECT * FROM unnest((SELECT ?), (SELECT ?)) AS each (sku, version) ORDER BY sku) AS known \
        LEFT JOIN LATERAL (SELECT true AS is_so FROM stock \
            WHERE stock.sku = known.sku AND stock.version = known.version FOR UPDATE) AS held ON true";
}

/// [`Holding`] for these versions.
pub fn holding(versions: &BTreeMap<Sku, i64>) -> Statement<Holding> {
    Statement::<Holding>::new()
        .bind::<Array<Text>, _>(versions.keys().map(Sku::to_string).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(versions.values().copied().collect::<Vec<_>>())
}

/// Whether a write failed because a row had another version than was remembered.
pub fn is_stale(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _))
}

struct Free;
impl StatementSql for Free {
    const SQL: &'static str = "SELECT stock.sku FROM stock WHERE stock.sku = ANY(?) FOR UPDATE SKIP LOCKED";
}

#[derive(QueryableByName)]
struct SkuRow {
    #[diesel(sql_type = Text)]
    sku: String,
}

/// Of these products, those whose rows somebody holds now. In a statement of its own, so that it holds nothing itself.
pub async fn held(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<BTreeSet<Sku>, StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    let free: Vec<SkuRow> = Statement::<Free>::new().bind::<Array<Text>, _>(keys.clone()).load(connection).await?;
    let exists: Vec<SkuRow> = Statement::<Exist>::new().bind::<Array<Text>, _>(keys).load(connection).await?;
    let free: BTreeSet<String> = free.into_iter().map(|row| row.sku).collect();
    let held = exists.into_iter().filter(|row| !free.contains(&row.sku));
    held.map(|row| row.sku.parse().map_err(|_| corrupt("a SKU"))).collect()
}

struct Exist;
impl StatementSql for Exist {
    const SQL: &'static str = "SELECT stock.sku FROM stock WHERE stock.sku = ANY(?)";
}

struct Wait;
impl StatementSql for Wait {
    const SQL: &'static str = "SELECT stock.sku FROM stock WHERE stock.sku = ? FOR UPDATE";
}

/// Waits until nobody holds this product's row, as long as the connection waits for a lock. In a statement of its own,
/// so that it holds nothing itself.
pub async fn wait_until_free(connection: &AsyncPgConnection, sku: &Sku) -> Result<(), StoreError> {
    Statement::<Wait>::new().bind::<Text, _>(sku.to_string()).load::<SkuRow>(connection).await?;
    Ok(())
}

struct Raise;
impl StatementSql for Raise {
    const SQL: &'static str = "UPDATE stock SET version = version + 1 WHERE sku = ANY(?)";
}

/// Raises the versions of products whose rows are locked: nothing that was decided on what they were is written
/// after this.
pub async fn raise_versions(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<(), StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    Statement::<Raise>::new().bind::<Array<Text>, _>(keys).run(connection).await?;
    Ok(())
}

/// Locks the rows of these products in key order, and nothing else.
pub async fn lock_rows(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<(), StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    lock_figures(connection, &keys).await?;
    Ok(())
}
