//! The state file of a factory that survives restarts: its unfinished jobs.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::{
    history::ReceivedRequest,
    plan::{Job, STAGES},
};
use crate::{
    error::{Doing as _, Error, Result},
    servers::write_private,
};

/// An unfinished job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OpenJob {
    /// The request, as it was answered.
    pub(super) request: ReceivedRequest,
    /// Its first `sent` callbacks have been sent.
    pub(super) job: Job,
    pub(super) sent: usize,
    /// Start time, Unix milliseconds.
    pub(super) begun_ms: u64,
}

impl OpenJob {
    /// Milliseconds until a stage (counted from 1) is done; zero when it is.
    pub(super) fn until_stage(&self, stage: u8) -> u64 {
        let due = self.begun_ms.saturating_add(self.job.stage_ms.saturating_mul(stage.into()));
        due.saturating_sub(now_ms())
    }

    /// Milliseconds until a callback (counted from 0) is due; zero when it is overdue.
    pub(super) fn until_callback(&self, index: usize) -> u64 {
        let pauses = self.job.callbacks.iter().take(index + 1).map(|callback| callback.pause_ms);
        let pauses = pauses.fold(0, u64::saturating_add);
        let made = self.begun_ms.saturating_add(self.job.stage_ms.saturating_mul(STAGES.into()));
        made.saturating_add(pauses).saturating_sub(now_ms())
    }
}

/// An open job and its text in the file, which is made once because the file is rewritten whenever any job
/// changes.
#[derive(Debug)]
pub(super) struct KeptJob {
    pub(super) open: OpenJob,
    text: String,
}

impl KeptJob {
    pub(super) fn new(open: OpenJob) -> Result<Self> {
        let text = serde_json::to_string(&open).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self { open, text })
    }
}

/// Unix time in milliseconds.
pub(super) fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default()
}

/// The state file. It is replaced atomically and readable only by its owner: callback URLs are capabilities.
#[derive(Debug)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    /// Opens the file and returns its jobs; a missing file has none.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<KeptJob>)> {
        let jobs: Vec<OpenJob> = match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json)
                .map_err(|error| Error::Invalid(format!("{} is not a factory's state: {error}", path.display())))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).doing(|| format!("read {}", path.display())),
        };
        let file = Self(path.to_owned());
        let jobs = jobs.into_iter().map(KeptJob::new).collect::<Result<Vec<_>>>()?;
        // An unwritable file must fail here rather than at the first request.
        file.write(&jobs)?;
        Ok((file, jobs))
    }

    pub(super) fn write<'a>(&self, jobs: impl IntoIterator<Item = &'a KeptJob>) -> Result<()> {
        let texts: Vec<&str> = jobs.into_iter().map(|job| job.text.as_str()).collect();
        write_private(&self.0, 0o600, &format!("[{}]", texts.join(",\n")))
    }
}
