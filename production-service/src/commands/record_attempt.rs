//! A call ended: its result, the request's next state and the outcome's event, all or nothing.

use std::time::Duration;

use diesel_async::AsyncConnection;
use shared::db::StoreError;
use shared::trace::TraceContext;

use super::claim_requests::Call;
use super::{Context, announce};
use crate::domain::{AttemptResult, Options, Verdict};
use crate::store::attempts::{self, AttemptEnd};
use crate::store::{factories, lead_times, milliseconds, requests};

pub use crate::domain::{Ending, Health};

/// How a call ended.
#[derive(Debug, Clone)]
pub struct CallEnd {
    /// With an answer, or without.
    pub ending: Ending,
    /// Why there was none.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
    /// How long the factory wants to be left alone, bounded.
    pub retry_after: Option<Duration>,
    /// The factory's own id for the job.
    pub job_id: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

impl CallEnd {
    /// What follows from it.
    pub fn verdict(&self) -> Verdict {
        self.ending.classify().0
    }

    /// What it tells of the factory.
    pub fn health(&self) -> Health {
        self.ending.classify().1
    }

    /// The same for people.
    pub fn in_words(&self) -> String {
        match (self.ending.status(), &self.error) {
            (Some(status), _) => format!("the factory answered {status}"),
            (None, Some(error)) => format!("no answer: {error}"),
            (None, None) => "no answer".to_owned(),
        }
    }
}

/// Records the end of `call`; `trace` is the call's own.
pub async fn record_attempt(
    context: &Context,
    call: &Call,
    ended: &CallEnd,
    trace: TraceContext,
) -> Result<(), StoreError> {
    let (id, number, verdict) = (call.request_id(), call.number(), ended.verdict());
    let row = AttemptEnd {
        outcome: verdict.as_str(),
        duration_ms: Some(milliseconds(ended.duration)),
        status: ended.ending.status().map(i32::from),
        error: ended.error.clone(),
        answer: ended.answer.clone(),
    };
    let words = ended.in_words();
    let settings = &call.factory.settings;
    let result = AttemptResult { number, verdict, words: &words, retry_after: ended.retry_after };
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async |connection| {
            let Some(stored) = requests::lock(connection, id).await? else { return Ok(()) };
            attempts::end(connection, id, number, row).await?;
            if verdict == Verdict::Accepted {
                lead_times::keep_acceptance(connection, id, number).await?;
                if let Some(job_id) = &ended.job_id {
                    requests::keep_job_id(connection, id, job_id).await?;
                }
            }
            let fallback = match &settings.fallback_factory_id {
                Some(fallback) if verdict == Verdict::Refused => factories::find(connection, fallback).await?,
                _ => None,
            };
            let options = Options {
                schedule: context.schedule(settings.retry_schedule.as_deref()),
                fallback: fallback.as_ref().map(|factory| &factory.id),
            };
            match stored.state.attempt_ended(result, options) {
                Some(change) => announce::save(connection, &stored, &change, trace, &words).await,
                None => Ok::<_, StoreError>(()),
            }
        })
        .await?;
    context.committed();
    Ok(())
}
