//! Repeats production requests that got no news for a long time, under the same id, so that lost messages heal by
//! themselves. In reply, production-service reports the state of the request again, and restock-service the receipts
//! it has booked.

use std::time::Duration;

use diesel_async::AsyncConnection;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::production::ProductionRequested;
use jaego_contracts::replenishment;
use jaego_contracts::replenishment::ReplenishmentClosed;
use jaego_contracts::trace::TraceContext;
use jaego_postbox::outbox;

use super::{Context, write};
use crate::store::replenishments::ReplenishmentRow;
use crate::store::{StoreError, corrupt, replenishments};

/// Maximum replenishments per transaction.
const BATCH: i64 = 200;

/// Repeats the requests that had no news for `after`, doubled with each unanswered repetition, and returns their
/// number. Does nothing while events are waiting for the broker, because no news can be expected then.
pub async fn ask_again(context: &Context, after: Duration) -> Result<usize, StoreError> {
    let mut total = 0;
    loop {
        if context.outbox.pending() > BATCH {
            return Ok(total);
        }
        let mut connection = context.pool.get().await?;
        let asked = connection
            .transaction(async |connection| {
                let unheard = replenishments::take_unheard(connection, after, BATCH).await?;
                let events = unheard.iter().map(requested_again).collect::<Result<Vec<_>, _>>()?;
                outbox::append(connection, events).await?;
                Ok::<_, StoreError>(unheard.len())
            })
            .await?;
        if asked == 0 {
            return Ok(total);
        }
        context.outbox.wake();
        total += asked;
    }
}

pub(super) fn requested(row: &ReplenishmentRow, trace: TraceContext) -> Result<OutgoingEvent, StoreError> {
    let requested = ProductionRequested {
        request_id: RequestId(row.id),
        sku: row.sku.parse().map_err(|_| corrupt("a replenishment's SKU"))?,
        quantity: Quantity::try_from(row.quantity).map_err(|_| corrupt("a replenishment's quantity"))?,
        factory_id: row.factory_id.parse().map_err(|_| corrupt("a replenishment's factory"))?,
        reason: row.explanation.clone(),
        requested_at: row.ordered_at.unwrap_or(row.created_at),
    };
    Ok(write::production_requested(requested, trace))
}

/// The same request again, in the trace of its cause.
pub(super) fn requested_again(row: &ReplenishmentRow) -> Result<OutgoingEvent, StoreError> {
    requested(row, TraceContext::continue_from(Some(&row.traceparent)))
}

/// The event announcing that this replenishment is closed, once more.
pub(super) fn closed(row: &ReplenishmentRow) -> Result<OutgoingEvent, StoreError> {
    let closed = ReplenishmentClosed {
        request_id: RequestId(row.id),
        sku: row.sku.parse().map_err(|_| corrupt("a replenishment's SKU"))?,
        reason: String::new(),
        closed_at: row.updated_at,
    };
    let trace = TraceContext::continue_from(Some(&row.traceparent));
    Ok(write::event(&replenishment::CLOSED, &row.id.to_string(), trace, &closed))
}
