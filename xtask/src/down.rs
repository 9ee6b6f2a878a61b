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

use crate::{
    cli::{answer, shown},
    progress::{Progress, say},
    run_dir::{self, RunDir},
};

/// Longer than an orderly end of everything may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(150);

/// Ends whatever runs there.
pub(crate) async fn down(dir: &Path) -> anyhow::Result<ExitCode> {
    if !run_dir::is_known(dir) {
        answer(&format!("Nothing runs in {}.", shown(dir)));
        return Ok(ExitCode::SUCCESS);
    }
    let (_run_dir, stopped) = stop(dir).await?;
    let place = shown(dir);
    answer(&if stopped {
        format!("Stopped what ran in {place}; the data stay.")
    } else {
        format!("Nothing runs in {place}.")
    });
    Ok(ExitCode::SUCCESS)
}

/// Ends whatever runs there, and deletes its data.
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

/// Answers the locked folder, and whether anything ran.
async fn stop(dir: &Path) -> anyhow::Result<(RunDir, bool)> {
    let progress = Progress::new(CancellationToken::new());
    let free = RunDir::lock(dir)?;
    let mut stopped = free.is_none();
    let run_dir = if let Some(run_dir) = free { run_dir } else { end_foreground(dir, &progress).await? };
    stopped |= run_dir.stop_leftovers(&progress).await?;
    Ok((run_dir, stopped))
}

/// Asks the holder of the lock to end, and takes the lock.
async fn end_foreground(dir: &Path, progress: &Progress) -> anyhow::Result<RunDir> {
    let up = run_dir::read_note(dir).map(|note| note.pid).filter(|pid| is_xtask(*pid));
    let step = progress.begin_always(match up {
        Some(pid) => format!("Asking `cargo xtask up` (process {pid}) to stop"),
        None => "Waiting for another `cargo xtask`".to_owned(),
    });
    if let Some(pid) = up {
        // When it has just ended, there is nothing to ask.
        kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
    }
    let run_dir = RunDir::lock_within(dir, STOP_TIMEOUT).await?;
    step.done("It has stopped");
    Ok(run_dir)
}

/// A note may be older than the process that has its pid now.
fn is_xtask(pid: i32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pid > 1 && String::from_utf8_lossy(&command).contains("xtask")
}

fn confirmed(dir: &Path) -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        bail!("this deletes all data in {}: say --yes", shown(dir));
    }
    say(&format!("This stops the stack in {} and deletes all its data. Type yes to go on:", shown(dir)));
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}
