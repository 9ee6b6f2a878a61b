//! Goods that arrived, and what stock became of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{FactoryId, Quantity, ReceiptId, RequestId, Sku};

/// Goods arrived: stock rises by them, once.
pub const RECEIVED: EventKind =
    EventKind { name: "jaego.stock.received.v1", routing_key: "stock.received", subscriber_required: true };
/// The figures of a product changed.
pub const CHANGED: EventKind =
    EventKind { name: "jaego.stock.changed.v1", routing_key: "stock.changed", subscriber_required: false };

/// Data of [`RECEIVED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockReceived {
    /// The receipt: applied once, however often it comes.
    pub receipt_id: ReceiptId,
    /// The production request it answers.
    pub request_id: RequestId,
    /// What came.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// Who made them.
    pub factory_id: FactoryId,
    /// When they were booked.
    pub received_at: DateTime<Utc>,
}

/// Data of [`CHANGED`]: the figures after one intake batch or receipt, in units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockChanged {
    /// Which product.
    pub sku: Sku,
    /// In the warehouse.
    pub on_hand: i64,
    /// Sold, waiting for stock.
    pub backordered: i64,
    /// Requested from a factory, not yet received.
    pub on_order: i64,
    /// On hand + on order - backordered.
    pub position: i64,
    /// Rises with every change of the product: what has a lower one than was seen before is older. 0 from a release
    /// that did not count.
    #[serde(default)]
    pub revision: i64,
    /// When.
    pub at: DateTime<Utc>,
}
