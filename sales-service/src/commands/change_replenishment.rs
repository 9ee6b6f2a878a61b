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
use crate::domain::intake::Shelf;
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
            let row = ReplenishmentRow {
                id: RequestId::generate().0,
                sku: sku.to_string(),
                factory_id: shelf.factory_id.to_string(),
                quantity: quantity.get(),
                received: 0,
                status: "open".to_owned(),
                reason: "manual".to_owned(),
                explanation: format!("{quantity} ordered by hand by {}", asked.actor),
                revision: 0,
                traceparent: asked.trace.to_string(),
                created_at: now,
                updated_at: now,
            };
            replenishments::insert(connection, std::slice::from_ref(&row)).await?;
            let events = place(connection, &mut shelf, &sku, &row, &asked).await?;
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
            let (action, events) = match change {
                Change::Approve => {
                    if row.status != "proposed" {
                        return Err(in_status(&row, "Only a proposed replenishment can be approved").into());
                    }
                    "open".clone_into(&mut row.status);
                    ("replenishment.approve", place(connection, &mut shelf, &sku, &row, &asked).await?)
                }
                Change::Close => ("replenishment.close", close(connection, &mut shelf, &sku, &mut row, &asked).await?),
            };
            replenishments::update(connection, &row).await?;
            outbox::append(connection, events).await?;
            asked.record(connection, action, &id.to_string()).await?;
            Ok::<_, Refused>(row)
        })
        .await?;
    context.outbox.wake();
    Ok(row)
}

/// Gives the open quantity back to the position, and tells production to stop asking.
async fn close(
    connection: &mut AsyncPgConnection,
    shelf: &mut Shelf,
    sku: &Sku,
    row: &mut ReplenishmentRow,
    asked: &Asked<'_>,
) -> Result<Vec<OutgoingEvent>, Refused> {
    let was_on_order = row.is_on_order();
    if !was_on_order && row.status != "proposed" {
        return Err(in_status(row, "Only a replenishment under way can be closed").into());
    }
    "closed_short".clone_into(&mut row.status);
    if !was_on_order {
        return Ok(Vec::new());
    }
    let now = write::now();
    shelf.figures.release_on_order(row.open_quantity());
    stock::write_figures(connection, &[(sku, shelf.figures)]).await?;
    let reason = asked.reason.unwrap_or_default().to_owned();
    let closed = ReplenishmentClosed { request_id: RequestId(row.id), sku: sku.clone(), reason, closed_at: now };
    Ok(vec![
        write::event(&replenishment::CLOSED, &row.id.to_string(), asked.trace, &closed),
        write::stock_changed(sku, &shelf.figures, now, asked.trace),
    ])
}

/// Counts a replenishment as on order and asks for its production.
async fn place(
    connection: &mut AsyncPgConnection,
    shelf: &mut Shelf,
    sku: &Sku,
    row: &ReplenishmentRow,
    asked: &Asked<'_>,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    let now = write::now();
    shelf.figures.on_order += row.quantity;
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

fn in_status(row: &ReplenishmentRow, rule: &str) -> Problem {
    let detail = format!("{rule}; this one is {}.", row.status);
    Problem::new(ProblemKind::Conflict, detail).with("status", &row.status)
}
