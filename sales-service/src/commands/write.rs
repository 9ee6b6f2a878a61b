//! Writes that several commands share, always in their transaction.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, Utc};
use diesel_async::AsyncPgConnection;
use shared::contracts::order::{self, ORDERS_PER_EVENT_MAX, OrderLineSummary, OrderSummary, OrdersChanged};
use shared::contracts::production::{self, ProductionRequested};
use shared::contracts::stock::{self, StockChanged};
use shared::contracts::{EventKind, OutgoingEvent};
use shared::ids::{MovementId, OrderId, RequestId, Sku};
use shared::trace::TraceContext;

use crate::domain::goods::{self, Arrival, Fill, Source};
use crate::domain::replenishment::Status;
use crate::domain::shelf::{NewReplenishment, Shelf};
use crate::domain::stock::Figures;
use crate::store::orders::OrderView;
use crate::store::replenishments::ReplenishmentRow;
use crate::store::shelves::{self, Loaded};
use crate::store::stock::Hand;
use crate::store::{StoreError, orders, replenishments, stock as stock_store};

/// Name of this service in its events.
pub(super) const SOURCE: &str = "sales-service";

/// The time as PostgreSQL keeps it, so that an answer and a later look at the same thing agree.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// One product with its figures locked; None when there is no such product.
pub(super) async fn lock_shelf(
    connection: &mut AsyncPgConnection,
    sku: &Sku,
    now: DateTime<Utc>,
) -> Result<Option<Shelf>, StoreError> {
    let Loaded { mut shelves, .. } = shelves::lock(connection, &BTreeSet::from([sku.clone()]), now).await?;
    Ok(shelves.remove(sku))
}

/// Writes decided replenishments; answers their events ([`replenishment_events`]).
pub(super) async fn write_replenishments(
    connection: &AsyncPgConnection,
    decided: &[(&NewReplenishment, TraceContext)],
    now: DateTime<Utc>,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    replenishments::insert(connection, &replenishment_rows(decided, now)).await?;
    Ok(replenishment_events(decided, now))
}

/// Decided replenishments as rows.
pub(super) fn replenishment_rows(
    decided: &[(&NewReplenishment, TraceContext)],
    now: DateTime<Utc>,
) -> Vec<ReplenishmentRow> {
    let row = |(new, trace): &(&NewReplenishment, TraceContext)| ReplenishmentRow {
        id: new.id.0,
        sku: new.sku.to_string(),
        factory_id: new.factory_id.to_string(),
        quantity: new.need.quantity.get(),
        received: 0,
        status: if new.is_proposal { Status::Proposed } else { Status::Open }.name().to_owned(),
        reason: new.need.reason.name().to_owned(),
        explanation: new.need.explanation.clone(),
        revision: 0,
        position_before: Some(new.need.position),
        on_order_before: Some(new.need.on_order),
        ordered_at: (!new.is_proposal).then_some(now),
        accepted_at: None,
        traceparent: trace.to_string(),
        created_at: now,
        updated_at: now,
        status_since: Some(now),
    };
    decided.iter().map(row).collect()
}

/// What is ordered (not only proposed) becomes a production request.
pub(super) fn replenishment_events(
    decided: &[(&NewReplenishment, TraceContext)],
    now: DateTime<Utc>,
) -> Vec<OutgoingEvent> {
    let ordered = decided.iter().filter(|(new, _)| !new.is_proposal);
    ordered
        .map(|(new, trace)| {
            production_requested(
                ProductionRequested {
                    request_id: new.id,
                    sku: new.sku.clone(),
                    quantity: new.need.quantity,
                    factory_id: new.factory_id.clone(),
                    reason: new.need.explanation.clone(),
                    requested_at: now,
                },
                *trace,
            )
        })
        .collect()
}

/// The event that asks for production.
pub(super) fn production_requested(data: ProductionRequested, trace: TraceContext) -> OutgoingEvent {
    OutgoingEvent::new(&production::REQUESTED, SOURCE, &data.request_id.to_string(), trace, &data)
}

/// An event of this service about one thing.
pub(super) fn event(
    kind: &'static EventKind,
    subject: &str,
    trace: TraceContext,
    data: &impl serde::Serialize,
) -> OutgoingEvent {
    OutgoingEvent::new(kind, SOURCE, subject, trace, data)
}

