//! Ownership of a stack's folder: a lock, held while `up` runs in the foreground or while something is being started
//! or stopped, and a note for other processes.

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

/// A locked stack folder: no other process starts or stops anything in it.
#[derive(Debug)]
pub struct RunDir {
    dir: PathBuf,
    _lock: File,
}

/// Description of a running stack for other processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Note {
    /// The process that started the stack.
    pub pid: i32,
    /// True if the stack runs on its own, false if `pid` supervises it.
    pub detached: bool,
    /// Addresses as lines for display. Empty until everything is ready.
    pub urls: Vec<String>,
}

impl RunDir {
    /// Locks the folder. Returns `None` if another process holds the lock.
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

    /// Locks the folder, waiting up to `timeout` for other processes to release it.
    pub async fn lock_within(dir: &Path, timeout: Duration) -> anyhow::Result<Self> {
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

    pub fn note(&self, note: &Note) -> anyhow::Result<()> {
        Ok(servers::write_private(&self.dir.join(NOTE), 0o600, &serde_json::to_string_pretty(note)?)?)
    }

    /// Removes the note and the environment file, because nothing runs any more.
    pub fn forget(&self) {
        for name in [NOTE, ENV_FILE] {
            fs::remove_file(self.dir.join(name)).ok();
        }
    }

    /// Stops, in order, the processes that an earlier run left behind, and returns whether there were any. A process
    /// is only touched if it is still the recorded program.
    pub async fn stop_leftovers(&self, progress: &Progress) -> anyhow::Result<bool> {
        let running = running(&self.dir);
        if !running.is_empty() {
            let step = progress.begin_always(format!("Stopping {}", running.join(", ")));
            // The simulator first: a callback that is due now would find no receiver, and the factory never repeats
            // one.
            process::stop_recorded(&record(&self.dir, SIMULATOR), SIMULATOR_STOP_TIMEOUT).await?;
            let programs = Service::ALL.map(Service::program).into_iter().chain([FRONTEND]);
            let ends = programs.map(|name| {
                let path = record(&self.dir, name);
                tokio::spawn(async move { process::stop_recorded(&path, SERVICE_STOP_TIMEOUT).await })
            });
            // All processes are asked to stop before the first is awaited.
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

    /// Deletes all data of the stack, and the folder if it contains nothing else.
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

/// Returns whether there has ever been a stack in this folder.
pub fn is_known(dir: &Path) -> bool {
    dir.join(LOCK).is_file()
}

/// Returns `None` if there is no readable note.
pub fn read_note(dir: &Path) -> Option<Note> {
    serde_json::from_str(&fs::read_to_string(dir.join(NOTE)).ok()?).ok()
}

/// Names of the recorded programs that are running.
pub fn running(dir: &Path) -> Vec<&'static str> {
    let programs = Service::ALL.map(Service::program).into_iter().chain([FRONTEND, SIMULATOR]);
    let programs = programs.filter(|name| process::is_running(&record(dir, name)));
    let servers = ["RabbitMQ", "PostgreSQL"].into_iter().zip(server_dirs(dir));
    programs.chain(servers.filter(|(_, dir)| servers::is_running(dir)).map(|(name, _)| name)).collect()
}

/// Number of programs in a complete stack.
pub const PROGRAMS: usize = Service::ALL.len() + 4;
