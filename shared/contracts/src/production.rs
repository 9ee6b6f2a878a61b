//! Production requests, sent by sales-service and answered by production-service.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{FactoryId, Quantity, RequestId, Sku};

/// More units of a product must be made.
pub const REQUESTED: EventKind =
    EventKind { name: "jaego.production.requested.v1", routing_key: "production.requested", subscriber_required: true };
/// The factory took the request.
pub const ACCEPTED: EventKind = outcome("jaego.production.accepted.v1", "production.accepted");
/// No factory could be reached within the retry schedule.
pub const DEAD_LETTERED: EventKind = outcome("jaego.production.dead_lettered.v1", "production.dead_lettered");
/// The factory (and its fallback) refused the request.
pub const REFUSED: EventKind = outcome("jaego.production.refused.v1", "production.refused");
/// Accepted, but not received in full in time.
pub const OVERDUE: EventKind = outcome("jaego.production.overdue.v1", "production.overdue");
/// Stopped by an operator or because its replenishment was closed.
pub const CANCELLED: EventKind = outcome("jaego.production.cancelled.v1", "production.cancelled");

/// Every outcome of a production request, apart from goods.
pub const OUTCOMES: [&EventKind; 5] = [&ACCEPTED, &DEAD_LETTERED, &REFUSED, &OVERDUE, &CANCELLED];

const fn outcome(name: &'static str, routing_key: &'static str) -> EventKind {
    EventKind { name, routing_key, subscriber_required: true }
}

/// Data of the event `jaego.production.requested.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductionRequested {
    /// Also the id of the replenishment.
    pub request_id: RequestId,
    /// The product to make.
    pub sku: Sku,
    /// Units to make.
    pub quantity: Quantity,
    /// The factory that makes it.
    pub factory_id: FactoryId,
    /// Reason, for people.
    pub reason: String,
    /// Time of the decision.
    pub requested_at: DateTime<Utc>,
}

/// Data of the events about the outcome of a production request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductionOutcome {
    /// The production request.
    pub request_id: RequestId,
    /// Its product.
    pub sku: Sku,
    /// Its units.
    pub quantity: Quantity,
    /// The factory that this outcome is about.
    pub factory_id: FactoryId,
    /// Increases by one with every change of the request; an older revision is ignored.
    pub revision: i64,
    /// Time of the outcome.
    pub at: DateTime<Utc>,
    /// Reason, for people.
    pub reason: String,
}
