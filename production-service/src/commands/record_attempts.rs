//! Records results of calls, the requests' next states and the events of their outcomes, all or nothing.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::{FactoryId, RequestId};
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;

use super::Context;
use super::announce::{self, Saving};
use super::claim_requests::Call;
use super::own_in_flight::Held;
use crate::domain::{AttemptResult, Factory, Options, RequestChange, Verdict};
use crate::store::attempts::{self, AttemptEnd};
use crate::store::changes::{self, Acceptance};
use crate::store::requests::{self, StoredRequest};
use crate::store::{factories, gates, milliseconds};

pub use crate::domain::{Ending, Health};

/// Precedes the status in the description of a result.
const ANSWERED: &str = "the factory answered ";

#[derive(Debug, Clone)]
pub struct CallEnd {
    pub ending: Ending,
    /// Reason why there was no answer.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
    /// Delay that the factory asked for, bounded.
    pub retry_after: Option<Duration>,
    /// The factory's own id for the job.
    pub job_id: Option<String>,
    pub duration: Duration,
}

impl CallEnd {
    /// Result of a call that was not made.
    pub fn not_made(error: String) -> Self {
        let ending = Ending::NotConnected;
        Self { ending, error: Some(error), answer: None, retry_after: None, job_id: None, duration: Duration::ZERO }
    }

    /// Consequence for the request.
    pub fn verdict(&self) -> Verdict {
        self.ending.classify().0
    }

    /// Consequence for the factory's breaker.
    pub fn health(&self) -> Health {
        self.ending.classify().1
    }

    /// Delay that the factory asked for in a 429 or 503 answer.
    fn throttled(&self) -> Option<Duration> {
        self.retry_after.filter(|_| matches!(self.ending.status(), Some(429 | 503)))
    }

    /// Description for people.
    pub fn in_words(&self) -> String {
        match (self.ending.status(), &self.error) {
            (Some(status), _) => format!("{ANSWERED}{status}"),
            (None, Some(error)) => format!("no answer: {error}"),
            (None, None) => "no answer".to_owned(),
        }
    }
}

/// Status that a factory answered, if `words` is the description of an answer ([`CallEnd::in_words`]).
pub(super) fn answered_status(words: &str) -> Option<u16> {
    words.strip_prefix(ANSWERED)?.parse().ok()
}

/// A finished call; it counts as in flight until this is dropped.
pub struct Ended {
    pub call: Call,
    pub end: CallEnd,
    /// Trace of the call itself.
    pub trace: TraceContext,
    /// Released when the result is recorded, or never will be.
    pub held: Held,
}

/// Treatment of requests that another transaction has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// Wait for the lock.
    WaitedFor,
    /// Skip their results.
    LeftOut,
}

impl Ended {
    fn row(&self) -> AttemptEnd {
        AttemptEnd {
            request_id: self.call.request_id(),
            number: self.call.number(),
            outcome: self.end.verdict().as_str(),
            duration_ms: Some(milliseconds(self.end.duration)),
            status: self.end.ending.status().map(i32::from),
            error: self.end.error.clone(),
            answer: self.end.answer.clone(),
        }
    }

    /// Precise to the millisecond, like the stored duration. A conflict that proves an earlier acceptance counts as
    /// well.
    fn acceptance(&self, change: Option<&RequestChange>) -> Option<Acceptance> {
        let accepted = || Acceptance {
            at: self.call.started_at + TimeDelta::milliseconds(milliseconds(self.end.duration)),
            by: self.call.factory.id.clone(),
            job_id: self.end.job_id.clone(),
        };
        let is_one = self.end.verdict() == Verdict::Accepted || change.is_some_and(RequestChange::is_acceptance);
        is_one.then(accepted)
    }

    /// `known`: factories, among them the possible fallback.
    fn change(
        &self,
        context: &Context,
        stored: &StoredRequest,
        words: &str,
        known: &[Factory],
    ) -> Option<RequestChange> {
        let settings = &self.call.factory.settings;
        let result = AttemptResult {
            number: self.call.number(),
            verdict: self.end.verdict(),
            words,
            retry_after: self.end.retry_after,
            is_throttled: self.end.throttled().is_some(),
            waited: (Utc::now() - stored.schedule_began_at).to_std().unwrap_or_default(),
        };
        let is_fallback = |factory: &&Factory| Some(&factory.id) == self.fallback() && factory.settings.enabled;
        let options = Options {
            schedule: context.schedule(settings.retry_schedule.as_deref()),
            fallback: known.iter().find(is_fallback).map(|factory| &factory.id),
            throttled_max: context.throttled_max,
        };
        stored.state.attempt_ended(result, options)
    }

