//! Read-only queries for operators.

use jaego_contracts::ids::{FactoryId, RequestId};
use jaego_pg::StoreError;
use std::collections::HashMap;

use super::Context;
use crate::domain::{Breaker, Factory, Position, Status};
use crate::store::{attempts, factories, gates, requests};

pub use crate::store::attempts::Attempt;
pub use crate::store::requests::{Filter, StoredRequest};

/// Matching requests, newest first.
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

/// Reasons why due requests of these factories are not sent; factories without such a reason are absent.
pub async fn obstacles(
    context: &Context,
    requests: impl IntoIterator<Item = &StoredRequest>,
) -> Result<HashMap<FactoryId, &'static str>, StoreError> {
    let waits = |stored: &&StoredRequest| matches!(stored.state.status, Status::Requested | Status::Retrying);
    let names: Vec<&str> = requests.into_iter().filter(waits).map(|stored| stored.state.factory_id.as_str()).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut connection = context.pool.get().await?;
    let breakers = gates::breakers(&mut connection, &names).await?;
    let factories = factories::find_all(&mut connection, &names).await?;
    Ok(factories.iter().filter_map(|factory| Some((factory.id.clone(), obstacle(factory, &breakers)?))).collect())
}

/// Reason why a factory's requests are not sent, if any.
pub(super) fn obstacle(factory: &Factory, breakers: &HashMap<FactoryId, Breaker>) -> Option<&'static str> {
    let is_open = breakers.get(&factory.id).is_some_and(|breaker| breaker.position != Position::Closed);
    match (factory.settings.enabled, is_open) {
        (false, _) => Some("factory_disabled"),
        (true, true) => Some("breaker_open"),
        (true, false) => None,
    }
}

/// Stored breakers of these factories. A factory without one has a closed breaker and no known failures.
pub async fn breakers(
    context: &Context,
    factories: impl IntoIterator<Item = &Factory>,
) -> Result<HashMap<FactoryId, Breaker>, StoreError> {
    let names: Vec<&str> = factories.into_iter().map(|factory| factory.id.as_str()).collect();
    gates::breakers(&mut *context.pool.get().await?, &names).await
}

/// Factories in order of their ids.
pub async fn list_factories(context: &Context, after: Option<&str>, limit: i64) -> Result<Vec<Factory>, StoreError> {
    factories::list(&mut *context.pool.get().await?, after, limit).await
}

pub async fn get_factory(context: &Context, id: &FactoryId) -> Result<Option<Factory>, StoreError> {
    factories::find(&mut *context.pool.get().await?, id).await
}
