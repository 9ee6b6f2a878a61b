//! Whether a callback may come from where it comes from.

use std::net::IpAddr;

use ipnet::IpNet;
use shared::db::{Pool, StoreError};
use shared::ids::FactoryId;

use crate::{networks, store};

/// True when it is on the installation's list and on the factory's; a list that is empty allows all.
pub(crate) async fn check_source(
    pool: &Pool,
    allowed: &[IpNet],
    factory_id: &FactoryId,
    address: Option<IpAddr>,
) -> Result<bool, StoreError> {
    let is_on = |list: &[IpNet]| list.is_empty() || address.is_some_and(|address| networks::contain(list, address));
    if !is_on(allowed) {
        return Ok(false);
    }
    let sources = store::factories::callback_sources(&mut *pool.get().await?, factory_id).await?;
    // A list of which nothing can be read is no empty list.
    let read: Vec<IpNet> = sources.iter().filter_map(|text| networks::parse(text)).collect();
    Ok(is_on(&read) && (sources.is_empty() || !read.is_empty()))
}
