//! Running cargo from this program.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

use crate::progress::Progress;

pub fn workspace_root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// The same cargo that runs this program, in the repository root. Dropping the child kills it.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_this_program) {
            command.env_remove(name);
        }
    }
    command.current_dir(workspace_root()).kill_on_drop(true);
    command
}

/// Runs `cargo build ..` and returns the name and path of each executable. Cargo's diagnostics go to the terminal.
pub async fn built(build: &mut Command, progress: &Progress) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    build.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = build.spawn().context("cannot run cargo")?;
    let mut output = String::new();
    let mut stdout = child.stdout.take().context("cargo has no output")?;
    let (read, status) = tokio::join!(stdout.read_to_string(&mut output), end_of(&mut child, progress));
    if !status?.success() {
        progress.check()?;
        bail!("cargo could not build the programs: see above");
    }
    read.context("cannot read what cargo says")?;
    Ok(output.lines().filter_map(executable).collect())
}

/// Reads an executable's name and path from a line of cargo's JSON output.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.pointer("/target/name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

/// Waits for the child to exit, and sends it SIGTERM when a stop is requested.
pub async fn end_of(child: &mut Child, progress: &Progress) -> anyhow::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status.context("cannot run cargo"),
        () = progress.stopped() => {}
    }
    if let Some(pid) = child.id() {
        let pid = Pid::from_raw(pid.cast_signed());
        // Signals the whole process group if the child leads one. The only failure left is that it has just exited.
        killpg(pid, Signal::SIGTERM).or_else(|_| kill(pid, Signal::SIGTERM)).ok();
    }
    child.wait().await.context("cannot run cargo")
}

/// Cargo sets variables about the package of a program that it runs. If they were passed on, build scripts (ring's,
/// for example) would see a change, and half of the dependencies would be compiled again.
fn describes_this_program(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"]
        .into_iter()
        .any(|start| name.starts_with(start))
        || name == "OUT_DIR"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_executables_in_cargos_messages() {
        let line =
            r#"{"reason":"compiler-artifact","target":{"name":"sales-service"},"executable":"/t/sales-service"}"#;
        assert_eq!(executable(line), Some(("sales-service".to_owned(), PathBuf::from("/t/sales-service"))));
        assert_eq!(executable(r#"{"target":{"name":"shared"},"executable":null}"#), None);
        assert_eq!(executable("not json"), None);
    }
}
