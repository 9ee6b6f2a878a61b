//! What production-service says of a factory.

use diesel_async::AsyncConnection;
use shared::amqp::consumer::HandleError;
use shared::contracts::factory::FactoryChanged;

use super::Context;
use crate::store::{StoreError, factories, stock};

/// Writes the factory down unless a later revision is already there. What held back its products,
/// because nobody knew it or it was disabled, holds them back no longer.
pub async fn note_factory(context: &Context, factory: FactoryChanged) -> Result<(), HandleError> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    connection
        .transaction(async move |connection| {
            let was_enabled = factories::is_enabled(connection, &factory.factory_id).await?;
            let is_newer = factories::upsert(connection, &factory).await?;
            if is_newer && factory.enabled && was_enabled != Some(true) {
                stock::forget_refusals_by(connection, &factory.factory_id).await?;
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    Ok(())
}
