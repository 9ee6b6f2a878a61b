//! Goods came: each receipt is kept once; one of what was asked for ends all further attempts of its request.

use diesel_async::AsyncConnection;
use jaego_contracts::stock::StockReceived;
use jaego_pg::StoreError;

use super::{Context, announce};
use crate::store::{arrivals, lock_request, requests};

/// Keeps the receipt and counts it toward its request; when that is still to come, it is counted then.
pub async fn book_receipt(context: &Context, received: StockReceived) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async move |connection| {
            lock_request(connection, received.request_id).await?;
            if !arrivals::keep_receipt(connection, &received).await? {
                return Ok(());
            }
            let Some(stored) = requests::lock(connection, received.request_id).await? else { return Ok(()) };
            // An operator may accept goods of another product than was asked for: they answer nothing.
            if stored.state.sku != received.sku {
                return Ok(());
            }
            let change = stored.state.receive(received.quantity);
            announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await
        })
        .await
}
