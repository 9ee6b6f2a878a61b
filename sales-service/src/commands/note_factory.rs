//! What production-service says of a factory.

use shared::amqp::consumer::HandleError;
use shared::contracts::factory::FactoryChanged;

use super::Context;
use crate::store::{StoreError, factories};

/// Writes the factory down unless a later revision is already there.
pub async fn note_factory(context: &Context, factory: FactoryChanged) -> Result<(), HandleError> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    factories::upsert(&mut connection, &factory).await?;
    Ok(())
}
