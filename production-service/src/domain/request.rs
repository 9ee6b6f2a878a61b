//! Life cycle of a production request. Each function returns the change that follows from one event, or None when
//! nothing changes.

use std::time::Duration;

use jaego_contracts::ids::{FactoryId, Quantity, RequestId, Sku};

use super::outcome::OutcomeKind;
use super::{Status, Verdict};

/// Reason of a request that names a factory unknown to this service.
pub const UNKNOWN_FACTORY: &str = "unknown-factory";
/// Reason of a request whose retry schedule is exhausted.
pub const FACTORY_UNREACHABLE: &str = "factory-unreachable";
/// Reason of a request whose factory kept asking for a delay until the maximum wait had passed.
pub const FACTORY_THROTTLED: &str = "factory-throttled";
/// Reason of a request that was refused after a call with an unknown result: the factory may be making the goods
/// anyway.
pub const REFUSED_AFTER_UNKNOWN: &str = "refused-after-unknown-outcome";

/// Delays of the schedule are longer or shorter by up to this share.
const JITTER: f64 = 0.2;

/// A production request, reduced to what decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Request {
    /// Equals the id of the replenishment.
    pub id: RequestId,
    pub sku: Sku,
    pub factory_id: FactoryId,
    /// The factory that refused the request, or from which it was withdrawn, before `factory_id` was asked instead.
    pub fallback_from: Option<FactoryId>,
    /// Units ordered.
    pub quantity: Quantity,
    /// Units received so far.
    pub received: i64,
    pub status: Status,
    /// Calls made, including the one in flight.
    pub attempt_count: i32,
    /// Calls that do not count toward the current retry schedule.
    pub attempts_before_schedule: i32,
    /// The result of some call is unknown, so the factory may have accepted the request.
    pub outcome_unknown: bool,
    /// A factory has accepted the request at least once.
    pub was_accepted: bool,
    /// Accepted, but not received in full in time.
    pub overdue: bool,
    /// The request is a dead letter, or was one.
    pub has_died: bool,
    /// Number of outcomes published.
    pub revision: i64,
}

/// An outcome to publish, and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub outcome: OutcomeKind,
    pub reason: String,
}

/// Next state of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestChange {
    pub status: Status,
    /// Units received so far.
    pub received: i64,
    /// Delay until the next call; None when no call is scheduled.
    pub next_attempt_in: Option<Duration>,
    /// See [`Request::attempts_before_schedule`].
    pub attempts_before_schedule: i32,
    /// See [`Request::outcome_unknown`].
    pub outcome_unknown: bool,
    /// See [`Request::overdue`].
    pub overdue: bool,
    /// The retry schedule starts from the beginning.
    pub schedule_begins: bool,
    /// The factory to ask from now on, if it changes.
    pub factory_id: Option<FactoryId>,
    /// Outcome to publish; increments the revision.
    pub announcement: Option<Announcement>,
}

/// Reason why an operator's action is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Only a request that is retrying, dead-lettered or overdue can be sent again by hand.
    NotRetryable(Status),
    /// The request is in a terminal status.
    Ended(Status),
    /// Only a request that waits for its factory, or is dead-lettered, can be withdrawn.
    NotWithdrawable(Status),
    /// The factory has accepted the request, or may have.
    MayBeTaken(Status),
    /// The request has already moved to its fallback once; there is no third factory.
    IsFallback(Status),
    /// The factory has no fallback.
    NoFallback(Status),
    /// The fallback factory is disabled.
    FallbackDisabled(Status),
}

/// The factory that may be asked instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback<'a> {
    pub id: &'a FactoryId,
    /// Disabled factories receive no calls.
    pub enabled: bool,
}

/// Result of a call, as far as its request is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptResult<'a> {
    /// Number of the call, from 1.
    pub number: i32,
    pub verdict: Verdict,
    /// Description of the result, used as the reason of the outcome.
    pub words: &'a str,
    /// Delay that the factory asked for.
    pub retry_after: Option<Duration>,
    /// The factory is temporarily out of capacity and said for how long, which is not a failure of the call.
    pub is_throttled: bool,
    /// Time since the retry schedule began.
    pub waited: Duration,
}

