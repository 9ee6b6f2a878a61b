//! Who runs in a stack's folder: a lock that is held for as long as `up` is in the foreground (or
//! something is being started or stopped), and a note for everybody else.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use testkit::{process, servers};

use crate::{
    progress::Progress,
    stack::{
        FRONTEND, SERVICE_STOP_TIMEOUT, SIMULATOR, SIMULATOR_STOP_TIMEOUT, Service, environment::ENV_FILE, record,
        server_dirs,
    },
};

const LOCK: &str = "up.lock";
const NOTE: &str = "up.json";

/// A stack's folder, locked: nobody else starts or stops anything in it.
#[derive(Debug)]
pub struct RunDir {
    dir: PathBuf,
    _lock: File,
}

/// What is noted of a running stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The process that started it.
    pub(crate) pid: i32,
    /// Is it left alone, or does that process watch over it?
    pub(crate) detached: bool,
    /// Lines for a person: what is where. Empty until everything is ready.
    pub(crate) urls: Vec<String>,
}

impl RunDir {
    /// Locks the folder; none when another process holds it.
    pub fn lock(dir: &Path) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(LOCK);
        let opened = File::options().create(true).append(true).open(&path);
        let lock = opened.with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { dir: dir.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Locks the folder as soon as nobody holds it.
    pub(crate) async fn lock_within(dir: &Path, timeout: Duration) -> anyhow::Result<Self> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(locked) = Self::lock(dir)? {
                return Ok(locked);
            }
            if Instant::now() >= deadline {
                bail!("another process has used {} for {timeout:?}", dir.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Notes who runs.
    pub(crate) fn note(&self, note: &Note) -> anyhow::Result<()> {
        Ok(servers::write_private(&self.dir.join(NOTE), 0o600, &serde_json::to_string_pretty(note)?)?)
    }

    /// Nobody runs any more.
    pub(crate) fn forget(&self) {
        for name in [NOTE, ENV_FILE] {
            fs::remove_file(self.dir.join(name)).ok();
        }
    }

    /// Ends, in order, what an earlier process has left running; answers whether there was anything.
    /// Only processes that are still the recorded program are touched.
    pub async fn stop_leftovers(&self, progress: &Progress) -> anyhow::Result<bool> {
        let running = running(&self.dir);
        if !running.is_empty() {
            let step = progress.begin_always(format!("Stopping {}", running.join(", ")));
            // First: a callback that is due now would find nobody, and the factory never calls twice.
            process::stop_recorded(&record(&self.dir, SIMULATOR), SIMULATOR_STOP_TIMEOUT).await?;
            let programs = Service::ALL.map(Service::program).into_iter().chain([FRONTEND]);
            let ends = programs.map(|name| {
                let path = record(&self.dir, name);
                tokio::spawn(async move { process::stop_recorded(&path, SERVICE_STOP_TIMEOUT).await })
            });
            // Each was asked before the first is waited for.
            for end in ends.collect::<Vec<_>>() {
                end.await??;
            }
            for server in server_dirs(&self.dir) {
                servers::stop_recorded(&server).await?;
            }
            step.done(format!("Stopped {}", running.join(", ")));
        }
        self.forget();
        Ok(!running.is_empty())
    }

    /// Deletes everything that a stack keeps, and the folder when nothing else is in it.
    pub fn delete(self) -> anyhow::Result<()> {
        for server in server_dirs(&self.dir) {
            servers::wipe(&server)?;
        }
        for folder in ["keys", "logs", "pids"] {
            remove(fs::remove_dir_all(self.dir.join(folder)), folder)?;
        }
        for file in ["secrets.json", "ports.json", NOTE, ENV_FILE, LOCK] {
            remove(fs::remove_file(self.dir.join(file)), file)?;
        }
        fs::remove_dir(&self.dir).ok();
        Ok(())
    }
}

fn remove(removed: std::io::Result<()>, what: &str) -> anyhow::Result<()> {
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {what}"))
        }
        _ => Ok(()),
    }
}

/// Has there ever been a stack in this folder?
pub(crate) fn is_known(dir: &Path) -> bool {
    dir.join(LOCK).is_file()
}

/// What is noted of the running stack.
pub(crate) fn read_note(dir: &Path) -> Option<Note> {
    serde_json::from_str(&fs::read_to_string(dir.join(NOTE)).ok()?).ok()
}

/// The names of those recorded programs that run.
pub(crate) fn running(dir: &Path) -> Vec<&'static str> {
    let programs = Service::ALL.map(Service::program).into_iter().chain([FRONTEND, SIMULATOR]);
    let programs = programs.filter(|name| process::is_running(&record(dir, name)));
    let servers = ["RabbitMQ", "PostgreSQL"].into_iter().zip(server_dirs(dir));
    programs.chain(servers.filter(|(_, dir)| servers::is_running(dir)).map(|(name, _)| name)).collect()
}

/// How many programs a whole stack has.
pub(crate) const PROGRAMS: usize = Service::ALL.len() + 4;
