//! Factories as announced by production-service.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::factory::FactoryChanged;
use jaego_contracts::ids::{FactoryId, Sku};

use super::schema::{factories, products};
use super::{StoreError, corrupt};

/// The data of a factory that decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct FactoryTerms {
    /// True if the factory takes requests.
    pub enabled: bool,
    /// Configured lead time, seconds.
    pub lead_time_s: i64,
    /// Measured median lead time, seconds.
    pub lead_time_p50_s: Option<i64>,
}

/// Locks one factory. None if it has not been announced yet.
pub async fn lock(connection: &mut AsyncPgConnection, id: &FactoryId) -> Result<Option<FactoryTerms>, StoreError> {
    let terms = (factories::enabled, factories::lead_time_s, factories::lead_time_p50_s);
    Ok(factories::table.find(id.as_str()).select(terms).for_update().first(connection).await.optional()?)
}

/// Products made by this factory.
pub async fn products_of(connection: &mut AsyncPgConnection, id: &FactoryId) -> Result<BTreeSet<Sku>, StoreError> {
    let made = products::table.filter(products::factory_id.eq(id.as_str())).select(products::sku);
    let skus: Vec<String> = made.load(connection).await?;
    skus.into_iter().map(|sku| sku.parse().map_err(|_| corrupt("a SKU"))).collect()
}

/// Stores a factory unless this or a later revision is already stored. Returns whether it was written.
pub async fn upsert(connection: &mut AsyncPgConnection, factory: &FactoryChanged) -> Result<bool, StoreError> {
    let written = sql_query(
        "INSERT INTO factories (factory_id, name, enabled, lead_time_s, lead_time_p50_s, lead_time_p90_s, revision) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (factory_id) DO UPDATE SET name = excluded.name, enabled = excluded.enabled, \
         lead_time_s = excluded.lead_time_s, lead_time_p50_s = excluded.lead_time_p50_s, \
         lead_time_p90_s = excluded.lead_time_p90_s, revision = excluded.revision \
         WHERE factories.revision < excluded.revision",
    )
    .bind::<Text, _>(factory.factory_id.as_str())
    .bind::<Text, _>(&factory.name)
    .bind::<Bool, _>(factory.enabled)
    .bind::<BigInt, _>(factory.lead_time_s)
    .bind::<Nullable<BigInt>, _>(factory.lead_time_p50_s)
    .bind::<Nullable<BigInt>, _>(factory.lead_time_p90_s)
    .bind::<BigInt, _>(factory.revision)
    .execute(connection)
    .await?;
    Ok(written == 1)
}
