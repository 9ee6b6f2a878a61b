//! An operator counts, writes off, takes back or corrects.

use chrono::Utc;
use diesel_async::AsyncConnection;
use shared::idempotency::KeptAnswer;
use shared::ids::{MovementId, Sku};
use shared::outbox;
use shared::problem::{Problem, ProblemKind};

use super::{Answered, Asked, Context, Refused, write};
use crate::domain::goods::Arrival;
pub use crate::domain::stock::Cause;
use crate::store::stock::Hand;
use crate::store::{StoreError, corrupt};

/// A change of on hand.
#[derive(Debug, Clone)]
pub struct Adjustment {
    /// Which product.
    pub sku: Sku,
    /// Units, signed, not zero.
    pub delta: i64,
    /// Why.
    pub cause: Cause,
    /// In the operator's words.
    pub note: Option<String>,
}

/// What was done, for the answer.
pub struct Adjusted<'a> {
    /// The adjustment.
    pub adjustment: &'a Adjustment,
    /// Its ledger entry.
    pub movement_id: MovementId,
    /// What its ledger entry refers to.
    pub reference: String,
    /// On hand before.
    pub before: i64,
    /// Who.
    pub actor: &'a str,
    /// When.
    pub at: chrono::DateTime<Utc>,
}

/// Adjusts. Units that come in fill waiting orders first. 409 when on hand would fall below zero.
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
            let now = write::now();
            let Some(mut shelf) = write::lock_shelf(connection, &adjustment.sku, now).await? else {
                return Err(no_such_product(&adjustment.sku).into());
            };
            let before = shelf.figures.on_hand;
            let Ok(arrival) = Arrival::of_adjustment(&shelf.figures, adjustment.cause, adjustment.delta) else {
                let detail = format!("Only {before} on hand: the adjustment may take away at most {before}.");
                let problem = Problem::new(ProblemKind::Conflict, detail).with("on_hand", before);
                // Refused for good under this key: units that come later must not change the answer.
                let answer = KeptAnswer { status: problem.kind().status(), body: problem.to_value().to_string() };
                return Ok(asked.keep(connection, answer).await?);
            };
            let reference = format!("adjustment by {}", asked.actor);
            let hand = Hand { actor: asked.actor, at: now, note: adjustment.note.as_deref() };
            let incoming = write::IncomingUnits {
                sku: &adjustment.sku,
                arrival,
                reference: reference.clone(),
                hand,
                trace: asked.trace,
            };
            let taken = write::take_in(connection, &mut shelf, incoming).await?;
            let mut events = taken.events;
            events.extend(write::fill(connection, &taken.fills, asked.trace).await?);
            let movement_id = taken.first_movement.ok_or_else(|| corrupt("an adjustment's ledger entry"))?;
            outbox::append(connection, events).await?;
            asked.record(connection, "stock.adjust", adjustment.sku.as_str()).await?;
            let adjusted =
                Adjusted { adjustment: &adjustment, movement_id, reference, before, actor: asked.actor, at: now };
            Ok(asked.keep(connection, render(&adjusted)).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(answered)
}

/// 404 for a SKU.
pub(super) fn no_such_product(sku: &Sku) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("There is no product {sku}."))
}
