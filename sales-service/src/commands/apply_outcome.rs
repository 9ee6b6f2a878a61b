//! Applies production-service's outcomes of replenishments' production requests.

use diesel_async::AsyncConnection;
use jaego_contracts::production;
use jaego_contracts::production::ProductionOutcome;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{EventKind, OutgoingEvent};
use jaego_postbox::consumer::HandleError;
use jaego_postbox::outbox;

use super::stock_change::StockChange;
use super::{Context, ask_again};
use crate::domain::replenishment::{OutcomeKind, Status};
use crate::store::replenishments::ReplenishmentRow;
use crate::store::{StoreError, product_states, replenishments};

/// Applies an outcome unless a later one was applied before.
pub async fn apply_outcome(
    context: &Context,
    kind: &'static EventKind,
    outcome: ProductionOutcome,
    trace: TraceContext,
) -> Result<(), HandleError> {
    let what = if *kind == production::REFUSED {
        OutcomeKind::Refused
    } else if *kind == production::CANCELLED {
        OutcomeKind::Cancelled
    } else if *kind == production::DEAD_LETTERED {
        OutcomeKind::DeadLettered
    } else {
        OutcomeKind::Accepted
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
            outbox::append(connection, missed(&row, replenishment.status, kind)?).await?;
            let at = change.at;
            let Some(state) = change.touch(&outcome.sku, trace, false) else { return Ok(()) };
            if !replenishment.apply_outcome(state, outcome.revision, what, product_states::moment(at), pause) {
                return Ok(());
            }
            row.set(&replenishment, at);
            if what == OutcomeKind::Accepted {
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

/// The event to repeat if this outcome shows that production-service missed it.
fn missed(row: &ReplenishmentRow, status: Status, kind: &EventKind) -> Result<Option<OutgoingEvent>, StoreError> {
    let goes_on = [&production::ACCEPTED, &production::DEAD_LETTERED, &production::OVERDUE].contains(&kind);
    match status {
        // The goods have arrived. Requesting them again makes restock-service repeat its receipts.
        Status::Complete if *kind == production::OVERDUE => ask_again::requested_again(row).map(Some),
        Status::ClosedShort if goes_on => ask_again::closed(row).map(Some),
        _ => Ok(None),
    }
}
