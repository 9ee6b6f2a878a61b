//! What orders are decided on: shelves with their rows locked.
//!
//! Whoever has just written them knows what is in them. [`hold`] locks them on the condition that nobody else wrote
//! since, so that a batch of orders needs no look at them before. For that, every change of what is loaded here
//! (figures, pauses, product, replenishments under way) writes the row of `stock` or `products`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::expression::{AppearsOnTable, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql};
use shared::ids::{RequestId, Sku};

use super::products::ProductRow;
use super::replenishments::UnderWay;
use super::schema::{factories, products, stock};
use super::stock::StockRow;
use super::{StoreError, corrupt, replenishments};
use crate::domain::shelf::{Shelf, Shelves};

/// What its rows do not tell of a shelf, a factory's lead time, is never older.
const KNOWN_FOR: TimeDelta = TimeDelta::seconds(5);

/// When goods that are under way should be here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// The earliest receipt that is still to be expected; None when nothing is under way in time.
    pub restock_eta: Option<DateTime<Utc>>,
    /// The factory's lead time, seconds, if the factory is known.
    pub lead_time_s: Option<i64>,
}

/// By what the rows of a shelf are known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The transaction that wrote its row of `stock` ([`Loaded::transaction`]).
    pub figures: i64,
    /// The one that wrote its product; and the server's start: another server, to which everybody turns when this one
    /// has failed, may give the numbers of lost transactions to others.
    pub terms: String,
    /// From then on it may be another shelf without its rows being written: a pause has ended, goods are late, or
    /// [`KNOWN_FOR`] has passed.
    pub until: DateTime<Utc>,
}

/// What a batch works on: shelves with their rows locked, and when goods are expected.
#[derive(Debug, Default)]
pub struct Loaded {
    /// For the decision.
    pub shelves: Shelves,
    /// For the answer.
    pub expected: BTreeMap<Sku, Expected>,
    /// For the next look at them.
    pub versions: BTreeMap<Sku, Version>,
    /// The transaction that has locked them: PostgreSQL's xid, the `xmin` of what it writes. 0 when nothing is locked.
    pub transaction: i64,
}

/// Locks the figures of these products in key order, then reads their policies and what is under
/// way, in one round trip. Unknown SKUs are left out.
pub async fn lock(
    connection: &AsyncPgConnection,
    skus: &BTreeSet<Sku>,
    now: DateTime<Utc>,
) -> Result<Loaded, StoreError> {
    let keys: Vec<&str> = skus.iter().map(Sku::as_str).collect();
    // Done one after the other: what is read after the lock is what was committed before it was had.
    let (figures, products, under_way) = futures::join!(
        lock_figures(connection, &keys),
        products_and_lead_times(connection, &keys),
        replenishments::under_way(connection, &keys),
    );
    let (figures, products, under_way) = (figures?, products?, under_way?);
    let mut products: BTreeMap<String, _> = products
        .into_iter()
        .map(|(product, terms, lead_time_s, p50_s)| (product.sku.clone(), (product, terms, p50_s.or(lead_time_s))))
        .collect();
    let mut loaded = Loaded::default();
    for (row, version, transaction) in figures {
        loaded.transaction = transaction;
        let Some((product, terms, lead_time_s)) = products.remove(&row.sku) else { continue };
        let sku: Sku = row.sku.parse().map_err(|_| corrupt("a SKU"))?;
        let mine = || under_way.iter().filter(|replenishment| replenishment.sku == row.sku);
        let paused_until = row.paused_until(now);
        let shelf = Shelf {
            figures: row.figures(),
            policy: product.policy()?,
            factory_id: product.factory()?,
            unit_price: product.price,
            on_sale: product.on_sale,
            open_replenishments: mine().map(|replenishment| RequestId(replenishment.id)).collect(),
            has_proposal: mine().any(UnderWay::is_proposal),
            is_paused: paused_until.is_some(),
        };
        let restock_eta = mine().filter_map(|replenishment| replenishment.restock_eta(now)).min();
        let until = [paused_until, restock_eta].into_iter().flatten().fold(now + KNOWN_FOR, DateTime::min);
        loaded.expected.insert(sku.clone(), Expected { restock_eta, lead_time_s });
        loaded.versions.insert(sku.clone(), Version { figures: version, terms, until });
        loaded.shelves.insert(sku, shelf);
    }
    Ok(loaded)
}