    /// Factory that may be asked after a refusal.
    fn fallback(&self) -> Option<&FactoryId> {
        let fallback = self.call.factory.settings.fallback_factory_id.as_ref();
        fallback.filter(|_| matches!(self.end.verdict(), Verdict::Refused | Verdict::Conflict))
    }
}

/// Records the result of one call, waiting for the lock of its request if necessary.
pub async fn record_apart(context: &Context, ended: &Ended) -> Result<(), StoreError> {
    record(context, &[ended], Locked::WaitedFor).await?;
    context.wake_after_commit();
    Ok(())
}

/// Records results of calls for distinct requests, all or nothing; those of locked requests can be skipped. Returns
/// for each whether it was recorded: the request may no longer exist.
pub(super) async fn record(context: &Context, ends: &[&Ended], locked: Locked) -> Result<Vec<bool>, StoreError> {
    let mut connection = context.pool.get().await?;
    connection.transaction(async |connection| write(connection, context, ends, locked).await).await
}

async fn write(
    connection: &mut AsyncPgConnection,
    context: &Context,
    ends: &[&Ended],
    locked: Locked,
) -> Result<Vec<bool>, StoreError> {
    let ids: Vec<RequestId> = ends.iter().map(|ended| ended.call.request_id()).collect();
    let mut stored = match locked {
        Locked::WaitedFor => requests::lock_all(connection, &ids).await?,
        Locked::LeftOut => requests::lock_free(connection, &ids).await?,
    };
    let known = fallbacks(connection, ends).await?;
    let mut recorded = Vec::with_capacity(ends.len());
    let mut decided = Vec::with_capacity(stored.len());
    for ended in ends {
        let Some(stored) = stored.remove(&ended.call.request_id()) else {
            recorded.push(false);
            continue;
        };
        recorded.push(true);
        let words = ended.end.in_words();
        let change = ended.change(context, &stored, &words, &known);
        let acceptance = ended.acceptance(change.as_ref());
        decided.push(Decided { ended, stored, words, acceptance, change });
    }
    attempts::end(connection, &decided.iter().map(|one| one.ended.row()).collect::<Vec<_>>()).await?;
    announce::save_all(connection, &decided.iter().filter_map(Decided::saving).collect::<Vec<_>>()).await?;
    let acceptances: Vec<(RequestId, &Acceptance)> = decided.iter().filter_map(Decided::acceptance_alone).collect();
    changes::keep_acceptances(connection, &acceptances).await?;
    let waits: Vec<(&FactoryId, Duration)> =
        ends.iter().filter_map(|ended| Some((&ended.call.factory.id, ended.end.throttled()?))).collect();
    gates::leave_alone(connection, &waits).await?;
    Ok(recorded)
}

async fn fallbacks(connection: &mut AsyncPgConnection, ends: &[&Ended]) -> Result<Vec<Factory>, StoreError> {
    let names: Vec<&str> = ends.iter().filter_map(|ended| ended.fallback()).map(FactoryId::as_str).collect();
    if names.is_empty() { Ok(Vec::new()) } else { factories::find_all(connection, &names).await }
}

/// Decision that follows from the result of a call.
struct Decided<'a> {
    ended: &'a Ended,
    stored: StoredRequest,
    words: String,
    acceptance: Option<Acceptance>,
    change: Option<RequestChange>,
}

impl Decided<'_> {
    fn saving(&self) -> Option<Saving<'_>> {
        Some(Saving {
            stored: &self.stored,
            change: self.change.as_ref()?,
            acceptance: self.acceptance.as_ref(),
            trace: self.ended.trace,
            last_error: &self.words,
        })
    }

    /// An acceptance that changes nothing, whose time is stored nevertheless.
    fn acceptance_alone(&self) -> Option<(RequestId, &Acceptance)> {
        let acceptance = self.acceptance.as_ref().filter(|_| self.change.is_none())?;
        Some((self.stored.state.id, acceptance))
    }
}
