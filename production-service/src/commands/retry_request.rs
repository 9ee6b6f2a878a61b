//! Sends a request now, to its factory or to the fallback, for an operator.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::RequestId;
use jaego_service::audit_log;
use jaego_service::audit_log::Action;
use serde_json::json;

use super::{Actor, CommandError, Context, announce};
use crate::domain::{Factory, Fallback, Rejection, RequestChange};
use crate::store::factories;
use crate::store::requests::{self, StoredRequest};

/// Destination of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Factory,
    /// The fallback of its factory; the request is withdrawn from the factory for good.
    Fallback,
}

/// Makes the request due. None: there is no such request.
pub async fn retry_request(
    context: &Context,
    actor: Actor<'_>,
    id: RequestId,
    to: To,
) -> Result<Option<StoredRequest>, CommandError<Rejection>> {
    let mut connection = context.pool.get().await.map_err(jaego_pg::StoreError::from)?;
    let after = connection
        .transaction(async |connection| {
            let Some(stored) = requests::lock(connection, id).await? else { return Ok(None) };
            let change = match to {
                To::Factory => stored.state.retry().map_err(CommandError::Rejected)?,
                To::Fallback => withdraw(connection, &stored).await?,
            };
            announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await?;
            let action = Action {
                actor: actor.name,
                action: "production_request.retry",
                subject: &id.to_string(),
                reason: None,
                detail: match &change.factory_id {
                    None => json!({"status_before": stored.state.status.as_str()}),
                    Some(fallback) => json!({
                        "status_before": stored.state.status.as_str(),
                        "withdrawn_from": stored.state.factory_id,
                        "handed_to": fallback,
                    }),
                },
                trace: actor.trace,
            };
            audit_log::record(connection, &action).await?;
            Ok::<_, CommandError<Rejection>>(requests::find(connection, id).await?)
        })
        .await?;
    context.wake_after_commit();
    Ok(after)
}

async fn withdraw(
    connection: &mut AsyncPgConnection,
    stored: &StoredRequest,
) -> Result<RequestChange, CommandError<Rejection>> {
    let factory = factories::find(connection, &stored.state.factory_id).await?;
    let fallback = match factory.and_then(|factory| factory.settings.fallback_factory_id) {
        Some(id) => factories::find(connection, &id).await?,
        None => None,
    };
    let fallback = fallback.as_ref().map(|Factory { id, settings, .. }| Fallback { id, enabled: settings.enabled });
    stored.state.withdraw(fallback).map_err(CommandError::Rejected)
}
