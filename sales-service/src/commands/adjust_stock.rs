//! An operator adjusts stock: counts, damage, returns, corrections.

use chrono::Utc;
use diesel_async::AsyncConnection;
use jaego_contracts::ids::{MovementId, Sku};
use jaego_postbox::outbox;
use jaego_service::idempotency::KeptAnswer;
use jaego_web::problem::{Problem, ProblemKind};

use super::stock_change::StockChange;
use super::{Answered, Asked, Context, Refused};
use crate::domain::goods::Arrival;
pub use crate::domain::stock::Cause;
use crate::store::{StoreError, corrupt};

/// A change of the units on hand.
#[derive(Debug, Clone)]
pub struct Adjustment {
    pub sku: Sku,
    /// Signed units, not zero.
    pub delta: i64,
    pub cause: Cause,
    pub note: Option<String>,
}

/// A completed adjustment, for rendering the answer.
pub struct Adjusted<'a> {
    pub adjustment: &'a Adjustment,
    /// Id of its ledger entry.
    pub movement_id: MovementId,
    /// Reference in its ledger entry.
    pub reference: String,
    /// On hand before the adjustment.
    pub before: i64,
    /// The operator's name.
    pub actor: &'a str,
    pub at: chrono::DateTime<Utc>,
}

/// Adjusts stock. Incoming units fill waiting orders first. 409 if on hand would fall below zero.
pub async fn adjust_stock(
    context: &Context,
    adjustment: Adjustment,
    asked: Asked<'_>,
    render: fn(&Adjusted<'_>) -> KeptAnswer,
) -> Result<Answered, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let answered = connection
        .transaction(async move |connection| {
            if let Some(known) = asked.known_answer(connection).await? {
                return Ok::<_, Refused>(known);
            }
            let Some(mut change) = StockChange::lock_one(connection, &adjustment.sku).await? else {
                return Err(no_such_product(&adjustment.sku).into());
            };
            let figures = change.state(&adjustment.sku).map(|state| state.figures).unwrap_or_default();
            let (before, at) = (figures.on_hand, change.at);
            let Ok(arrival) = Arrival::of_adjustment(&figures, adjustment.cause, adjustment.delta) else {
                let detail = format!("Only {before} units are on hand, so the adjustment can remove at most {before}.");
                let problem = Problem::new(ProblemKind::Conflict, detail).with("on_hand", before);
                // The refusal is stored under the key, so that units arriving later do not change the answer.
                let answer = KeptAnswer { status: problem.kind().status(), body: problem.to_value().to_string() };
                return Ok(asked.keep(connection, answer).await?);
            };
            let reference = format!("adjustment by {}", asked.actor);
            change.find_waiting(connection).await?;
            change.take_in(&adjustment.sku, arrival, &reference, asked.trace);
            let limits = context.limits;
            let saved = change.save(connection, limits, asked.actor, adjustment.note.as_deref()).await?;
            let movement_id =
                saved.movements.first().copied().ok_or_else(|| corrupt("an adjustment's ledger entry"))?;
            outbox::append(connection, saved.events).await?;
            if saved.has_left {
                context.hand_out.notify_one();
            }
            asked.record(connection, "stock.adjust", adjustment.sku.as_str()).await?;
            let adjusted = Adjusted { adjustment: &adjustment, movement_id, reference, before, actor: asked.actor, at };
            Ok(asked.keep(connection, render(&adjusted)).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(answered)
}

pub(super) fn no_such_product(sku: &Sku) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("There is no product {sku}."))
}
