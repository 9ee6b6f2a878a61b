//! What operators look at; nothing changes.

use shared::db::StoreError;
use shared::ids::{FactoryId, RequestId};

use super::Context;
use crate::domain::Factory;
use crate::store::{attempts, factories, requests};

pub use crate::store::attempts::Attempt;
pub use crate::store::requests::{Filter, StoredRequest};

/// Requests that fit, newest first.
pub async fn list_requests(
    context: &Context,
    filter: &Filter,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    requests::list(&mut *context.pool.get().await?, filter, before, limit).await
}

/// One request with its attempts.
pub async fn get_request(
    context: &Context,
    id: RequestId,
) -> Result<Option<(StoredRequest, Vec<Attempt>)>, StoreError> {
    let mut connection = context.pool.get().await?;
    let Some(stored) = requests::find(&mut connection, id).await? else { return Ok(None) };
    let attempts = attempts::of_request(&mut connection, id).await?;
    Ok(Some((stored, attempts)))
}

/// Factories by id.
pub async fn list_factories(context: &Context, after: Option<&str>, limit: i64) -> Result<Vec<Factory>, StoreError> {
    factories::list(&mut *context.pool.get().await?, after, limit).await
}

/// One factory.
pub async fn get_factory(context: &Context, id: &FactoryId) -> Result<Option<Factory>, StoreError> {
    factories::find(&mut *context.pool.get().await?, id).await
}
