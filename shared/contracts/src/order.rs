//! Events about the state of orders; no service requires them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{OrderId, Sku};

/// All lines were taken from stock.
pub const CONFIRMED: EventKind = follow("jaego.order.confirmed.v1", "order.confirmed");
/// Sold; some units wait for stock.
pub const BACKORDERED: EventKind = follow("jaego.order.backordered.v1", "order.backordered");
/// Refused: out of stock.
pub const REJECTED: EventKind = follow("jaego.order.rejected.v1", "order.rejected");
/// The last waiting unit of a backordered order was taken from stock.
pub const FULFILLED: EventKind = follow("jaego.order.fulfilled.v1", "order.fulfilled");
/// Cancelled; the units taken went back to stock.
pub const CANCELLED: EventKind = follow("jaego.order.cancelled.v1", "order.cancelled");

/// Maximum number of orders in one event.
pub const ORDERS_PER_EVENT_MAX: usize = 1000;

const fn follow(name: &'static str, routing_key: &'static str) -> EventKind {
    EventKind { name, routing_key, subscriber_required: false }
}

/// Data of every order event: one event per type and intake batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrdersChanged {
    /// 1 to 1,000 orders.
    pub orders: Vec<OrderSummary>,
}

/// An order in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderSummary {
    /// The order.
    pub id: OrderId,
    /// Its lines.
    pub lines: Vec<OrderLineSummary>,
}

/// An order's line in an event, units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderLineSummary {
    /// The product.
    pub sku: Sku,
    /// Units ordered.
    pub quantity: i64,
    /// Units taken from stock so far.
    pub filled: i64,
}
