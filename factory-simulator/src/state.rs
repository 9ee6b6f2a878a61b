//! The state file of a factory that survives restarts: its unfinished jobs.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use chrono::Utc;
use serde::{Deserialize, Serialize};

use crate::{
    history::ReceivedRequest,
    plan::{Job, STAGES},
};

/// An unfinished job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpenJob {
    /// The request, as it was answered.
    pub(crate) request: ReceivedRequest,
    /// Its first `sent` callbacks have been sent.
    pub(crate) job: Job,
    pub(crate) sent: usize,
    /// Start time, Unix milliseconds.
    pub(crate) begun_ms: u64,
}

impl OpenJob {
    /// Milliseconds until a stage (counted from 1) is done; zero when it is.
    pub(crate) fn until_stage(&self, stage: u8) -> u64 {
        let due = self.begun_ms.saturating_add(self.job.stage_ms.saturating_mul(stage.into()));
        due.saturating_sub(now_ms())
    }

    /// Milliseconds until a callback (counted from 0) is due; zero when it is overdue.
    pub(crate) fn until_callback(&self, index: usize) -> u64 {
        let pauses = self.job.callbacks.iter().take(index + 1).map(|callback| callback.pause_ms);
        let pauses = pauses.fold(0, u64::saturating_add);
        let made = self.begun_ms.saturating_add(self.job.stage_ms.saturating_mul(STAGES.into()));
        made.saturating_add(pauses).saturating_sub(now_ms())
    }
}

/// An open job and its text in the file, which is made once because the file is rewritten whenever any job
/// changes.
#[derive(Debug)]
pub(crate) struct KeptJob {
    pub(crate) open: OpenJob,
    text: String,
}

impl KeptJob {
    pub(crate) fn new(open: OpenJob) -> Result<Self> {
        Ok(Self { text: serde_json::to_string(&open)?, open })
    }
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default()
}

/// The state file. It is replaced atomically and readable only by its owner: callback URLs are capabilities.
#[derive(Debug)]
pub(crate) struct StateFile(PathBuf);

impl StateFile {
    /// Opens the file and returns its jobs; a missing file has none.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<KeptJob>)> {
        let jobs: Vec<OpenJob> = match fs::read(path) {
            Ok(json) => {
                serde_json::from_slice(&json).with_context(|| format!("{} is not a factory's state", path.display()))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let file = Self(path.to_owned());
        let jobs = jobs.into_iter().map(KeptJob::new).collect::<Result<Vec<_>>>()?;
        // An unwritable file must fail here rather than at the first request.
        file.write(&jobs)?;
        Ok((file, jobs))
    }

    pub(crate) fn write<'a>(&self, jobs: impl IntoIterator<Item = &'a KeptJob>) -> Result<()> {
        let texts: Vec<&str> = jobs.into_iter().map(|job| job.text.as_str()).collect();
        self.replace(&format!("[{}]", texts.join(",\n"))).with_context(|| format!("cannot write {}", self.0.display()))
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let fresh = self.0.with_extension("new");
        fs::remove_file(&fresh).ok();
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, &self.0)
    }
}
