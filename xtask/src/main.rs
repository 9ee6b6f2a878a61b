//! `cargo xtask`: builds the programs that do the work, and replaces itself with one of them.
//!
//! It has no dependencies, so cargo builds it within seconds, and a newcomer sees a message before waiting for
//! minutes while the rest is built.

use std::io::{self, IsTerminal as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Everything that `up` starts and `test` uses, in one build. In separate builds, the shared dependencies would be
/// compiled again with other features.
const PACKAGES: [&str; 9] = [
    "tasks",
    "sales-service",
    "production-service",
    "restock-service",
    "access-service",
    "frontend",
    "factory-simulator",
    "smoke-test",
    "jaegoctl",
];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    // Cargo puts all programs of a profile into one folder, wherever it is told to.
    let tasks = std::env::current_exe().unwrap_or_default().with_file_name("tasks");
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Stopping a stack must not wait for a compiler, nor fail because the sources do not compile now.
    let only_stops = arguments.first().is_some_and(|command| command == "down" || command == "reset");
    let exists = tasks.exists();
    if !exists {
        say("     The first time everything is compiled: 3 to 6 minutes on two cores, and 3 GB below target/.");
    }
    // When the services do not compile, `test` still runs what it can and reports that.
    let is_ready = (exists && only_stops) || build(&root, &PACKAGES, exists) || build(&root, &["tasks"], exists);
    if !is_ready {
        say("error: cargo cannot build what `cargo xtask` needs: see above");
        return ExitCode::FAILURE;
    }
    let error = Command::new(&tasks).args(arguments).exec();
    say(&format!("error: cannot run {}: {error}", tasks.display()));
    ExitCode::FAILURE
}

/// Runs cargo, which shows its progress on a terminal. Elsewhere it is quiet if most crates are built already.
fn build(root: &Path, packages: &[&str], are_mostly_there: bool) -> bool {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("build").current_dir(root);
    if are_mostly_there && !io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    // Cargo sets variables about the package of a program that it runs. If they were passed on, build scripts would
    // see a change, and half of the dependencies would be compiled again.
    for (name, _) in std::env::vars_os() {
        let is_of_this_package = name.to_str().is_some_and(|name| {
            ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_PACKAGE"]
                .iter()
                .any(|start| name.starts_with(start))
        });
        if is_of_this_package {
            cargo.env_remove(name);
        }
    }
    cargo.status().is_ok_and(|status| status.success())
}

#[expect(clippy::print_stderr, reason = "this is what a person reads")]
fn say(line: &str) {
    eprintln!("{line}");
}
