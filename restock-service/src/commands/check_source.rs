//! Whether a callback may come from where it comes from.

use std::net::IpAddr;

use ipnet::IpNet;
use shared::db::{Pool, StoreError};
use shared::ids::FactoryId;

use crate::{networks, store};

/// True when the factory has no list, or the address is on it.
pub(crate) async fn check_source(
    pool: &Pool,
    factory_id: &FactoryId,
    address: Option<IpAddr>,
) -> Result<bool, StoreError> {
    let sources = store::factories::callback_sources(&mut *pool.get().await?, factory_id).await?;
    if sources.is_empty() {
        return Ok(true);
    }
    let sources: Vec<IpNet> = sources.iter().filter_map(|text| networks::parse(text)).collect();
    Ok(address.is_some_and(|address| networks::contain(&sources, address)))
}
