//! Nothing is waited for without an end.

use std::time::Duration;

/// For a server that was started.
pub const START: Duration = Duration::from_secs(60);
/// For a server that was asked to end.
pub const STOP: Duration = Duration::from_secs(25);
/// For one request beside the load: an audit adds up millions of rows.
pub const REQUEST: Duration = Duration::from_secs(1200);
/// For effects to settle after a load.
pub const SETTLE: Duration = Duration::from_secs(300);
/// How often it is looked.
pub const POLL: Duration = Duration::from_millis(50);
