//! Learns where a factory's callbacks may come from.

use ipnet::IpNet;
use jaego_contracts::ids::FactoryId;
use jaego_pg::{Pool, StoreError};

use crate::store;

/// A factory as a message tells of it.
#[derive(Debug, Clone)]
pub(crate) struct FactoryNews {
    /// Which.
    pub(crate) id: FactoryId,
    /// Where its callbacks come from; empty: anywhere.
    pub(crate) callback_sources: Vec<IpNet>,
    /// Rises with every change.
    pub(crate) revision: i64,
}

/// Applies the news unless the same or newer ones were applied before.
pub(crate) async fn apply_factory(pool: &Pool, news: FactoryNews) -> Result<(), StoreError> {
    let sources = news.callback_sources.iter().map(ToString::to_string).collect();
    let factory_id = news.id.to_string();
    if store::factories::apply(&mut *pool.get().await?, news.id, sources, news.revision).await? {
        tracing::info!(factory_id, revision = news.revision, "factory changed");
    }
    Ok(())
}
