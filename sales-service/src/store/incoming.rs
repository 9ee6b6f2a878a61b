//! Units that have arrived and are still to be handed out to waiting orders.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::Sku;

use super::schema::incoming;
use super::{StoreError, corrupt};

/// Units that more orders wait for than one transaction fills. Its product's `on_order` counts them.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = incoming)]
pub struct IncomingRow {
    /// Its place: the first to come is the first to be handed out.
    pub id: i64,
    /// Why they came.
    pub cause: String,
    /// How many are left.
    pub units: i64,
    /// The receipt or adjustment.
    pub reference: String,
    /// Who brought them in.
    pub actor: String,
    /// An operator's words.
    pub note: Option<String>,
    /// The trace that they belong to.
    pub traceparent: String,
}

/// Units to be handed out later.
#[derive(Debug, Insertable)]
#[diesel(table_name = incoming)]
pub struct NewIncoming<'a> {
    /// Which product.
    pub sku: &'a str,
    /// Why they came.
    pub cause: &'a str,
    /// How many.
    pub units: i64,
    /// The receipt or adjustment.
    pub reference: &'a str,
    /// Who brought them in.
    pub actor: &'a str,
    /// An operator's words.
    pub note: Option<&'a str>,
    /// The trace that they belong to.
    pub traceparent: String,
    /// When they came.
    pub arrived_at: DateTime<Utc>,
}

/// Keeps units for later; their product's row is locked.
pub async fn keep(connection: &mut AsyncPgConnection, rows: &[NewIncoming<'_>]) -> Result<(), StoreError> {
    if !rows.is_empty() {
        diesel::insert_into(incoming::table).values(rows).execute(connection).await?;
    }
    Ok(())
}

/// The first units that are to be handed out of a product; its row is locked.
pub async fn first(connection: &mut AsyncPgConnection, sku: &Sku) -> Result<Option<IncomingRow>, StoreError> {
    let query = incoming::table.filter(incoming::sku.eq(sku.as_str())).order(incoming::id);
    Ok(query.select(IncomingRow::as_select()).first(connection).await.optional()?)
}

/// Writes how many of them are left.
pub async fn set_left(connection: &mut AsyncPgConnection, id: i64, left: i64) -> Result<(), StoreError> {
    let row = incoming::table.find(id);
    if left == 0 {
        diesel::delete(row).execute(connection).await?;
    } else {
        diesel::update(row).set(incoming::units.eq(left)).execute(connection).await?;
    }
    Ok(())
}

/// Most products that one round looks at.
const PRODUCTS_MAX: i64 = 1000;

/// Products of which units are to be handed out.
pub async fn skus(connection: &mut AsyncPgConnection) -> Result<Vec<Sku>, StoreError> {
    let query = incoming::table.select(incoming::sku).distinct().order(incoming::sku).limit(PRODUCTS_MAX);
    let skus: Vec<String> = query.load(connection).await?;
    skus.into_iter().map(|sku| sku.parse().map_err(|_| corrupt("a SKU"))).collect()
}
