//! Stores where a factory's callbacks may come from.

use ipnet::IpNet;
use jaego_contracts::ids::FactoryId;
use jaego_pg::{Pool, StoreError};

use crate::store;

/// A factory as described by a message.
#[derive(Debug, Clone)]
pub(crate) struct FactoryNews {
    pub(crate) id: FactoryId,
    /// Networks that its callbacks may come from; empty: any.
    pub(crate) callback_sources: Vec<IpNet>,
    /// Increases with every change.
    pub(crate) revision: i64,
}

/// Applies the message unless the same or a newer revision was applied before.
pub(crate) async fn apply_factory(pool: &Pool, news: FactoryNews) -> Result<(), StoreError> {
    let sources = news.callback_sources.iter().map(ToString::to_string).collect();
    let factory_id = news.id.to_string();
    if store::factories::apply(&mut *pool.get().await?, news.id, sources, news.revision).await? {
        tracing::info!(factory_id, revision = news.revision, "factory changed");
    }
    Ok(())
}
