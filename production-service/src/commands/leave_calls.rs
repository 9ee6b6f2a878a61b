//! The process ends before its calls do.

use jaego_contracts::ids::RequestId;
use jaego_pg::StoreError;

use super::Context;
use crate::store::attempts;

/// Leaves calls that nobody makes any more (request and number) to the next process, at once and not when
/// their leases run out.
pub async fn leave_calls(context: &Context, held: &[(RequestId, i32)]) -> Result<(), StoreError> {
    attempts::leave(&mut *context.pool.get().await?, held).await
}
