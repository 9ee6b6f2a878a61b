//! `cargo xtask bench`: installs what is missing, builds the programs in release mode, and runs `jaego-bench`, which
//! does the measuring.

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use tokio::process::Command;

use crate::signals::Signals;
use localstack::cargo::{end_of, workspace_root};
use localstack::packages;
use localstack::programs::Programs;
use localstack::progress::Progress;

const PROGRAM: &str = "jaego-bench";
const PACKAGE: &str = "bench";

/// A benchmark that can be run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Orders.
    Intake,
    /// From the outbox to the broker.
    Relay,
    /// Callbacks of factories.
    Receipts,
    /// Requests to a factory.
    Delivery,
    /// From a refused order to the factory, and from its callback to stock.
    EndToEnd,
    /// A stack that nobody uses.
    Idle,
    /// With millions of orders stored, and over a longer time.
    Growth,
}

pub(crate) struct Wanted {
    pub(crate) cases: Vec<Case>,
    pub(crate) quick: bool,
    pub(crate) short: bool,
    pub(crate) write: bool,
    pub(crate) programs: Option<PathBuf>,
    pub(crate) dir: PathBuf,
}

/// Runs the benchmarks. Fails if `jaego-bench` fails.
pub(crate) async fn bench(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    packages::ensure(&progress).await?;
    packages::ensure_load_generator(&progress).await?;
    let folder = match &wanted.programs {
        Some(folder) => std::path::absolute(folder)?,
        None => build(&progress).await?,
    };
    let program = folder.join(PROGRAM);
    ensure!(
        program.is_file(),
        "there is no program {PROGRAM} in {}; cargo package {PACKAGE} makes it",
        folder.display()
    );
    let mut command = command(&program, wanted);
    command.arg("--programs").arg(&folder).stdin(Stdio::null());
    // The child receives Ctrl-C by itself; SIGTERM is passed on to it.
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let status = end_of(&mut child, &progress).await?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn build(progress: &Progress) -> anyhow::Result<PathBuf> {
    let mut step =
        progress.begin("Building the services and the benchmark (release build; the first one takes minutes)")?;
    step.without_spinner();
    let programs = Programs::build(true, &[PACKAGE], progress).await?;
    let folder = programs.folder().context("cargo has not reported where it puts programs")?.to_owned();
    step.done("Services and benchmark are built (release build)");
    Ok(folder)
}

fn command(program: &Path, wanted: &Wanted) -> Command {
    let mut command = Command::new(program);
    command.arg("run").arg("--dir").arg(&wanted.dir).arg("--docs").arg(workspace_root().join("docs"));
    for case in &wanted.cases {
        command.args(case.to_possible_value().map(|value| value.get_name().to_owned()));
    }
    for (asked, option) in [(wanted.quick, "--quick"), (wanted.short, "--short"), (wanted.write, "--write")] {
        if asked {
            command.arg(option);
        }
    }
    command.kill_on_drop(true);
    command
}
