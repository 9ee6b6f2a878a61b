//! Replenishments that ended before all their goods came.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{RequestId, Sku};

/// An operator closed a replenishment short: production stops asking.
pub const CLOSED: EventKind =
    EventKind { name: "jaego.replenishment.closed.v1", routing_key: "replenishment.closed", subscriber_required: true };

/// Data of [`CLOSED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplenishmentClosed {
    /// Which replenishment, and production request.
    pub request_id: RequestId,
    /// Its product.
    pub sku: Sku,
    /// Why.
    pub reason: String,
    /// When.
    pub closed_at: DateTime<Utc>,
}
