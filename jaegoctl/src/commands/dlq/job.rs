//! Follows a running redrive until nothing is pending.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::PATH;
use crate::{
    api::Api,
    failure::{Exit, Failure, Result},
    output::Bar,
};

const POLL: Duration = Duration::from_millis(500);
/// Maximum failed polls in a row: a service that restarts continues its redrive.
const FAILED_POLLS_MAX: u32 = 60;

/// Progress of a redrive, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Progress {
    pub(super) pending: u64,
    pub(super) processed: u64,
    pub(super) failed_again: u64,
    /// Discarded by an operator while the redrive ran.
    pub(super) discarded: u64,
}

impl Progress {
    /// Parses `GET /api/v1/dead-letters/redrives/{id}`.
    fn read(job: &Value) -> Option<Self> {
        let number = |name: &str| job[name].as_u64();
        Some(Self {
            pending: number("pending")?,
            processed: number("processed")?,
            failed_again: number("failed_again")?,
            discarded: number("discarded").unwrap_or_default(),
        })
    }

    /// Messages that are no longer pending.
    pub(super) fn ended(self) -> u64 {
        self.processed + self.failed_again + self.discarded
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            processed: self.processed + other.processed,
            failed_again: self.failed_again + other.failed_again,
            discarded: self.discarded + other.discarded,
        }
    }
}

/// The id in the response to a redrive.
pub(super) fn id_of(api: &Api, job: &Value) -> Result<String> {
    job["id"]
        .as_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Failure::not_understood(api.service(), "a redrive without an `id`"))
}

/// Follows a redrive to its end, or until `wait` is over; the redrive itself then continues.
pub(super) async fn follow(api: &Api, id: &str, wait: Duration, bar: &mut Bar) -> Result<Progress> {
    let path = format!("{PATH}/redrives/{id}");
    let (begun, mut failed_polls) = (Instant::now(), 0);
    loop {
        let progress = match api.get(&path, &[]).await {
            Ok(job) => {
                failed_polls = 0;
                let progress = Progress::read(&job).ok_or_else(|| {
                    let what = "a redrive without whole numbers `pending`, `processed`, `failed_again`";
                    Failure::not_understood(api.service(), what)
                })?;
                bar.at(progress.ended(), progress.pending, progress.failed_again);
                if progress.pending == 0 {
                    return Ok(progress);
                }
                Some(progress)
            }
            Err(failure) if failure.exit == Exit::NoAnswer && failed_polls < FAILED_POLLS_MAX => {
                failed_polls += 1;
                None
            }
            Err(failure) => return Err(failure),
        };
        if begun.elapsed() >= wait {
            return Err(unfinished(api, id, progress));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn unfinished(api: &Api, id: &str, progress: Option<Progress>) -> Failure {
    let state = progress.map_or_else(
        || format!("{} does not report the progress", api.service()),
        |progress| format!("{} of the messages are still pending", progress.pending),
    );
    let service = api.service().user_name();
    let message = format!("{state}; the redrive continues. Follow it: jaegoctl dlq follow {id} --service {service}");
    Failure::new(Exit::NotWell, message)
}
