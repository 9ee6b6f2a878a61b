//! Replenishments that ended before all their goods arrived.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{RequestId, Sku};

/// An operator closed a replenishment short: production-service stops requesting the rest.
pub const CLOSED: EventKind =
    EventKind { name: "jaego.replenishment.closed.v1", routing_key: "replenishment.closed", subscriber_required: true };

/// Data of the event `jaego.replenishment.closed.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplenishmentClosed {
    /// Id of the replenishment and of its production request.
    pub request_id: RequestId,
    /// Its product.
    pub sku: Sku,
    /// Reason, for people.
    pub reason: String,
    /// Time at which it was closed.
    pub closed_at: DateTime<Utc>,
}
