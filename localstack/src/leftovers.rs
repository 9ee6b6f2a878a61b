//! A last resort for tests that are terminated from outside.

use std::{path::Path, time::Duration};

use testkit::process;

use crate::stack::all_records;

/// Kills every recorded program of the stack in `dir`, without a grace period.
pub async fn kill(dir: &Path) {
    for record in all_records(dir) {
        process::stop_recorded(&record, Duration::ZERO).await.ok();
    }
}