/// The event that tells a product's figures.
pub(super) fn stock_changed(sku: &Sku, figures: &Figures, now: DateTime<Utc>, trace: TraceContext) -> OutgoingEvent {
    let data = StockChanged {
        sku: sku.clone(),
        on_hand: figures.on_hand,
        backordered: figures.backordered,
        on_order: figures.on_order,
        position: figures.position(),
        at: now,
    };
    event(&stock::CHANGED, sku.as_str(), trace, &data)
}

/// Events of one type about orders, within the bound of orders per event.
pub(super) fn orders_changed(
    kind: &'static EventKind,
    orders: Vec<OrderSummary>,
    trace: TraceContext,
) -> Vec<OutgoingEvent> {
    let events = orders.chunks(ORDERS_PER_EVENT_MAX).map(|orders| {
        let subject = orders.first().map(|order| order.id.to_string()).unwrap_or_default();
        event(kind, &subject, trace, &OrdersChanged { orders: orders.to_vec() })
    });
    events.collect()
}

/// Who brings units in, when, and for what.
pub(super) struct IncomingUnits<'a> {
    pub(super) sku: &'a Sku,
    pub(super) arrival: Arrival,
    pub(super) reference: String,
    pub(super) hand: Hand<'a>,
    pub(super) trace: TraceContext,
}

/// What [`take_in`] did.
pub(super) struct Taken {
    pub(super) events: Vec<OutgoingEvent>,
    /// For waiting orders.
    pub(super) fills: Vec<Fill>,
    /// The first ledger entry, if there is one.
    pub(super) first_movement: Option<MovementId>,
}

/// Units come in: waiting orders take theirs, the ledger is written, then the policy is asked.
/// The figures are written too; the waiting orders' lines are for [`fill`].
pub(super) async fn take_in(
    connection: &mut AsyncPgConnection,
    shelf: &mut Shelf,
    incoming: IncomingUnits<'_>,
) -> Result<Taken, StoreError> {
    let IncomingUnits { sku, arrival, reference, hand, trace } = incoming;
    let waiting = if shelf.figures.backordered > arrival.given_up && arrival.units > 0 {
        orders::waiting_lines(connection, sku, arrival.units).await?
    } else {
        Vec::new()
    };
    let taken = goods::take_in(sku, &mut shelf.figures, arrival, &waiting);
    let ids = stock_store::insert_movements(connection, &taken.movements, hand, |source| match source {
        Source::Incoming => reference.clone(),
        Source::Order(id) => id.to_string(),
    })
    .await?;
    let events = settle_shelf(connection, sku, shelf, hand.at, trace).await?;
    Ok(Taken { events, fills: taken.fills, first_movement: ids.first().copied() })
}

/// Gives waiting orders their units; answers the events of those that wait for nothing any more.
pub(super) async fn fill(
    connection: &mut AsyncPgConnection,
    fills: &[Fill],
    trace: TraceContext,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    let fulfilled = orders::fill(connection, fills).await?;
    Ok(orders_changed(&order::FULFILLED, fulfilled.iter().map(summary).collect(), trace))
}

/// After a change of the position: asks the policy, writes the figures.
pub(super) async fn settle_shelf(
    connection: &mut AsyncPgConnection,
    sku: &Sku,
    shelf: &mut Shelf,
    now: DateTime<Utc>,
    trace: TraceContext,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    let decided = shelf.replenish(sku, false, &mut RequestId::generate);
    let decided: Vec<_> = decided.iter().map(|new| (new, trace)).collect();
    let mut events = write_replenishments(connection, &decided, now).await?;
    stock_store::write_figures(connection, &[(sku, shelf.figures)]).await?;
    events.push(stock_changed(sku, &shelf.figures, now, trace));
    Ok(events)
}

/// An order as events tell it.
pub(super) fn summary(view: &OrderView) -> OrderSummary {
    let line = |line: &crate::store::orders::OrderLineRow| {
        let sku = line.sku.parse().ok()?;
        Some(OrderLineSummary { sku, quantity: line.quantity, filled: line.filled })
    };
    OrderSummary { id: OrderId(view.order.id), lines: view.lines.iter().filter_map(line).collect() }
}
