//! Books received goods: each receipt is stored once, and goods of the ordered product end all further attempts.

use diesel_async::AsyncConnection;
use jaego_contracts::stock::StockReceived;
use jaego_pg::StoreError;

use super::{Context, announce};
use crate::store::{arrivals, lock_request, requests};

/// Stores the receipt and counts it toward its request. If the request has not arrived yet, it is counted on arrival.
pub async fn book_receipt(context: &Context, received: StockReceived) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async move |connection| {
            lock_request(connection, received.request_id).await?;
            if !arrivals::keep_receipt(connection, &received).await? {
                return Ok(());
            }
            let Some(stored) = requests::lock(connection, received.request_id).await? else { return Ok(()) };
            // An operator may accept goods of another product; they do not count toward the request.
            if stored.state.sku != received.sku {
                return Ok(());
            }
            let change = stored.state.receive(received.quantity);
            announce::save(connection, &stored, &change, announce::trace_of(&stored), "").await
        })
        .await
}
