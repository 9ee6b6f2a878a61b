//! Cancels a request for an operator.

use diesel_async::AsyncConnection;
use jaego_contracts::ids::RequestId;
use jaego_service::audit_log;
use jaego_service::audit_log::Action;
use serde_json::json;

use super::{Actor, CommandError, Context, announce};
use crate::domain::Rejection;
use crate::store::requests::{self, StoredRequest};

/// Cancels the request; idempotent. None: there is no such request.
pub async fn cancel_request(
    context: &Context,
    actor: Actor<'_>,
    id: RequestId,
) -> Result<Option<StoredRequest>, CommandError<Rejection>> {
    let mut connection = context.pool.get().await.map_err(jaego_pg::StoreError::from)?;
    let after = connection
        .transaction(async |connection| {
            let Some(stored) = requests::lock(connection, id).await? else { return Ok(None) };
            let change = stored.state.cancel("cancelled by an operator").map_err(CommandError::Rejected)?;
            let Some(change) = change else { return Ok(Some(stored)) };
            announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await?;
            let action = Action {
                actor: actor.name,
                action: "production_request.cancel",
                subject: &id.to_string(),
                reason: None,
                detail: json!({"status_before": stored.state.status.as_str()}),
                trace: actor.trace,
            };
            audit_log::record(connection, &action).await?;
            Ok::<_, CommandError<Rejection>>(requests::find(connection, id).await?)
        })
        .await?;
    context.wake_after_commit();
    Ok(after)
}
