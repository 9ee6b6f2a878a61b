//! A replenishment was closed: its request is not sent to the factory any more.

use diesel_async::AsyncConnection;
use jaego_contracts::replenishment::ReplenishmentClosed;
use jaego_pg::StoreError;

use super::{Context, announce};
use crate::store::{arrivals, lock_request, requests};

/// Cancels the request unless it has ended. If the request has not arrived yet, the closing is remembered.
pub async fn close_request(context: &Context, closed: ReplenishmentClosed) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async move |connection| {
            lock_request(connection, closed.request_id).await?;
            let Some(stored) = requests::lock(connection, closed.request_id).await? else {
                return arrivals::keep_closing(connection, closed.request_id, &closed.reason, closed.closed_at).await;
            };
            match stored.state.close(&closed.reason) {
                Some(change) => announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await,
                None => Ok(()),
            }
        })
        .await?;
    context.wake_after_commit();
    Ok(())
}