/// Options after a call that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// Delays between failed calls to the called factory.
    pub schedule: &'a [Duration],
    /// Factory to ask after a refusal, if it is known and enabled.
    pub fallback: Option<&'a FactoryId>,
    /// Maximum time that a request waits for a factory that keeps asking for a delay.
    pub throttled_max: Duration,
}

/// Facts known about a request on its first arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    pub factory_known: bool,
    /// Units whose receipts arrived before the request.
    pub received: i64,
    /// Reason why the replenishment was closed before the request arrived, if it was.
    pub closed: Option<&'a str>,
}

impl Request {
    /// The request arrives for the first time; `self` is not stored yet.
    pub fn arrive(&self, arrival: Arrival<'_>) -> RequestChange {
        let change = RequestChange { received: arrival.received, ..self.becomes(Status::Requested) };
        if let Some(reason) = arrival.closed {
            return RequestChange { status: Status::Cancelled, ..change }.announcing(OutcomeKind::Cancelled, reason);
        }
        if arrival.received > 0 {
            return RequestChange { status: self.status_with(arrival.received), ..change };
        }
        if !arrival.factory_known {
            return RequestChange { status: Status::Refused, ..change }
                .announcing(OutcomeKind::Refused, UNKNOWN_FACTORY);
        }
        change.sending_in(Duration::ZERO)
    }

    /// An operator redrives the request's message. A dead letter restarts; any other request stays as it is.
    pub fn redrive(&self) -> Option<RequestChange> {
        (self.status == Status::DeadLettered).then(|| self.restart())
    }

    /// The last published outcome, if it still holds; None while another one is pending.
    pub fn standing(&self) -> Option<OutcomeKind> {
        let outcome = match self.status {
            Status::Requested | Status::Sending | Status::Retrying => return None,
            Status::Accepted | Status::PartlyReceived | Status::Received => OutcomeKind::Accepted,
            Status::DeadLettered => OutcomeKind::DeadLettered,
            Status::Refused => OutcomeKind::Refused,
            Status::Cancelled => OutcomeKind::Cancelled,
        };
        (self.revision > 0).then_some(outcome)
    }

    /// A call ended. The next delay is the schedule's, plus or minus a fifth, but at least what the factory asked
    /// for.
    pub fn attempt_ended(&self, ended: AttemptResult<'_>, options: Options<'_>) -> Option<RequestChange> {
        // Late results count as well: once the factory has accepted the request, it must not receive it again.
        if ended.verdict == Verdict::Accepted {
            let change = self.becomes(Status::Accepted).announcing(OutcomeKind::Accepted, ended.words);
            return self.status.is_before_acceptance().then_some(change);
        }
        if self.status != Status::Sending || ended.number != self.attempt_count {
            return None;
        }
        let retry_after = ended.retry_after.unwrap_or_default();
        let change = match ended.verdict {
            Verdict::Conflict if self.outcome_unknown && !self.was_accepted => {
                self.becomes(Status::Accepted).announcing(OutcomeKind::Accepted, ended.words)
            }
            Verdict::Refused if self.outcome_unknown => self.die_of(REFUSED_AFTER_UNKNOWN),
            Verdict::Refused | Verdict::Conflict => self.refused(ended.words, options.fallback),
            _ if ended.is_throttled && ended.waited >= options.throttled_max => self.die_of(FACTORY_THROTTLED),
            _ if ended.is_throttled => self.wait_without_attempt(retry_after),
            Verdict::Accepted | Verdict::Retry | Verdict::Unknown => match self.next_delay(options.schedule) {
                Some(delay) => self.becomes(Status::Retrying).sending_in(self.jittered(delay).max(retry_after)),
                None => self.die_of(FACTORY_UNREACHABLE),
            },
        };
        Some(RequestChange { outcome_unknown: self.outcome_unknown || ended.verdict == Verdict::Unknown, ..change })
    }