/// SQL in fixed words within a query that stays prepared: queries with [`diesel::dsl::sql`] in them do not.
macro_rules! fixed_sql {
    ($name:ident, $sql_type:ty, $sql:literal) => {
        #[derive(Debug, Clone, Copy, QueryId)]
        struct $name;
        impl diesel::Expression for $name {
            type SqlType = $sql_type;
        }
        impl<Group> ValidGrouping<Group> for $name {
            type IsAggregate = is_aggregate::Never;
        }
        impl<Source> SelectableExpression<Source> for $name {}
        impl<Source> AppearsOnTable<Source> for $name {}
        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                pass.push_sql($sql);
                Ok(())
            }
        }
    };
}

fixed_sql!(FiguresVersion, BigInt, "stock.xmin::text::bigint");
fixed_sql!(TermsVersion, Text, "concat_ws(':', products.xmin, pg_postmaster_start_time())");
fixed_sql!(ThisTransaction, BigInt, "pg_current_xact_id()::xid::text::bigint");

async fn lock_figures(
    mut connection: &AsyncPgConnection,
    skus: &[&str],
) -> Result<Vec<(StockRow, i64, i64)>, StoreError> {
    let rows = stock::table.filter(stock::sku.eq_any(skus)).order(stock::sku);
    let rows = rows.select((StockRow::as_select(), FiguresVersion, ThisTransaction));
    Ok(rows.for_update().load(&mut connection).await?)
}

type ProductTermsAndLeadTimes = (ProductRow, String, Option<i64>, Option<i64>);

async fn products_and_lead_times(
    mut connection: &AsyncPgConnection,
    skus: &[&str],
) -> Result<Vec<ProductTermsAndLeadTimes>, StoreError> {
    let rows = products::table
        .left_join(factories::table.on(factories::factory_id.eq(products::factory_id)))
        .filter(products::sku.eq_any(skus))
        .select((
            ProductRow::as_select(),
            TermsVersion,
            factories::lead_time_s.nullable(),
            factories::lead_time_p50_s.nullable(),
        ));
    Ok(rows.load(&mut connection).await?)
}

struct Hold;
impl StatementSql for Hold {
    // Product by product: a plan for all of them, made while there are few, reads the whole table when there are many.
    // The arrays in SELECTs of their own: otherwise one product looks so much cheaper than the ten which the planner
    // takes for any array that it plans anew for each batch, which is a sixth of what an order costs PostgreSQL.
    const SQL: &'static str = "SELECT serialization_failure_unless(count(held.is_so) = count(*)) AS is_held, \
        pg_current_xact_id()::xid::text::bigint AS transaction \
        FROM (SELECT * FROM unnest((SELECT ?), (SELECT ?), (SELECT ?)) \
        AS each (sku, figures, terms) ORDER BY sku) AS known \
        LEFT JOIN LATERAL ( \
            SELECT true AS is_so FROM stock JOIN products ON products.sku = stock.sku \
            WHERE stock.sku = known.sku AND stock.xmin::text::bigint = known.figures \
            AND concat_ws(':', products.xmin, pg_postmaster_start_time()) = known.terms \
            FOR UPDATE OF stock) AS held ON true";
}

#[derive(QueryableByName)]
struct HeldBy {
    #[diesel(sql_type = BigInt)]
    transaction: i64,
}

/// Locks the figures of these products in key order if nobody has written their rows since they had these
/// versions; answers the transaction ([`Loaded::transaction`]). None when one of them is another by now: then the
/// transaction has failed, and nothing that is sent after this is done in it.
pub async fn hold(
    connection: &AsyncPgConnection,
    versions: &BTreeMap<Sku, Version>,
) -> Result<Option<i64>, StoreError> {
    let held = Statement::<Hold>::new()
        .bind::<Array<Text>, _>(versions.keys().map(Sku::to_string).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(versions.values().map(|version| version.figures).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(versions.values().map(|version| version.terms.clone()).collect::<Vec<_>>())
        .load::<HeldBy>(connection)
        .await;
    match held {
        Ok(rows) => Ok(rows.into_iter().map(|row| row.transaction).next()),
        Err(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
