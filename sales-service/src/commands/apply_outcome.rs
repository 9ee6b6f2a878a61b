//! What production-service says of a replenishment's production request.

use diesel_async::AsyncConnection;
use shared::amqp::consumer::HandleError;
use shared::contracts::EventKind;
use shared::contracts::production::{self, ProductionOutcome};
use shared::outbox;
use shared::trace::TraceContext;

use super::Context;
use super::stock_change::StockChange;
use crate::domain::replenishment::Outcome;
use crate::store::{StoreError, replenishments, shelves};

/// Applies an outcome unless a later one was applied before it.
pub async fn apply_outcome(
    context: &Context,
    kind: &'static EventKind,
    outcome: ProductionOutcome,
    trace: TraceContext,
) -> Result<(), HandleError> {
    let what = if *kind == production::REFUSED {
        Outcome::Refused
    } else if *kind == production::CANCELLED {
        Outcome::Cancelled
    } else if *kind == production::DEAD_LETTERED {
        Outcome::DeadLettered
    } else {
        Outcome::Accepted
    };
    let pause = context.refusal_pause;
    let limits = context.limits;
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    connection
        .transaction(async move |connection| {
            let Some(mut change) = StockChange::lock_one(connection, &outcome.sku).await? else {
                return Err(HandleError::Failed(format!("there is no product {}", outcome.sku)));
            };
            let Some(mut row) = replenishments::lock(connection, outcome.request_id).await? else {
                return Err(HandleError::Failed(format!("there is no replenishment {}", outcome.request_id)));
            };
            let mut replenishment = row.replenishment()?;
            let at = change.at;
            let Some(shelf) = change.touch(&outcome.sku, trace, false) else { return Ok(()) };
            if !replenishment.apply_outcome(shelf, outcome.revision, what, shelves::moment(at), pause) {
                return Ok(());
            }
            row.set(&replenishment, at);
            if what == Outcome::Accepted {
                row.accepted_at = row.accepted_at.or(Some(outcome.at));
            }
            replenishments::update(connection, &row).await?;
            let saved = change.save(connection, limits, "factory", None).await?;
            Ok(outbox::append(connection, saved.events).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(())
}
