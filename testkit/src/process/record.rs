//! Notes by which a later process finds and ends one that was started here: pid, a part of its
//! command line, and the signal that asks it to end, one per line. Plain text, because a shell
//! script reads them too (the watchdog of the shared servers).

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::time::sleep;

use crate::error::{Doing as _, Error, Result};

/// How a program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT; for PostgreSQL: end the sessions, not wait for them.
    Interrupt,
}

impl From<StopSignal> for Signal {
    fn from(stop: StopSignal) -> Self {
        match stop {
            StopSignal::Terminate => Self::SIGTERM,
            StopSignal::Interrupt => Self::SIGINT,
        }
    }
}

struct Record {
    pid: Pid,
    marker: String,
    signal: Signal,
}

/// Is the process that was recorded at `path` still running?
pub fn is_running(path: &Path) -> bool {
    read(path).is_some_and(|record| is_alive(&record))
}

/// Ends the process that was recorded at `path`, kills it when it has not ended in time, and
/// removes the record. Answers whether there was such a process.
pub async fn stop_recorded(path: &Path, timeout: Duration) -> Result<bool> {
    let Some(record) = read(path) else { return Ok(false) };
    let found = is_alive(&record);
    if found {
        signal::kill(record.pid, record.signal).ok();
        if !wait_gone(&record, timeout).await {
            signal::killpg(record.pid, Signal::SIGKILL).ok();
            if !wait_gone(&record, Duration::from_secs(10)).await {
                return Err(Error::Invalid(format!(
                    "process {} ({}) could not be ended; it was recorded in {}",
                    record.pid,
                    record.marker,
                    path.display()
                )));
            }
        }
    }
    fs::remove_file(path).ok();
    Ok(found)
}

/// Kills the process that was recorded at `path` and all its children at once.
pub(crate) fn kill_recorded_group(path: &Path) {
    if let Some(record) = read(path).filter(is_alive) {
        signal::killpg(record.pid, Signal::SIGKILL).ok();
    }
    fs::remove_file(path).ok();
}

pub(super) fn write(path: &Path, pid: u32, marker: &str, signal: StopSignal) -> Result<()> {
    let signal = match signal {
        StopSignal::Terminate => "TERM",
        StopSignal::Interrupt => "INT",
    };
    fs::write(path, format!("{pid}\n{marker}\n{signal}\n")).doing(|| format!("write {}", path.display()))
}

fn read(path: &Path) -> Option<Record> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok().filter(|pid| *pid > 1)?;
    let marker = lines.next().filter(|marker| !marker.is_empty())?.to_owned();
    let signal = if lines.next() == Some("INT") { Signal::SIGINT } else { Signal::SIGTERM };
    Some(Record { pid: Pid::from_raw(pid), marker, signal })
}

/// A pid may have been given to another program since; a zombie has no command line.
fn is_alive(record: &Record) -> bool {
    fs::read(format!("/proc/{}/cmdline", record.pid)).is_ok_and(|bytes| {
        let command = String::from_utf8_lossy(&bytes).replace('\0', " ");
        command.contains(&record.marker)
    })
}

async fn wait_gone(record: &Record, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while is_alive(record) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}
