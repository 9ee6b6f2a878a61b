//! Stores production-service's announcements of factories.

use diesel_async::AsyncConnection;
use jaego_contracts::factory::FactoryChanged;
use jaego_postbox::consumer::HandleError;

use super::Context;
use crate::store::factories::FactoryTerms;
use crate::store::{StoreError, factories, product_states, stock};

/// Stores the factory unless a later revision is already stored. Ends the pauses of its products if it was unknown or
/// disabled before and is enabled now.
pub async fn note_factory(context: &Context, factory: FactoryChanged) -> Result<(), HandleError> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    connection
        .transaction(async move |connection| {
            let before = factories::lock(connection, &factory.factory_id).await?;
            if !factories::upsert(connection, &factory).await? {
                return Ok(());
            }
            if factory.enabled && !before.is_some_and(|before| before.enabled) {
                stock::forget_refusals_by(connection, &factory.factory_id).await?;
            }
            let lead_times = |terms: FactoryTerms| (terms.lead_time_s, terms.lead_time_p50_s);
            if before.map(lead_times) != Some((factory.lead_time_s, factory.lead_time_p50_s)) {
                // Promised dates depend on the lead times.
                let skus = factories::products_of(connection, &factory.factory_id).await?;
                product_states::lock_rows(connection, &skus).await?;
                product_states::raise_versions(connection, &skus).await?;
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    Ok(())
}
