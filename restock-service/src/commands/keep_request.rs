//! Keeps what messages report about a production request, next to what callbacks have reported already.

use diesel_async::AsyncConnection;
use jaego_pg::StoreError;
use jaego_postbox::outbox;

use super::{Context, booking};
pub(crate) use crate::domain::delivery::Order;
use crate::store;
pub(crate) use crate::store::requests::RequestNews;

/// Maximum receipts of a request that are published again.
const RECEIPTS_MAX: i64 = 1_000;

/// Stores what was not known. A message that asks for the request also publishes its receipts again: its sender may
/// not have received them.
pub(crate) async fn keep_request(context: &Context, news: RequestNews) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    let source = context.source;
    let published = connection
        .transaction(async move |connection| {
            let (id, asks) = (news.id, news.requested_at.is_some());
            store::requests::merge(connection, news).await?;
            if !asks {
                return Ok(0);
            }
            let receipts = store::receipts::of_request(connection, id, RECEIPTS_MAX).await?;
            let events = receipts
                .iter()
                .map(|receipt| booking::receipt_event(receipt, source))
                .collect::<Result<Vec<_>, _>>()?;
            outbox::append(connection, events).await?;
            Ok::<_, StoreError>(receipts.len())
        })
        .await?;
    if published > 0 {
        context.outbox.wake();
    }
    Ok(())
}
