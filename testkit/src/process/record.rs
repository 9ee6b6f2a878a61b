//! Records by which a later process finds and stops one that was started here: pid, a part of its command
//! line, and its stop signal, one per line. Plain text, because a shell script reads them too (the watchdog
//! of the shared servers).

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

/// The signal that asks a program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    Terminate,
    /// SIGINT, on which PostgreSQL ends the sessions instead of waiting for them.
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

/// True when the process recorded at `path` is still running.
pub fn is_running(path: &Path) -> bool {
    read(path).is_some_and(|record| is_alive(&record))
}

/// Stops the process recorded at `path`, kills it when it does not stop in time, and removes the record.
/// Returns true when there was such a process.
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

/// Kills the process recorded at `path` and all its children at once.
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

/// The pid may belong to another program by now; a zombie has no command line.
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
