//! What the other services know of a factory.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::FactoryId;

/// A factory was added or changed.
pub const CHANGED: EventKind =
    EventKind { name: "jaego.factory.changed.v1", routing_key: "factory.changed", subscriber_required: true };

/// Data of [`CHANGED`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactoryChanged {
    /// Which factory.
    pub factory_id: FactoryId,
    /// Its name for people.
    pub name: String,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Configured lead time, seconds.
    pub lead_time_s: i64,
    /// Measured median lead time, seconds, once there are enough receipts.
    pub lead_time_p50_s: Option<i64>,
    /// Measured 90th percentile, seconds.
    pub lead_time_p90_s: Option<i64>,
    /// Networks that its callbacks come from; empty allows all.
    pub callback_sources: Vec<String>,
    /// Rises by one with every change; an older one is ignored.
    pub revision: i64,
}
