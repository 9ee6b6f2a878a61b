//! Ends sessions: one's own, another one's, or all of a person.

use diesel_async::AsyncConnection;
use jaego_contracts::issued::Issued;
use jaego_pg::StoreError;
use serde_json::json;
use uuid::Uuid;

use super::{Asked, Context};
use crate::store;
use crate::store::sessions::SessionRow;

/// Ends a session by its id; one that has ended already stays as it is. None if there is no such session.
pub(crate) async fn end_session(
    context: &Context,
    id: Uuid,
    asked: &Asked<'_>,
) -> Result<Option<SessionRow>, StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async |connection| {
            let Some(ended) = store::sessions::end(connection, id, asked.actor).await? else {
                return store::sessions::find(connection, id).await;
            };
            asked.record(connection, "session.end", &id.to_string(), json!({"person": ended.person})).await?;
            Ok(Some(ended))
        })
        .await
}

/// Ends the session of a person who signs out. An unknown session needs no end.
pub(crate) async fn sign_out(context: &Context, session: Issued, mut asked: Asked<'_>) -> Result<(), StoreError> {
    let Some(id) = store::sessions::id_of(&mut *context.pool.get().await?, &session.digest).await? else {
        return Ok(());
    };
    let person = store::sessions::find(&mut *context.pool.get().await?, id).await?.map(|row| row.person);
    let person = person.unwrap_or_default();
    asked.actor = &person;
    end_session(context, id, &asked).await.map(drop)
}

/// Ends all sessions of a person and returns their number.
pub(crate) async fn end_all(context: &Context, person: &str, asked: &Asked<'_>) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async |connection| {
            // A sign-in that is being carried out at this moment is ended as well.
            store::lock_person(connection, person).await?;
            let ended = store::sessions::end_all(connection, person, 0, asked.actor).await?;
            for session in &ended {
                asked.record(connection, "session.end", &session.id.to_string(), json!({"person": person})).await?;
            }
            Ok(ended.len())
        })
        .await
}
