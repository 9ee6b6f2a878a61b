//! Receipts of goods, and the resulting stock figures.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{FactoryId, Quantity, ReceiptId, RequestId, Sku};

/// Goods arrived; stock rises by the quantity, once per receipt.
pub const RECEIVED: EventKind =
    EventKind { name: "jaego.stock.received.v1", routing_key: "stock.received", subscriber_required: true };
/// The figures of a product changed.
pub const CHANGED: EventKind =
    EventKind { name: "jaego.stock.changed.v1", routing_key: "stock.changed", subscriber_required: false };

/// Data of the event `jaego.stock.received.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockReceived {
    /// The receipt; it is applied once, however often the event is delivered.
    pub receipt_id: ReceiptId,
    /// The production request that it belongs to.
    pub request_id: RequestId,
    /// The product.
    pub sku: Sku,
    /// Units received.
    pub quantity: Quantity,
    /// The factory that made them.
    pub factory_id: FactoryId,
    /// Time at which they were booked.
    pub received_at: DateTime<Utc>,
}

/// Data of the event `jaego.stock.changed.v1`: the figures after one intake batch or receipt, in units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockChanged {
    /// The product.
    pub sku: Sku,
    /// Units in the warehouse.
    pub on_hand: i64,
    /// Units sold that wait for stock.
    pub backordered: i64,
    /// Units requested from a factory and not yet added to stock or assigned to waiting orders.
    pub on_order: i64,
    /// On hand + on order - backordered.
    pub position: i64,
    /// Increases with every change of the product; an event with a lower revision than one seen before is older.
    /// 0 from a release without revisions.
    #[serde(default)]
    pub revision: i64,
    /// Time of the change.
    pub at: DateTime<Utc>,
}
