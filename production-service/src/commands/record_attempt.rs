//! A call ended: its result, the request's next state and the outcome's event, all or nothing.

use std::time::Duration;

use diesel_async::AsyncConnection;
use shared::db::StoreError;
use shared::trace::TraceContext;

use super::claim_requests::Call;
use super::{Context, announce};
use crate::domain::{Verdict, classify};
use crate::store::attempts::{self, AttemptEnd};
use crate::store::{lead_times, milliseconds, requests};

/// How a call ended.
#[derive(Debug, Clone)]
pub struct CallEnd {
    /// Status of the answer; None when there was none.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
    /// The factory's own id for the job.
    pub job_id: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

impl CallEnd {
    /// What follows from it.
    pub fn verdict(&self) -> Verdict {
        classify(self.status)
    }

    fn in_words(&self) -> String {
        match (self.status, &self.error) {
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
        status: ended.status.map(i32::from),
        error: ended.error.clone(),
        answer: ended.answer.clone(),
    };
    let words = ended.in_words();
    let schedule = context.schedule(call.factory.settings.retry_schedule.as_deref());
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
            match stored.state.attempt_ended(number, verdict, &words, schedule) {
                Some(change) => announce::save(connection, &stored, &change, trace, &words).await,
                None => Ok::<_, StoreError>(()),
            }
        })
        .await?;
    context.committed();
    Ok(())
}
