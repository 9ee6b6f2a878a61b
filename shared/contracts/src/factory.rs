//! The event that announces a factory to the other services.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventKind;
use crate::ids::FactoryId;

/// A factory was added or changed.
pub const CHANGED: EventKind =
    EventKind { name: "jaego.factory.changed.v1", routing_key: "factory.changed", subscriber_required: true };

/// Data of the event `jaego.factory.changed.v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactoryChanged {
    /// The factory.
    pub factory_id: FactoryId,
    /// Display name.
    pub name: String,
    /// True if requests are sent to it.
    pub enabled: bool,
    /// Configured lead time, seconds.
    pub lead_time_s: i64,
    /// Measured median lead time, seconds; null until there are enough receipts.
    pub lead_time_p50_s: Option<i64>,
    /// Measured 90th percentile of the lead time, seconds.
    pub lead_time_p90_s: Option<i64>,
    /// Networks from which its callbacks are accepted; empty: all.
    pub callback_sources: Vec<String>,
    /// Increases by one with every change; an older revision is ignored.
    pub revision: i64,
}
