//! The state that decisions are based on: products with their figures, policies and open requests.
//!
//! The state of a product is cached after it was written, and orders may be decided on the cache: [`holding`] locks
//! the rows under the condition that they still have the cached versions (an optimistic lock). Therefore every change
//! of what is loaded here must raise the version. A trigger does it for `stock` and `products`;
//! [`super::replenishments`] and [`super::factories`] do it by writing the `stock` row.

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
use crate::domain::product_state::{Moment, OpenRequest, Pauses, ProductState, ProductStates};

/// The state for a decision, with the row versions it was read at.
#[derive(Debug, Default)]
pub struct Loaded {
    pub states: ProductStates,
    /// For [`holding`] and for writing the products.
    pub versions: BTreeMap<Sku, i64>,
}

/// A database timestamp as a domain time.
pub fn moment(at: DateTime<Utc>) -> Moment {
    at.timestamp_micros()
}

/// A domain time as a database timestamp.
pub fn time(moment: Moment) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(moment)
}

/// Locks the figures of these products in key order, then reads their policies and open requests, in one round trip.
/// Unknown SKUs are omitted.
pub async fn lock(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<Loaded, StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    // The statements run in order, so the reads see everything committed before the lock was acquired.
    let (figures, terms, open) = futures::join!(
        lock_figures(connection, &keys),
        terms(connection, &keys),
        replenishments::open(connection, &keys),
    );
    assemble(figures?, terms?, open?)
}

/// Like [`lock`], but also omits products that another transaction has locked.
pub async fn lock_free(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<Loaded, StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    let (figures, terms, open) = futures::join!(
        lock_free_figures(connection, &keys),
        terms(connection, &keys),
        replenishments::open(connection, &keys),
    );
    assemble(figures?, terms?, open?)
}

/// Like [`lock`], but without locks, for display.
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
        let state = ProductState {
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
        loaded.states.insert(sku, state);
    }
    Ok(loaded)
}

async fn lock_figures(mut connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<StockRow>, StoreError> {
    let rows = stock::table.filter(stock::sku.eq_any(skus)).order(stock::sku).select(StockRow::as_select());
    Ok(rows.for_update().load(&mut connection).await?)
}

async fn lock_free_figures(mut connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<StockRow>, StoreError> {
    let rows = stock::table.filter(stock::sku.eq_any(skus)).order(stock::sku).select(StockRow::as_select());
    Ok(rows.for_update().skip_locked().load(&mut connection).await?)
}

async fn read_figures(mut connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<StockRow>, StoreError> {
    let rows = stock::table.filter(stock::sku.eq_any(skus)).order(stock::sku).select(StockRow::as_select());
    Ok(rows.load(&mut connection).await?)
}

struct FindTerms;
impl StatementSql for FindTerms {
    // The count of requests is capped at the highest value of the limit it is compared with. The statuses are
    // literals, as in the indices, so that a cached plan can use them.
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

/// Locks the rows in key order and raises `serialization_failure` unless each has the expected version. It is the
/// first part of the statement that writes a batch; the other parts refer to it, so nothing is written before it
/// succeeds.
pub struct Holding;
impl StatementSql for Holding {
    // The query runs product by product, because a plan for all of them, made while there are few, reads the whole
    // table when there are many. Each array is in its own SELECT. Otherwise one product looks so much cheaper than
    // the ten that the planner assumes for any array that it replans for each batch, which is a sixth of what an
    // order costs PostgreSQL.
    const SQL: &'static str = "SELECT serialization_failure_unless(count(held.is_so) = count(*)) AS is_held \
        FROM (SELECT * FROM unnest((SELECT ?), (SELECT ?)) AS each (sku, version) ORDER BY sku) AS known \
        LEFT JOIN LATERAL (SELECT true AS is_so FROM stock \
            WHERE stock.sku = known.sku AND stock.version = known.version FOR UPDATE) AS held ON true";
}

pub fn holding(versions: &BTreeMap<Sku, i64>) -> Statement<Holding> {
    Statement::<Holding>::new()
        .bind::<Array<Text>, _>(versions.keys().map(Sku::to_string).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(versions.values().copied().collect::<Vec<_>>())
}

/// Returns true if a write failed because a row's version was not the expected one.
pub fn is_stale(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _))
}

/// The version of a product's stock, which another transaction has locked. None if something else of the product is
/// held.
pub type HeldVersion = Option<i64>;

struct Held;
impl StatementSql for Held {
    // A new replenishment refers to its product, which needs a lock on that row, too.
    const SQL: &'static str = "SELECT wanted.sku, CASE WHEN stock_lock IS NULL THEN stock.version END AS version \
        FROM unnest(?) AS wanted (sku) \
        CROSS JOIN LATERAL (SELECT version FROM stock WHERE sku = wanted.sku OFFSET 0) AS stock \
        LEFT JOIN LATERAL (SELECT true AS is_free FROM stock WHERE sku = wanted.sku FOR UPDATE SKIP LOCKED) \
            AS stock_lock ON true \
        LEFT JOIN LATERAL (SELECT true AS is_free FROM products WHERE sku = wanted.sku FOR KEY SHARE SKIP LOCKED) \
            AS product_lock ON true \
        WHERE stock_lock IS NULL OR product_lock IS NULL";
}

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = Text)]
    sku: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    version: HeldVersion,
}

/// Those of the given products that another transaction holds. Runs as its own statement, so it keeps no locks, and
/// waits for none.
pub async fn held(
    connection: &AsyncPgConnection,
    skus: &BTreeSet<Sku>,
) -> Result<BTreeMap<Sku, HeldVersion>, StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    let rows: Vec<HeldRow> = Statement::<Held>::new().bind::<Array<Text>, _>(keys).load(connection).await?;
    let held = rows.into_iter().map(|row| Ok((row.sku.parse().map_err(|_| corrupt("a SKU"))?, row.version)));
    held.collect()
}

struct Raise;
impl StatementSql for Raise {
    const SQL: &'static str = "UPDATE stock SET version = version + 1 WHERE sku = ANY(?)";
}

/// Raises the versions of products whose rows are locked, so that no write based on the previous versions succeeds.
pub async fn raise_versions(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<(), StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    Statement::<Raise>::new().bind::<Array<Text>, _>(keys).run(connection).await?;
    Ok(())
}

/// Locks the rows of these products in key order without reading anything else.
pub async fn lock_rows(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<(), StoreError> {
    let keys: Vec<String> = skus.iter().map(Sku::to_string).collect();
    lock_figures(connection, &keys).await?;
    Ok(())
}
