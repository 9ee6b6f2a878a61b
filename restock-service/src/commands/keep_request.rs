//! Keeps what messages tell of a production request, beside what callbacks have told already.

use diesel_async::AsyncConnection;
use jaego_pg::StoreError;
use jaego_postbox::outbox;

use super::{Context, booking};
pub(crate) use crate::domain::delivery::Order;
use crate::store;
pub(crate) use crate::store::requests::RequestNews;

/// Receipts of a request that are told again, at the most.
const RECEIPTS_MAX: i64 = 1_000;

/// Adds what was not known. To one that asks for the request, what was booked for it is told again: who asks has perhaps
/// not heard of it.
pub(crate) async fn keep_request(context: &Context, news: RequestNews) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    let source = context.source;
    let told = connection
        .transaction(async move |connection| {
            let (id, asks) = (news.id, news.requested_at.is_some());
            store::requests::merge(connection, news).await?;
            if !asks {
                return Ok(0);
            }
            let receipts = store::receipts::of_request(connection, id, RECEIPTS_MAX).await?;
            let events =
                receipts.iter().map(|receipt| booking::told(receipt, source)).collect::<Result<Vec<_>, _>>()?;
            outbox::append(connection, events).await?;
            Ok::<_, StoreError>(receipts.len())
        })
        .await?;
    if told > 0 {
        context.outbox.wake();
    }
    Ok(())
}
