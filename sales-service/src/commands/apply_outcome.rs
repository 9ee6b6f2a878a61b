//! What production-service says of a replenishment's production request.

use diesel_async::AsyncConnection;
use shared::amqp::consumer::HandleError;
use shared::contracts::EventKind;
use shared::contracts::production::{self, ProductionOutcome};
use shared::outbox;
use shared::trace::TraceContext;

use super::{Context, write};
use crate::domain::replenishment::{Outcome, Sequel};
use crate::store::{StoreError, replenishments, stock};

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
            let mut replenishment = row.replenishment()?;
            let Some(sequel) = replenishment.apply_outcome(&mut shelf, outcome.revision, what) else {
                return Ok(());
            };
            match sequel {
                Sequel::Nothing | Sequel::Ask => {}
                Sequel::ForgetRefusals => stock::forget_refusals(connection, &outcome.sku).await?,
                Sequel::Pause => {
                    let (pause_s, pause_max_s) = (pauses.refusal_pause_s, pauses.refusal_pause_max_s);
                    stock::pause_after_refusal(connection, &outcome.sku, now, pause_s, pause_max_s).await?;
                }
            }
            row.set(&replenishment, now);
            if what == Outcome::Accepted {
                row.accepted_at = row.accepted_at.or(Some(outcome.at));
            }
            replenishments::update(connection, &row).await?;
            if matches!(sequel, Sequel::Nothing | Sequel::ForgetRefusals) {
                return Ok(());
            }
            let events = write::settle_shelf(connection, &outcome.sku, &mut shelf, now, trace).await?;
            Ok(outbox::append(connection, events).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(())
}
