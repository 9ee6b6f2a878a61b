//! Bounds of all waits.

use std::time::Duration;

/// Start of a server.
pub const START: Duration = Duration::from_secs(60);
/// Stop of a server.
pub const STOP: Duration = Duration::from_secs(25);
/// One request besides the load: an audit sums up millions of rows.
pub const REQUEST: Duration = Duration::from_secs(1200);
/// Settling of effects after a load.
pub const SETTLE: Duration = Duration::from_secs(300);
/// Polling interval.
pub const POLL: Duration = Duration::from_millis(50);
