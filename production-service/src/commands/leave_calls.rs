//! Leaves unfinished calls to other processes at shutdown.

use jaego_contracts::ids::RequestId;
use jaego_pg::StoreError;

use super::Context;
use crate::store::attempts;

/// Releases calls that this process no longer makes (request and number), so that the next process takes them over at
/// once, instead of waiting for their leases to expire.
pub async fn leave_calls(context: &Context, held: &[(RequestId, i32)]) -> Result<(), StoreError> {
    attempts::leave(&mut *context.pool.get().await?, held).await
}
