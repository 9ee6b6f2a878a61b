//! Operators' changes of replenishments: order by hand, approve, close.

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{Quantity, RequestId, Sku};
use jaego_contracts::replenishment;
use jaego_contracts::replenishment::ReplenishmentClosed;
use jaego_postbox::outbox;
use jaego_service::idempotency::KeptAnswer;
use jaego_web::problem::{Problem, ProblemKind};

use super::adjust_stock::no_such_product;
use super::ask_again::requested;
use super::stock_change::StockChange;
use super::{Answered, Asked, Context, Refused, write};
use crate::domain::product_state::ProductState;
use crate::domain::replenishment::{Refusal, Replenishment};
use crate::store::replenishments::{self, BY_HAND, ReplenishmentRow};
use crate::store::{StoreError, corrupt};

/// Orders `quantity` units at once, regardless of the policy.
pub async fn request_replenishment(
    context: &Context,
    sku: Sku,
    quantity: Quantity,
    asked: Asked<'_>,
    render: fn(&ReplenishmentRow) -> KeptAnswer,
) -> Result<Answered, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let answered = connection
        .transaction(async move |connection| {
            if let Some(known) = asked.known_answer(connection).await? {
                return Ok::<_, Refused>(known);
            }
            let Some(mut change) = StockChange::lock_one(connection, &sku).await? else {
                return Err(no_such_product(&sku).into());
            };
            let now = change.at;
            let state = change.touch(&sku, asked.trace, false).ok_or_else(|| no_such_product(&sku))?;
            let (position, on_order) = (state.figures.position(), state.figures.on_order);
            let factory_id = state.factory_id.to_string();
            let new = Replenishment::by_hand(state, RequestId::generate(), quantity.get());
            let row = ReplenishmentRow {
                id: new.id.0,
                sku: sku.to_string(),
                factory_id,
                quantity: new.quantity,
                received: new.received,
                status: new.status.name().to_owned(),
                reason: BY_HAND.to_owned(),
                explanation: format!("{quantity} ordered by hand by {}", asked.actor),
                revision: new.revision,
                position_before: Some(position),
                on_order_before: Some(on_order),
                ordered_at: Some(now),
                accepted_at: None,
                traceparent: asked.trace.to_string(),
                created_at: now,
                updated_at: now,
                status_since: Some(now),
            };
            replenishments::insert(connection, std::slice::from_ref(&row)).await?;
            let limits = context.limits;
            let mut events = change.save(connection, limits, asked.actor, None).await?.events;
            events.push(requested(&row, asked.trace)?);
            outbox::append(connection, events).await?;
            asked.record(connection, "replenishment.request", &row.id.to_string()).await?;
            Ok(asked.keep(connection, render(&row)).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(answered)
}

/// An operator's decision about a replenishment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplenishmentChange {
    /// Order the proposed units.
    Approve,
    /// Close it before all goods arrived. Production stops requesting the rest.
    Close,
}

/// Approves or closes a replenishment. 409 if its status does not allow it.
pub async fn change_replenishment(
    context: &Context,
    id: RequestId,
    change: ReplenishmentChange,
    asked: Asked<'_>,
) -> Result<ReplenishmentRow, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let row = connection
        .transaction(async move |connection| {
            let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no replenishment {id}."));
            let sku = replenishments::sku_of(connection, id).await?.ok_or_else(unknown)?;
            let sku: Sku = sku.parse().map_err(|_| corrupt("a replenishment's SKU"))?;
            // Lock order everywhere: the product's figures first, then the replenishment.
            let mut change_of_stock = StockChange::lock_one(connection, &sku).await?.ok_or_else(unknown)?;
            let now = change_of_stock.at;
            let state = change_of_stock.touch(&sku, asked.trace, false).ok_or_else(unknown)?;
            let mut row = replenishments::lock(connection, id).await?.ok_or_else(unknown)?;
            let mut replenishment = row.replenishment()?;
            let (action, event) = match change {
                ReplenishmentChange::Approve => {
                    replenishment.approve(state).map_err(|refusal| refused(refusal, state))?;
                    row.set(&replenishment, now);
                    row.ordered_at = Some(now);
                    ("replenishment.approve", Some(requested(&row, asked.trace)?))
                }
                ReplenishmentChange::Close => {
                    let is_asked = replenishment.close(state).map_err(|refusal| refused(refusal, state))?;
                    row.set(&replenishment, now);
                    ("replenishment.close", is_asked.then(|| closed(&sku, &row, now, &asked)))
                }
            };
            replenishments::update(connection, &row).await?;
            let limits = context.limits;
            let mut events = change_of_stock.save(connection, limits, asked.actor, asked.reason).await?.events;
            events.extend(event);
            outbox::append(connection, events).await?;
            asked.record(connection, action, &id.to_string()).await?;
            Ok::<_, Refused>(row)
        })
        .await?;
    context.outbox.wake();
    Ok(row)
}

/// The event that makes production stop requesting.
fn closed(sku: &Sku, row: &ReplenishmentRow, now: DateTime<Utc>, asked: &Asked<'_>) -> OutgoingEvent {
    let reason = asked.reason.unwrap_or_default().to_owned();
    let closed = ReplenishmentClosed { request_id: RequestId(row.id), sku: sku.clone(), reason, closed_at: now };
    write::event(&replenishment::CLOSED, &row.id.to_string(), asked.trace, &closed)
}

fn refused(refusal: Refusal, state: &ProductState) -> Problem {
    match refusal {
        Refusal::NotInStatus { status, rule } => {
            let detail = format!("{rule}; this one is {}.", status.name());
            Problem::new(ProblemKind::Conflict, detail).with("status", status.name())
        }
        Refusal::NotNeeded => {
            let position = state.figures.position();
            let detail = format!(
                "The inventory position is now {position}, so the proposed units would be too many. Close the proposal, or order \
                 by hand with POST /api/v1/replenishments."
            );
            Problem::new(ProblemKind::Conflict, detail).with("position", position)
        }
    }
}
