//! Calls of cargo.

use std::{path::PathBuf, process::ExitStatus};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::progress::Progress;

/// The repository's root.
pub(crate) fn workspace_root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// The cargo that runs this program, in the repository's root. Ends with this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(tells_of_this_program) {
            command.env_remove(name);
        }
    }
    command.current_dir(workspace_root()).kill_on_drop(true);
    command
}

/// Waits for the end; asks it to end when somebody has asked to stop.
pub(crate) async fn end_of(child: &mut Child, progress: &Progress) -> anyhow::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status.context("cannot run cargo"),
        () = progress.stopped() => {}
    }
    if let Some(pid) = child.id() {
        let pid = Pid::from_raw(pid.cast_signed());
        // The whole group where it has one of its own. The only failure left is that it has just ended.
        killpg(pid, Signal::SIGTERM).or_else(|_| kill(pid, Signal::SIGTERM)).ok();
    }
    child.wait().await.context("cannot run cargo")
}

/// Cargo tells a program that it runs about its package. Passed on, that would look to build scripts
/// (ring's, for one) like a change, and half of the dependencies would be compiled again.
fn tells_of_this_program(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"]
        .into_iter()
        .any(|start| name.starts_with(start))
        || name == "OUT_DIR"
}
