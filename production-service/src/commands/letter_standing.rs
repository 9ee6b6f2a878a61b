//! What became of a request while its dead letter was on its way.

use diesel_async::AsyncPgConnection;
use shared::db::StoreError;
use shared::dead_letters::End;
use shared::ids::RequestId;

use super::announce;
use crate::domain::FACTORY_UNREACHABLE;
use crate::store::{lock_request, requests};

/// Locks the request, kept or not, in the caller's transaction; answers how its letter, dead for `reason`, has ended, if it has.
pub async fn letter_standing(
    connection: &mut AsyncPgConnection,
    id: RequestId,
    reason: &str,
) -> Result<Option<End>, StoreError> {
    lock_request(connection, id).await?;
    let Some(stored) = requests::lock(connection, id).await? else { return Ok(None) };
    // Other letters are about the message, not about the request.
    Ok(announce::end_of_letter(stored.state.status).filter(|_| reason == FACTORY_UNREACHABLE))
}
