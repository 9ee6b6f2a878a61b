//! What sales knows of factories.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::contracts::factory::FactoryChanged;
use shared::ids::FactoryId;

use super::StoreError;
use super::schema::factories;

/// Whether a factory is enabled; None when nobody has told of it.
pub async fn is_enabled(connection: &mut AsyncPgConnection, id: &FactoryId) -> Result<Option<bool>, StoreError> {
    let row = factories::table.find(id.as_str()).select(factories::enabled).for_update().first(connection).await;
    Ok(row.optional()?)
}

/// Writes a factory down unless this revision, or a later one, is already there; answers whether it did.
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
