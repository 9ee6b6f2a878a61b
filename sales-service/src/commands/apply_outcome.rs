//! What production-service says of a replenishment's production request.

use diesel_async::AsyncConnection;
use shared::amqp::consumer::HandleError;
use shared::contracts::EventKind;
use shared::contracts::production::{self, ProductionOutcome};
use shared::outbox;
use shared::trace::TraceContext;

use super::{Context, write};
use crate::store::{StoreError, replenishments, stock};

/// Applies an outcome unless a later one was applied before it.
///
/// A refusal or cancellation gives the open quantity back to the position. A dead letter keeps it
/// (`stalled`): a redrive must never double an order.
pub async fn apply_outcome(
    context: &Context,
    kind: &'static EventKind,
    outcome: ProductionOutcome,
    trace: TraceContext,
) -> Result<(), HandleError> {
    let pauses = context.replenishment.clone();
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    connection
        .transaction(async move |connection| {
            let now = write::now();
            let Some(mut shelf) = write::lock_shelf(connection, &outcome.sku, now).await? else {
                return Err(HandleError::Failed(format!("there is no product {}", outcome.sku)));
            };
            let Some(mut row) = replenishments::lock(connection, outcome.request_id).await? else {
                return Err(HandleError::Failed(format!("there is no replenishment {}", outcome.request_id)));
            };
            if outcome.revision <= row.revision {
                return Ok(());
            }
            row.revision = outcome.revision;
            if row.is_on_order() {
                let status = if *kind == production::REFUSED {
                    stock::pause_after_refusal(
                        connection,
                        &outcome.sku,
                        now,
                        pauses.refusal_pause_s,
                        pauses.refusal_pause_max_s,
                    )
                    .await?;
                    shelf.is_paused = true;
                    "refused"
                } else if *kind == production::CANCELLED {
                    "cancelled"
                } else if *kind == production::DEAD_LETTERED {
                    "stalled"
                } else {
                    stock::forget_refusals(connection, &outcome.sku).await?;
                    "open"
                };
                status.clone_into(&mut row.status);
                if !row.is_on_order() {
                    shelf.figures.release_on_order(row.open_quantity());
                    shelf.open_replenishments.retain(|id| *id != outcome.request_id);
                }
            }
            replenishments::update(connection, &row).await?;
            let events = write::settle_shelf(connection, &outcome.sku, &mut shelf, now, trace).await?;
            Ok(outbox::append(connection, events).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(())
}
