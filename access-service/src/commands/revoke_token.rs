//! Revokes a personal access token.

use diesel_async::AsyncConnection;
use jaego_pg::StoreError;
use serde_json::json;
use uuid::Uuid;

use super::{Asked, Context};
use crate::store;
use crate::store::tokens::TokenRow;

/// Revokes a token; one that was revoked already stays as it is. None if there is no such token.
pub(crate) async fn revoke_token(
    context: &Context,
    id: Uuid,
    asked: &Asked<'_>,
) -> Result<Option<TokenRow>, StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async |connection| {
            let Some(revoked) = store::tokens::revoke(connection, id, asked.actor).await? else {
                return store::tokens::find(connection, id).await;
            };
            let detail = json!({"person": revoked.person, "name": revoked.name});
            asked.record(connection, "token.revoke", &id.to_string(), detail).await?;
            Ok(Some(revoked))
        })
        .await
}
