//! An operator discarded the dead letter of a request.

use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::RequestId;
use jaego_pg::StoreError;

use super::announce;
use super::keep_requests::{Message, keep_new};
use crate::store::{lock_request, requests};

const DISCARDED: &str = "its dead letter was discarded by an operator";

/// Locks the request, stored or not, in the caller's transaction.
pub async fn lock_for_letter(connection: &mut AsyncPgConnection, id: RequestId) -> Result<(), StoreError> {
    lock_request(connection, id).await?;
    requests::lock(connection, id).await.map(drop)
}

/// Cancels a dead-lettered request in the caller's transaction, which holds the request's lock. It is cancelled even if
/// it has been sent again by hand since, unless a factory has accepted it. A request that was never stored, because its
/// message failed first, is stored as cancelled: the sender is waiting for an outcome.
pub async fn discard_request(connection: &mut AsyncPgConnection, message: Message) -> Result<(), StoreError> {
    let Some(stored) = requests::lock(connection, message.requested.request_id).await? else {
        return keep_new(connection, vec![message], Some(DISCARDED)).await;
    };
    if !stored.state.has_died || !stored.state.status.is_before_acceptance() {
        return Ok(());
    }
    let Some(change) = stored.state.close(DISCARDED) else { return Ok(()) };
    announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await
}
