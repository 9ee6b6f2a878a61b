//! An operator gave up the dead letter of a request.

use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::RequestId;
use jaego_pg::StoreError;

use super::announce;
use super::keep_requests::{Message, keep_new};
use crate::store::{lock_request, requests};

const DISCARDED: &str = "its dead letter was discarded by an operator";

/// Locks the request, kept or not, in the caller's transaction.
pub async fn lock_for_letter(connection: &mut AsyncPgConnection, id: RequestId) -> Result<(), StoreError> {
    lock_request(connection, id).await?;
    requests::lock(connection, id).await.map(drop)
}

/// Cancels the request if it is still the dead letter's, in the caller's transaction, which holds the request.
/// One that was never kept, because its message died before it could be, is kept as
/// cancelled: whoever asked for it waits for an answer.
pub async fn discard_request(connection: &mut AsyncPgConnection, message: Message) -> Result<(), StoreError> {
    let Some(stored) = requests::lock(connection, message.requested.request_id).await? else {
        return keep_new(connection, vec![message], Some(DISCARDED)).await;
    };
    // One that was sent again by hand meanwhile is given up, too, unless a factory has taken it.
    if !stored.state.has_died || !stored.state.status.is_before_acceptance() {
        return Ok(());
    }
    let Some(change) = stored.state.close(DISCARDED) else { return Ok(()) };
    announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await
}
