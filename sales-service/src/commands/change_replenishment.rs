//! Replenishments by an operator's hand: asked for, approved, closed short.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use shared::contracts::OutgoingEvent;
use shared::contracts::production::ProductionRequested;
use shared::contracts::replenishment::{self, ReplenishmentClosed};
use shared::idempotency::KeptAnswer;
use shared::ids::{Quantity, RequestId, Sku};
use shared::outbox;
use shared::problem::{Problem, ProblemKind};

use super::adjust_stock::no_such_product;
use super::{Answered, Asked, Context, Refused, write};
use crate::domain::replenishment::{Refusal, Replenishment};
use crate::domain::shelf::Shelf;
use crate::store::replenishments::{self, ReplenishmentRow};
use crate::store::{StoreError, corrupt, stock};

/// Orders `quantity` units now, whatever the policy says.
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
            let now = write::now();
            let Some(mut shelf) = write::lock_shelf(connection, &sku, now).await? else {
                return Err(no_such_product(&sku).into());
            };
            let (position, on_order) = (shelf.figures.position(), shelf.figures.on_order);
            let new = Replenishment::by_hand(&mut shelf, RequestId::generate(), quantity.get());
            let row = ReplenishmentRow {
                id: new.id.0,
                sku: sku.to_string(),
                factory_id: shelf.factory_id.to_string(),
                quantity: new.quantity,
                received: new.received,
                status: new.status.name().to_owned(),
                reason: "manual".to_owned(),
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
            let events = place(connection, &shelf, &sku, &row, &asked).await?;
            outbox::append(connection, events).await?;
            asked.record(connection, "replenishment.request", &row.id.to_string()).await?;
            Ok(asked.keep(connection, render(&row)).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(answered)
}

/// What an operator decides about a replenishment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Order what was proposed.
    Approve,
    /// End it before all goods came: production stops asking.
    Close,
}

/// Approves or closes a replenishment. 409 when its status does not allow it.
pub async fn change_replenishment(
    context: &Context,
    id: RequestId,
    change: Change,
    asked: Asked<'_>,
) -> Result<ReplenishmentRow, Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let row = connection
        .transaction(async move |connection| {
            let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no replenishment {id}."));
            let sku = replenishments::sku_of(connection, id).await?.ok_or_else(unknown)?;
            let sku: Sku = sku.parse().map_err(|_| corrupt("a replenishment's SKU"))?;
            let now = write::now();
            // The product's figures first, then the replenishment: the order of locks everywhere.
            let mut shelf = write::lock_shelf(connection, &sku, now).await?.ok_or_else(unknown)?;
            let mut row = replenishments::lock(connection, id).await?.ok_or_else(unknown)?;
            let mut replenishment = row.replenishment()?;
            let (action, events) = match change {
                Change::Approve => {
                    replenishment.approve(&mut shelf).map_err(|refusal| refused(refusal, &shelf))?;
                    row.ordered_at = Some(now);
                    ("replenishment.approve", place(connection, &shelf, &sku, &row, &asked).await?)
                }
                Change::Close => {
                    let is_asked = replenishment.close(&mut shelf).map_err(|refusal| refused(refusal, &shelf))?;
                    ("replenishment.close", closed(connection, &shelf, &sku, &row, is_asked, &asked).await?)
                }
            };
            row.set(&replenishment, now);
            replenishments::update(connection, &row).await?;
            outbox::append(connection, events).await?;
            asked.record(connection, action, &id.to_string()).await?;
            Ok::<_, Refused>(row)
        })
        .await?;
    context.outbox.wake();
    Ok(row)
}

/// Tells production to stop asking, if it was asked.
async fn closed(
    connection: &mut AsyncPgConnection,
    shelf: &Shelf,
    sku: &Sku,
    row: &ReplenishmentRow,
    is_asked: bool,
    asked: &Asked<'_>,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    if !is_asked {
        return Ok(Vec::new());
    }
    let now = write::now();
    stock::write_figures(connection, &[(sku, shelf.figures)]).await?;
    let reason = asked.reason.unwrap_or_default().to_owned();
    let closed = ReplenishmentClosed { request_id: RequestId(row.id), sku: sku.clone(), reason, closed_at: now };
    Ok(vec![
        write::event(&replenishment::CLOSED, &row.id.to_string(), asked.trace, &closed),
        write::stock_changed(sku, &shelf.figures, now, asked.trace),
    ])
}

/// Asks for the production of a replenishment that counts as on order from now on.
async fn place(
    connection: &mut AsyncPgConnection,
    shelf: &Shelf,
    sku: &Sku,
    row: &ReplenishmentRow,
    asked: &Asked<'_>,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    let now = write::now();
    stock::write_figures(connection, &[(sku, shelf.figures)]).await?;
    let quantity = Quantity::try_from(row.quantity).map_err(|_| corrupt("a replenishment's quantity"))?;
    let requested = ProductionRequested {
        request_id: RequestId(row.id),
        sku: sku.clone(),
        quantity,
        factory_id: row.factory_id.parse().map_err(|_| corrupt("a replenishment's factory"))?,
        reason: row.explanation.clone(),
        requested_at: now,
    };
    Ok(vec![
        write::production_requested(requested, asked.trace),
        write::stock_changed(sku, &shelf.figures, now, asked.trace),
    ])
}

fn refused(refusal: Refusal, shelf: &Shelf) -> Problem {
    match refusal {
        Refusal::NotInStatus { status, rule } => {
            let detail = format!("{rule}; this one is {}.", status.name());
            Problem::new(ProblemKind::Conflict, detail).with("status", status.name())
        }
        Refusal::NotNeeded => {
            let position = shelf.figures.position();
            let detail = format!(
                "The position is {position} by now: what was proposed would be too many. Close the proposal, or order \
                 by hand with POST /api/v1/replenishments."
            );
            Problem::new(ProblemKind::Conflict, detail).with("position", position)
        }
    }
}
