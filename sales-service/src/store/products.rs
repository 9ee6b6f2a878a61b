//! Products and their policies.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{FactoryId, Sku};

use super::schema::products;
use super::{StoreError, corrupt};
use crate::domain::policy::{Mode, Policy, Shortage};

#[derive(Debug, Clone, Queryable, QueryableByName, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = products, treat_none_as_null = true)]
pub struct ProductRow {
    pub sku: String,
    /// Name shown to shoppers.
    pub name: String,
    /// Unit price, minor units.
    pub price: i64,
    pub factory_id: String,
    /// True if shoppers see the product.
    pub on_sale: bool,
    pub reorder_point: i64,
    pub order_up_to: i64,
    pub lot_size: i64,
    pub mode: String,
    pub shortage: String,
    pub max_backordered: Option<i64>,
    /// Incremented by every change.
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Maximum units in one shopper's order. None applies the limit for all products.
    pub max_per_order: Option<i64>,
}

/// A product to be written.
#[derive(Debug, Clone)]
pub struct Product {
    pub sku: Sku,
    /// Name shown to shoppers.
    pub name: String,
    /// Unit price, minor units.
    pub price: i64,
    pub factory_id: FactoryId,
    /// True if shoppers see the product.
    pub on_sale: bool,
    /// Maximum units in one shopper's order. None applies the limit for all products.
    pub max_per_order: Option<i64>,
    pub policy: Policy,
}

impl ProductRow {
    /// The policy. The table's constraints are the policy's bounds, so every row has a valid one.
    pub fn policy(&self) -> Result<Policy, StoreError> {
        let words = Mode::of_name(&self.mode).zip(Shortage::of_name(&self.shortage));
        words
            .and_then(|(mode, shortage)| {
                let max = self.max_backordered;
                Policy::new(self.reorder_point, self.order_up_to, self.lot_size, mode, shortage, max).ok()
            })
            .ok_or_else(|| corrupt(&format!("the policy of {}", self.sku)))
    }

    pub fn factory(&self) -> Result<FactoryId, StoreError> {
        self.factory_id.parse().map_err(|_| corrupt(&format!("the factory of {}", self.sku)))
    }
}

impl From<&Product> for ProductRow {
    fn from(product: &Product) -> Self {
        let now = Utc::now();
        Self {
            sku: product.sku.to_string(),
            name: product.name.clone(),
            price: product.price,
            factory_id: product.factory_id.to_string(),
            on_sale: product.on_sale,
            reorder_point: product.policy.reorder_point(),
            order_up_to: product.policy.order_up_to(),
            lot_size: product.policy.lot_size(),
            mode: product.policy.mode().name().to_owned(),
            shortage: product.policy.shortage().name().to_owned(),
            max_backordered: product.policy.max_backordered(),
            version: 1,
            created_at: now,
            updated_at: now,
            max_per_order: product.max_per_order,
        }
    }
}

/// Locks an existing product for a change.
pub async fn lock(connection: &mut AsyncPgConnection, sku: &Sku) -> Result<ProductRow, StoreError> {
    let query = products::table.find(sku.as_str()).select(ProductRow::as_select()).for_no_key_update();
    Ok(query.first(connection).await?)
}

pub async fn get(connection: &mut AsyncPgConnection, sku: &Sku) -> Result<Option<ProductRow>, StoreError> {
    let query = products::table.find(sku.as_str()).select(ProductRow::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// Adds a product with nothing on hand. Returns None if it exists. Waits for another transaction that is adding it.
pub async fn insert(connection: &mut AsyncPgConnection, product: &Product) -> Result<Option<ProductRow>, StoreError> {
    let row = ProductRow::from(product);
    let added = diesel::insert_into(products::table).values(&row).on_conflict_do_nothing().execute(connection).await?;
    if added == 0 {
        return Ok(None);
    }
    let sku = super::schema::stock::sku.eq(&row.sku);
    diesel::insert_into(super::schema::stock::table).values(sku).execute(connection).await?;
    Ok(Some(row))
}

/// Changes a product that was locked with [`lock`].
pub async fn update(
    connection: &mut AsyncPgConnection,
    before: &ProductRow,
    product: &Product,
) -> Result<ProductRow, StoreError> {
    let after = ProductRow { version: before.version + 1, created_at: before.created_at, ..ProductRow::from(product) };
    diesel::update(products::table.find(&before.sku)).set(&after).execute(connection).await?;
    Ok(after)
}
