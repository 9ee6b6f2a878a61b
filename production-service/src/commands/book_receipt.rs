//! Goods came: each receipt is counted once, and ends all further attempts of its request.

use diesel_async::AsyncConnection;
use shared::contracts::stock::StockReceived;
use shared::db::StoreError;

use super::{Context, announce};
use crate::store::{arrivals, lock_request, requests};

/// Counts the receipt; when its request is still to come, it is counted then.
pub async fn book_receipt(context: &Context, received: StockReceived) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async move |connection| {
            let StockReceived { receipt_id, request_id, sku, quantity, received_at, .. } = received;
            lock_request(connection, request_id).await?;
            let stored = requests::lock(connection, request_id).await?;
            // An operator may accept goods for another product than was asked for: they answer nothing here.
            if stored.as_ref().is_some_and(|stored| stored.state.sku != sku) {
                return Ok(());
            }
            if !arrivals::keep_receipt(connection, receipt_id, request_id, quantity, received_at).await? {
                return Ok(());
            }
            let Some(stored) = stored else { return Ok(()) };
            let change = stored.state.receive(quantity);
            announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await
        })
        .await
}
