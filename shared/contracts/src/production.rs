//! Production requests: asked for by sales-service, answered by production-service.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::{FactoryId, Quantity, RequestId, Sku};

/// Someone must make more.
pub const REQUESTED: EventKind =
    EventKind { name: "jaego.production.requested.v1", routing_key: "production.requested", subscriber_required: true };
/// The factory took the request.
pub const ACCEPTED: EventKind = outcome("jaego.production.accepted.v1", "production.accepted");
/// No factory could be reached within the retry schedule.
pub const DEAD_LETTERED: EventKind = outcome("jaego.production.dead_lettered.v1", "production.dead_lettered");
/// The factory (and its fallback) said no.
pub const REFUSED: EventKind = outcome("jaego.production.refused.v1", "production.refused");
/// Accepted, but not received when it should have been.
pub const OVERDUE: EventKind = outcome("jaego.production.overdue.v1", "production.overdue");
/// Stopped by an operator or because its replenishment was closed.
pub const CANCELLED: EventKind = outcome("jaego.production.cancelled.v1", "production.cancelled");

/// All that can become of a production request short of goods.
pub const OUTCOMES: [&EventKind; 5] = [&ACCEPTED, &DEAD_LETTERED, &REFUSED, &OVERDUE, &CANCELLED];

const fn outcome(name: &'static str, routing_key: &'static str) -> EventKind {
    EventKind { name, routing_key, subscriber_required: true }
}

/// Data of [`REQUESTED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductionRequested {
    /// The replenishment's id, too.
    pub request_id: RequestId,
    /// What to make.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// Who makes it.
    pub factory_id: FactoryId,
    /// Why, in words.
    pub reason: String,
    /// When the decision was made.
    pub requested_at: DateTime<Utc>,
}

/// Data of every outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductionOutcome {
    /// Which request.
    pub request_id: RequestId,
    /// Its product.
    pub sku: Sku,
    /// Its units.
    pub quantity: Quantity,
    /// The factory that this outcome is about.
    pub factory_id: FactoryId,
    /// Rises by one with every change of the request; an older one is ignored.
    pub revision: i64,
    /// When it became so.
    pub at: DateTime<Utc>,
    /// Why, in words.
    pub reason: String,
}
