//! Rows and events that several commands write.

use chrono::{DateTime, SubsecRound, Utc};
use jaego_contracts::ids::OrderId;
use jaego_contracts::order::{ORDERS_PER_EVENT_MAX, OrderLineSummary, OrderSummary, OrdersChanged};
use jaego_contracts::production;
use jaego_contracts::production::ProductionRequested;
use jaego_contracts::stock;
use jaego_contracts::stock::StockChanged;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{EventKind, OutgoingEvent};

use crate::domain::product_state::{NewReplenishment, ProductStates};
use crate::domain::replenishment::Status;
use crate::store::orders::OrderView;
use crate::store::product_states;
use crate::store::replenishments::ReplenishmentRow;
use crate::store::stock::Changed;

/// Name of this service in its events.
pub(super) const SOURCE: &str = "sales-service";

/// The current time at PostgreSQL's precision, so that an answer and a later read agree.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// `now`, or the time of the last change of these products if that is later. Times of a product never run backwards,
/// whichever replica's clock they come from.
pub(super) fn not_before(now: DateTime<Utc>, states: &ProductStates) -> DateTime<Utc> {
    let last = states.values().map(|state| state.changed_at).max().and_then(product_states::time);
    last.map_or(now, |last| last.max(now))
}

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

/// The production requests for the replenishments that are ordered, not only proposed.
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

pub(super) fn production_requested(data: ProductionRequested, trace: TraceContext) -> OutgoingEvent {
    OutgoingEvent::new(&production::REQUESTED, SOURCE, &data.request_id.to_string(), trace, &data)
}

/// An event of this service. `subject` is the id of the entity it is about.
pub(super) fn event(
    kind: &'static EventKind,
    subject: &str,
    trace: TraceContext,
    data: &impl serde::Serialize,
) -> OutgoingEvent {
    OutgoingEvent::new(kind, SOURCE, subject, trace, data)
}

/// The event that announces a product's figures.
pub(super) fn stock_changed(changed: Changed<'_>, now: DateTime<Utc>, trace: TraceContext) -> OutgoingEvent {
    let figures = changed.state.figures;
    let data = StockChanged {
        sku: changed.sku.clone(),
        on_hand: figures.on_hand,
        backordered: figures.backordered,
        on_order: figures.on_order,
        position: figures.position(),
        revision: changed.version,
        at: now,
    };
    event(&stock::CHANGED, changed.sku.as_str(), trace, &data)
}

/// Events of one type about orders, at most [`ORDERS_PER_EVENT_MAX`] orders each.
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

/// An order as it appears in events.
pub(super) fn summary(view: &OrderView) -> OrderSummary {
    let line = |line: &crate::store::orders::OrderLineRow| {
        let sku = line.sku.parse().ok()?;
        Some(OrderLineSummary { sku, quantity: line.quantity, filled: line.filled })
    };
    OrderSummary { id: OrderId(view.order.id), lines: view.lines.iter().filter_map(line).collect() }
}
