//! Units that have arrived and are still to be handed out to waiting orders.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::Sku;

use super::schema::incoming;
use super::{StoreError, corrupt};

/// Units for more waiting orders than one transaction fills. They count in their product's `on_order`.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = incoming)]
pub struct IncomingRow {
    /// Ascending in order of arrival; the lowest is handed out first.
    pub id: i64,
    pub cause: String,
    /// Units still to be handed out.
    pub units: i64,
    /// The receipt or adjustment that they came with.
    pub reference: String,
    /// An operator's name, `shop` or `factory`.
    pub actor: String,
    /// An operator's note.
    pub note: Option<String>,
    pub traceparent: String,
}

/// Units to be handed out later.
#[derive(Debug, Insertable)]
#[diesel(table_name = incoming)]
pub struct NewIncoming<'a> {
    pub sku: &'a str,
    pub cause: &'a str,
    pub units: i64,
    /// The receipt or adjustment that they came with.
    pub reference: &'a str,
    /// An operator's name, `shop` or `factory`.
    pub actor: &'a str,
    /// An operator's note.
    pub note: Option<&'a str>,
    pub traceparent: String,
    pub arrived_at: DateTime<Utc>,
}

/// Stores units for later. The caller has locked their products' rows.
pub async fn keep(connection: &mut AsyncPgConnection, rows: &[NewIncoming<'_>]) -> Result<(), StoreError> {
    if !rows.is_empty() {
        diesel::insert_into(incoming::table).values(rows).execute(connection).await?;
    }
    Ok(())
}

/// The earliest units of a product that are still to be handed out. The caller has locked its row.
pub async fn first(connection: &mut AsyncPgConnection, sku: &Sku) -> Result<Option<IncomingRow>, StoreError> {
    let query = incoming::table.filter(incoming::sku.eq(sku.as_str())).order(incoming::id);
    Ok(query.select(IncomingRow::as_select()).first(connection).await.optional()?)
}

/// Stores the remaining units, or deletes the row if none are left.
pub async fn set_left(connection: &mut AsyncPgConnection, id: i64, left: i64) -> Result<(), StoreError> {
    let row = incoming::table.find(id);
    if left == 0 {
        diesel::delete(row).execute(connection).await?;
    } else {
        diesel::update(row).set(incoming::units.eq(left)).execute(connection).await?;
    }
    Ok(())
}

/// Maximum products per round.
const PRODUCTS_MAX: i64 = 1000;

/// Products with units still to be handed out.
pub async fn skus(connection: &mut AsyncPgConnection) -> Result<Vec<Sku>, StoreError> {
    let query = incoming::table.select(incoming::sku).distinct().order(incoming::sku).limit(PRODUCTS_MAX);
    let skus: Vec<String> = query.load(connection).await?;
    skus.into_iter().map(|sku| sku.parse().map_err(|_| corrupt("a SKU"))).collect()
}