    /// Another factory is asked at most once, and only when no factory can have accepted the request: goods must not
    /// be made twice when they were ordered once.
    fn refused(&self, words: &str, fallback: Option<&FactoryId>) -> RequestChange {
        if self.was_accepted {
            return self.still_accepted();
        }
        match fallback {
            Some(fallback) if self.fallback_from.is_none() && *fallback != self.factory_id => self.hand_to(fallback),
            _ => self.becomes(Status::Refused).announcing(OutcomeKind::Refused, words),
        }
    }

    /// The process that made the call is gone, and the result with it. The factory is called again at once, as long
    /// as the schedule has retries left.
    pub fn attempt_lost(&self, schedule: &[Duration]) -> Option<RequestChange> {
        if self.status != Status::Sending {
            return None;
        }
        let change = match self.next_delay(schedule) {
            Some(_) => self.becomes(Status::Retrying).sending_in(Duration::ZERO),
            None => self.die_of(FACTORY_UNREACHABLE),
        };
        Some(RequestChange { outcome_unknown: true, ..change })
    }

    /// Units were received; each receipt counts once. Goods end all further attempts; a cancelled request stays
    /// cancelled.
    pub fn receive(&self, units: Quantity) -> RequestChange {
        let received = self.received.saturating_add(units.get());
        let status = match self.status {
            Status::Cancelled => Status::Cancelled,
            _ => self.status_with(received),
        };
        // The missing units of an overdue request are still overdue.
        let overdue = self.overdue && status == Status::PartlyReceived;
        RequestChange { received, overdue, ..self.becomes(status) }
    }

    /// The request's replenishment was closed.
    pub fn close(&self, reason: &str) -> Option<RequestChange> {
        let open = !self.status.is_terminal();
        open.then(|| self.becomes(Status::Cancelled).announcing(OutcomeKind::Cancelled, reason))
    }

    /// An operator cancels the request; idempotent.
    pub fn cancel(&self, reason: &str) -> Result<Option<RequestChange>, Rejection> {
        match self.status {
            Status::Cancelled => Ok(None),
            status if status.is_terminal() => Err(Rejection::Ended(status)),
            _ => Ok(self.close(reason)),
        }
    }

    /// An operator sends the request now. Not possible once goods were received: the whole quantity would be ordered
    /// again.
    pub fn retry(&self) -> Result<RequestChange, Rejection> {
        match self.status {
            Status::Retrying => Ok(self.becomes(Status::Retrying).sending_in(Duration::ZERO)),
            Status::DeadLettered => Ok(self.restart()),
            Status::Accepted if self.overdue => Ok(self.restart()),
            status => Err(Rejection::NotRetryable(status)),
        }
    }

    /// An operator withdraws the request from its factory for good and hands it to the fallback. As after a refusal,
    /// no factory can have accepted it: goods must not be made twice when they were ordered once.
    pub fn withdraw(&self, fallback: Option<Fallback<'_>>) -> Result<RequestChange, Rejection> {
        if !matches!(self.status, Status::Requested | Status::Retrying | Status::DeadLettered) {
            return Err(Rejection::NotWithdrawable(self.status));
        }
        if self.outcome_unknown || self.was_accepted {
            return Err(Rejection::MayBeTaken(self.status));
        }
        if self.fallback_from.is_some() {
            return Err(Rejection::IsFallback(self.status));
        }
        match fallback.filter(|fallback| *fallback.id != self.factory_id) {
            None => Err(Rejection::NoFallback(self.status)),
            Some(fallback) if !fallback.enabled => Err(Rejection::FallbackDisabled(self.status)),
            Some(fallback) => Ok(self.hand_to(fallback.id)),
        }
    }

    /// The request was not received in full within `limit` of its acceptance; None when that is already flagged, or
    /// no longer matters.
    pub fn be_late(&self, limit: Duration) -> Option<RequestChange> {
        let is_news = matches!(self.status, Status::Accepted | Status::PartlyReceived) && !self.overdue;
        let reason = match self.received {
            0 => format!("not received within {} s of its acceptance", limit.as_secs()),
            some => format!("{some} of {} received within {} s of its acceptance", self.quantity, limit.as_secs()),
        };
        let change = RequestChange { overdue: true, ..self.becomes(self.status) };
        is_news.then(|| change.announcing(OutcomeKind::Overdue, &reason))
    }

