//! An operator gave up the dead letter of a request.

use diesel_async::AsyncPgConnection;
use shared::db::StoreError;
use shared::ids::RequestId;

use super::announce;
use crate::store::requests;

/// Cancels the request if it is still the dead letter's, in the caller's transaction.
pub async fn discard_request(connection: &mut AsyncPgConnection, id: RequestId) -> Result<(), StoreError> {
    let Some(stored) = requests::lock(connection, id).await? else { return Ok(()) };
    // One that was sent again by hand meanwhile is given up, too, unless a factory has taken it.
    if !stored.state.has_died || !stored.state.status.is_before_acceptance() {
        return Ok(());
    }
    let Some(change) = stored.state.close("its dead letter was discarded by an operator") else { return Ok(()) };
    announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await
}
