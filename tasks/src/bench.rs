//! `cargo xtask bench`: installs what is missing, builds the programs in release mode, and runs `jaego-bench`, which
//! does the measuring.

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::selection::Selection;
use crate::signals::Signals;
use localstack::cargo::{end_of, workspace_root};
use localstack::packages;
use localstack::programs::Programs;
use localstack::progress::Progress;

const PROGRAM: &str = "jaego-bench";
const PACKAGE: &str = "bench";

pub(crate) struct Wanted {
    pub(crate) selection: Selection,
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
    let Selection { cases, quick, short, orders, write } = &wanted.selection;
    command.args(cases.iter().map(|case| case.name()));
    let options = [(quick, "--quick"), (short, "--short"), (write, "--write")];
    command.args(options.into_iter().filter_map(|(&asked, option)| asked.then_some(option)));
    if let Some(orders) = orders {
        command.arg("--orders").arg(orders.to_string());
    }
    command.kill_on_drop(true);
    command
}