    /// The request has waited too long for its factory's breaker (see `breaker.rs`); None when it is not waiting.
    pub fn give_up(&self) -> Option<RequestChange> {
        matches!(self.status, Status::Requested | Status::Retrying).then(|| self.die_of(FACTORY_UNREACHABLE))
    }

    /// The request after `change`.
    #[must_use]
    pub fn after(&self, change: &RequestChange) -> Self {
        Self {
            status: change.status,
            received: change.received,
            attempts_before_schedule: change.attempts_before_schedule,
            outcome_unknown: change.outcome_unknown,
            was_accepted: self.was_accepted || change.status == Status::Accepted,
            overdue: change.overdue,
            has_died: self.has_died || change.status == Status::DeadLettered,
            fallback_from: match &change.factory_id {
                Some(_) => Some(self.factory_id.clone()),
                None => self.fallback_from.clone(),
            },
            factory_id: change.factory_id.as_ref().unwrap_or(&self.factory_id).clone(),
            revision: self.revision + i64::from(change.announcement.is_some()),
            ..self.clone()
        }
    }

    fn becomes(&self, status: Status) -> RequestChange {
        RequestChange {
            status,
            received: self.received,
            next_attempt_in: None,
            attempts_before_schedule: self.attempts_before_schedule,
            outcome_unknown: self.outcome_unknown,
            overdue: false,
            schedule_begins: false,
            factory_id: None,
            announcement: None,
        }
    }

    fn restart(&self) -> RequestChange {
        let change = self.becomes(Status::Requested).sending_in(Duration::ZERO);
        RequestChange { attempts_before_schedule: self.attempt_count, schedule_begins: true, ..change }
    }

    /// Moves the request to another factory, with a new schedule.
    fn hand_to(&self, fallback: &FactoryId) -> RequestChange {
        RequestChange { factory_id: Some(fallback.clone()), ..self.restart() }
    }

    /// An overdue request was sent again without success. A factory may refuse, or not answer, what it has accepted
    /// before, so the request stays accepted and overdue.
    fn still_accepted(&self) -> RequestChange {
        RequestChange { overdue: true, ..self.becomes(Status::Accepted) }
    }

    /// The call does not count toward the schedule.
    fn wait_without_attempt(&self, wait: Duration) -> RequestChange {
        let change = self.becomes(Status::Retrying).sending_in(wait);
        RequestChange { attempts_before_schedule: self.attempts_before_schedule + 1, ..change }
    }

    fn die_of(&self, reason: &str) -> RequestChange {
        if self.was_accepted {
            return self.still_accepted();
        }
        self.becomes(Status::DeadLettered).announcing(OutcomeKind::DeadLettered, reason)
    }

    /// Delay after the last call; None when the schedule is exhausted.
    fn next_delay(&self, schedule: &[Duration]) -> Option<Duration> {
        let failed_before = self.attempt_count - self.attempts_before_schedule - 1;
        usize::try_from(failed_before).ok().and_then(|index| schedule.get(index)).copied()
    }

    /// Up to a fifth more or less, so that requests that failed together do not retry together. Every replica
    /// computes the same delay for the same call.
    fn jittered(&self, delay: Duration) -> Duration {
        let seed = self.id.0.as_u64_pair().1 ^ u64::from(self.attempt_count.unsigned_abs());
        // Finalizer of splitmix64.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let share = f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / f64::from(u32::MAX);
        delay.mul_f64(1.0 + JITTER * (2.0 * share - 1.0))
    }

    fn status_with(&self, received: i64) -> Status {
        if received >= self.quantity.get() { Status::Received } else { Status::PartlyReceived }
    }
}

impl RequestChange {
    /// The change announces that the factory has accepted the request.
    pub fn is_acceptance(&self) -> bool {
        self.announcement.as_ref().is_some_and(|announcement| announcement.outcome == OutcomeKind::Accepted)
    }

    fn announcing(self, outcome: OutcomeKind, reason: &str) -> Self {
        Self { announcement: Some(Announcement { outcome, reason: reason.to_owned() }), ..self }
    }

    fn sending_in(self, delay: Duration) -> Self {
        Self { next_attempt_in: Some(delay), ..self }
    }
}
