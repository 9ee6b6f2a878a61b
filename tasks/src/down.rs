//! `cargo xtask down` and `reset`.

use std::{
    io::{IsTerminal as _, stdin},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_util::sync::CancellationToken;

use crate::output::{answer, shown};
use localstack::progress::{Progress, say};
use localstack::run_dir;
use localstack::run_dir::RunDir;

/// Longer than an orderly shutdown of everything may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(150);

/// Stops whatever runs in `dir`.
pub(crate) async fn down(dir: &Path) -> anyhow::Result<ExitCode> {
    if !run_dir::is_known(dir) {
        answer(&format!("Nothing runs in {}.", shown(dir)));
        return Ok(ExitCode::SUCCESS);
    }
    let (_run_dir, stopped) = stop(dir).await?;
    let place = shown(dir);
    answer(&if stopped {
        format!("Stopped everything in {place}; the data is kept.")
    } else {
        format!("Nothing runs in {place}.")
    });
    Ok(ExitCode::SUCCESS)
}

/// Stops whatever runs in `dir`, and deletes its data.
pub(crate) async fn reset(dir: &Path, yes: bool) -> anyhow::Result<ExitCode> {
    if !run_dir::is_known(dir) {
        answer(&format!("There is no stack in {}.", shown(dir)));
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !confirmed(dir)? {
        answer("Nothing was deleted.");
        return Ok(ExitCode::FAILURE);
    }
    let (run_dir, _) = stop(dir).await?;
    run_dir.delete()?;
    answer(&format!("Deleted everything in {}.", shown(dir)));
    Ok(ExitCode::SUCCESS)
}

/// Returns the locked folder, and whether anything was running.
async fn stop(dir: &Path) -> anyhow::Result<(RunDir, bool)> {
    let progress = Progress::new(CancellationToken::new());
    let free = RunDir::lock(dir)?;
    let mut stopped = free.is_none();
    let run_dir = if let Some(run_dir) = free { run_dir } else { end_foreground(dir, &progress).await? };
    stopped |= run_dir.stop_leftovers(&progress).await?;
    Ok((run_dir, stopped))
}

/// Asks the holder of the lock to stop, and takes the lock.
async fn end_foreground(dir: &Path, progress: &Progress) -> anyhow::Result<RunDir> {
    let up = run_dir::read_note(dir).map(|note| note.pid).filter(|pid| is_this_program(*pid));
    let step = progress.begin_always(match up {
        Some(pid) => format!("Asking `cargo xtask up` (process {pid}) to stop"),
        None => "Waiting for another `cargo xtask`".to_owned(),
    });
    if let Some(pid) = up {
        // The process may have exited by now.
        kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
    }
    let run_dir = RunDir::lock_within(dir, STOP_TIMEOUT).await?;
    step.done("It has stopped");
    Ok(run_dir)
}

/// The pid may have been reused since the note was written.
fn is_this_program(pid: i32) -> bool {
    let program = |link: &str| std::fs::read_link(link).ok()?.file_name()?.to_str().map(ToOwned::to_owned);
    // A program that has been compiled again since is shown as deleted.
    let name = |link: &str| program(link).map(|name| name.trim_end_matches(" (deleted)").to_owned());
    pid > 1
        && name(&format!("/proc/{pid}/exe")).is_some_and(|other| name("/proc/self/exe").is_some_and(|own| own == other))
}

fn confirmed(dir: &Path) -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        bail!("this deletes all data in {}: give --yes", shown(dir));
    }
    say(&format!("This stops the stack in {} and deletes all its data. Type yes to continue:", shown(dir)));
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}
