//! What becomes of a production request: each function answers the change that follows from one
//! thing that happened, or None when it changes nothing.

use std::time::Duration;

use jaego_contracts::ids::{FactoryId, Quantity, RequestId, Sku};

use super::outcome::Outcome;
use super::{Status, Verdict};

/// Reason of a request that names a factory nobody has told us of.
pub const UNKNOWN_FACTORY: &str = "unknown-factory";
/// Reason of a request whose retry schedule is used up.
pub const FACTORY_UNREACHABLE: &str = "factory-unreachable";
/// Reason of a request that its factory had no time for as long as was waited for that.
pub const FACTORY_THROTTLED: &str = "factory-throttled";
/// Reason of a request that was refused after a call whose end is unknown: a factory may be making it all the same.
pub const REFUSED_AFTER_UNKNOWN: &str = "refused-after-unknown-outcome";

/// Waits of the schedule are longer or shorter by up to this share.
const JITTER: f64 = 0.2;

/// A production request, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Request {
    /// The replenishment's id, too.
    pub id: RequestId,
    /// What to make.
    pub sku: Sku,
    /// Who makes it.
    pub factory_id: FactoryId,
    /// Who refused it, or from whom it was withdrawn, before `factory_id` was asked in its place.
    pub fallback_from: Option<FactoryId>,
    /// Units asked for.
    pub quantity: Quantity,
    /// Units that came.
    pub received: i64,
    /// Where it stands.
    pub status: Status,
    /// Calls made, the one under way included.
    pub attempt_count: i32,
    /// Calls made before the retry schedule was begun (again).
    pub attempts_before_schedule: i32,
    /// Of some call nobody knows whether the factory took the request.
    pub outcome_unknown: bool,
    /// A factory has taken it at least once.
    pub was_accepted: bool,
    /// Accepted, but not received in full when it should have been.
    pub overdue: bool,
    /// It is a dead letter, or was one.
    pub has_died: bool,
    /// Outcomes announced.
    pub revision: i64,
}

/// An outcome and why it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What became of the request.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// A request's next state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands now.
    pub status: Status,
    /// Units that came.
    pub received: i64,
    /// When the factory is called next; None: not by the clock.
    pub next_attempt_in: Option<Duration>,
    /// See [`Request::attempts_before_schedule`].
    pub attempts_before_schedule: i32,
    /// See [`Request::outcome_unknown`].
    pub outcome_unknown: bool,
    /// See [`Request::overdue`].
    pub overdue: bool,
    /// The retry schedule begins (again).
    pub schedule_begins: bool,
    /// The factory that is asked from now on, when that is another one.
    pub factory_id: Option<FactoryId>,
    /// What is published; it raises the revision by one.
    pub announcement: Option<Announcement>,
}

/// Why an operator's action is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Only a request that waits for a retry, died, or is overdue can be sent again by hand.
    NotRetryable(Status),
    /// It has ended.
    Ended(Status),
    /// Only a request that waits for its factory, or died, can be withdrawn from it.
    NotWithdrawable(Status),
    /// Its factory has taken it, or nobody knows whether it has.
    MayBeTaken(Status),
    /// It was withdrawn, or refused, once already: there is no third factory.
    IsFallback(Status),
    /// There is nobody to hand it to: its factory has no fallback.
    NoFallback(Status),
    /// The fallback factory is not asked for anything.
    FallbackDisabled(Status),
}

/// Who may be asked in a factory's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback<'a> {
    /// Another factory.
    pub id: &'a FactoryId,
    /// Whether it is asked at all.
    pub enabled: bool,
}

/// How a call ended, as far as its request is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptResult<'a> {
    /// Which call, counted from 1.
    pub number: i32,
    /// What it means.
    pub verdict: Verdict,
    /// The same in words: reason of the outcome.
    pub words: &'a str,
    /// The factory wants to be left alone for so long.
    pub retry_after: Option<Duration>,
    /// It has no time now, and says until when: that is no failure of the call.
    pub is_throttled: bool,
    /// How long ago the retry schedule was begun.
    pub waited: Duration,
}

/// What the factory that was called leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// Waits between its failed calls.
    pub schedule: &'a [Duration],
    /// The factory that is asked when this one refuses, if it is known and enabled.
    pub fallback: Option<&'a FactoryId>,
    /// Longest time that a request waits for a factory which has no time.
    pub throttled_max: Duration,
}

/// What is known when a request comes for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Whether its factory is known.
    pub factory_known: bool,
    /// Units that came already: their messages were quicker.
    pub received: i64,
    /// Why its replenishment was closed already, if it was.
    pub closed: Option<&'a str>,
}

impl Request {
    /// A request comes for the first time; `self` has not been kept yet.
    pub fn arrive(&self, arrival: Arrival<'_>) -> Change {
        let change = Change { received: arrival.received, ..self.becomes(Status::Requested) };
        if let Some(reason) = arrival.closed {
            return Change { status: Status::Cancelled, ..change }.announcing(Outcome::Cancelled, reason);
        }
        if arrival.received > 0 {
            return Change { status: self.status_with(arrival.received), ..change };
        }
        if !arrival.factory_known {
            return Change { status: Status::Refused, ..change }.announcing(Outcome::Refused, UNKNOWN_FACTORY);
        }
        change.sending_in(Duration::ZERO)
    }

    /// An operator sends the request back: a dead letter begins again, and nothing else changes.
    pub fn redrive(&self) -> Option<Change> {
        (self.status == Status::DeadLettered).then(|| self.restart())
    }

    /// The outcome that was told last and holds still; None while one is still to come.
    pub fn standing(&self) -> Option<Outcome> {
        let outcome = match self.status {
            Status::Requested | Status::Sending | Status::Retrying => return None,
            Status::Accepted | Status::PartlyReceived | Status::Received => Outcome::Accepted,
            Status::DeadLettered => Outcome::DeadLettered,
            Status::Refused => Outcome::Refused,
            Status::Cancelled => Outcome::Cancelled,
        };
        (self.revision > 0).then_some(outcome)
    }

    /// A call ended. Its wait is the schedule's, give or take a fifth, but never less than the factory asks for.
    pub fn attempt_ended(&self, ended: AttemptResult<'_>, options: Options<'_>) -> Option<Change> {
        // Whatever call it was: once the factory has taken the request it must not get it again.
        if ended.verdict == Verdict::Accepted {
            let change = self.becomes(Status::Accepted).announcing(Outcome::Accepted, ended.words);
            return self.status.is_before_acceptance().then_some(change);
        }
        if self.status != Status::Sending || ended.number != self.attempt_count {
            return None;
        }
        let retry_after = ended.retry_after.unwrap_or_default();
        let change = match ended.verdict {
            Verdict::Conflict if self.outcome_unknown && !self.was_accepted => {
                self.becomes(Status::Accepted).announcing(Outcome::Accepted, ended.words)
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
        Some(Change { outcome_unknown: self.outcome_unknown || ended.verdict == Verdict::Unknown, ..change })
    }

    /// Another factory is asked once, and only when it is certain that no factory has taken the request:
    /// goods that nobody asked for twice must not come twice.
    fn refused(&self, words: &str, fallback: Option<&FactoryId>) -> Change {
        if self.was_accepted {
            return self.still_accepted();
        }
        match fallback {
            Some(fallback) if self.fallback_from.is_none() && *fallback != self.factory_id => self.hand_to(fallback),
            _ => self.becomes(Status::Refused).announcing(Outcome::Refused, words),
        }
    }

    /// Who made the call under way is gone, and with it the answer: the factory is asked again at
    /// once, as often as the schedule has places.
    pub fn attempt_lost(&self, schedule: &[Duration]) -> Option<Change> {
        if self.status != Status::Sending {
            return None;
        }
        let change = match self.next_delay(schedule) {
            Some(_) => self.becomes(Status::Retrying).sending_in(Duration::ZERO),
            None => self.die_of(FACTORY_UNREACHABLE),
        };
        Some(Change { outcome_unknown: true, ..change })
    }

    /// Units came, counted once a receipt. Goods end all further attempts; what was cancelled stays so.
    pub fn receive(&self, units: Quantity) -> Change {
        let received = self.received.saturating_add(units.get());
        let status = match self.status {
            Status::Cancelled => Status::Cancelled,
            _ => self.status_with(received),
        };
        // What is still open of an overdue one is no less late.
        let overdue = self.overdue && status == Status::PartlyReceived;
        Change { received, overdue, ..self.becomes(status) }
    }

    /// Its replenishment was closed.
    pub fn close(&self, reason: &str) -> Option<Change> {
        let open = !self.status.is_terminal();
        open.then(|| self.becomes(Status::Cancelled).announcing(Outcome::Cancelled, reason))
    }

    /// An operator stops it; a second time changes nothing.
    pub fn cancel(&self, reason: &str) -> Result<Option<Change>, Rejection> {
        match self.status {
            Status::Cancelled => Ok(None),
            status if status.is_terminal() => Err(Rejection::Ended(status)),
            _ => Ok(self.close(reason)),
        }
    }

    /// An operator wants it sent now. Never one of which goods came: it would be asked for as a whole.
    pub fn retry(&self) -> Result<Change, Rejection> {
        match self.status {
            Status::Retrying => Ok(self.becomes(Status::Retrying).sending_in(Duration::ZERO)),
            Status::DeadLettered => Ok(self.restart()),
            Status::Accepted if self.overdue => Ok(self.restart()),
            status => Err(Rejection::NotRetryable(status)),
        }
    }

    /// An operator withdraws it from its factory for good and hands it to the fallback. As after a refusal it
    /// must be certain that no factory has it: goods that nobody asked for twice must not come twice.
    pub fn withdraw(&self, fallback: Option<Fallback<'_>>) -> Result<Change, Rejection> {
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

    /// It was not received in full within `limit` of its acceptance; None when that is known, or does not matter
    /// any more.
    pub fn be_late(&self, limit: Duration) -> Option<Change> {
        let is_news = matches!(self.status, Status::Accepted | Status::PartlyReceived) && !self.overdue;
        let reason = match self.received {
            0 => format!("not received within {} s of its acceptance", limit.as_secs()),
            some => format!("{some} of {} received within {} s of its acceptance", self.quantity, limit.as_secs()),
        };
        let change = Change { overdue: true, ..self.becomes(self.status) };
        is_news.then(|| change.announcing(Outcome::Overdue, &reason))
    }

    /// It has waited for its factory's breaker too long (see `breaker.rs`); None when it does not wait.
    pub fn give_up(&self) -> Option<Change> {
        matches!(self.status, Status::Requested | Status::Retrying).then(|| self.die_of(FACTORY_UNREACHABLE))
    }

    /// The request after `change`.
    #[must_use]
    pub fn after(&self, change: &Change) -> Self {
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

    fn becomes(&self, status: Status) -> Change {
        Change {
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

    fn restart(&self) -> Change {
        let change = self.becomes(Status::Requested).sending_in(Duration::ZERO);
        Change { attempts_before_schedule: self.attempt_count, schedule_begins: true, ..change }
    }

    /// To another factory, from the beginning.
    fn hand_to(&self, fallback: &FactoryId) -> Change {
        Change { factory_id: Some(fallback.clone()), ..self.restart() }
    }

    /// It was overdue, and asking for it again came to nothing: a factory may well refuse, or not answer, what it
    /// has taken before. So it is what it was.
    fn still_accepted(&self) -> Change {
        Change { overdue: true, ..self.becomes(Status::Accepted) }
    }

    /// The call counts for nothing in the schedule.
    fn wait_without_attempt(&self, wait: Duration) -> Change {
        let change = self.becomes(Status::Retrying).sending_in(wait);
        Change { attempts_before_schedule: self.attempts_before_schedule + 1, ..change }
    }

    fn die_of(&self, reason: &str) -> Change {
        if self.was_accepted {
            return self.still_accepted();
        }
        self.becomes(Status::DeadLettered).announcing(Outcome::DeadLettered, reason)
    }

    /// The delay after the last call; None when the schedule is used up.
    fn next_delay(&self, schedule: &[Duration]) -> Option<Duration> {
        let failed_before = self.attempt_count - self.attempts_before_schedule - 1;
        usize::try_from(failed_before).ok().and_then(|index| schedule.get(index)).copied()
    }

    /// A fifth more or less, so that requests that failed together do not come back together. The same for
    /// the same call, whoever computes it.
    fn jittered(&self, delay: Duration) -> Duration {
        let seed = self.id.0.as_u64_pair().1 ^ u64::from(self.attempt_count.unsigned_abs());
        // The finishing steps of splitmix64.
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

impl Change {
    /// The factory has taken the request, and that is news.
    pub fn is_acceptance(&self) -> bool {
        self.announcement.as_ref().is_some_and(|announcement| announcement.outcome == Outcome::Accepted)
    }

    fn announcing(self, outcome: Outcome, reason: &str) -> Self {
        Self { announcement: Some(Announcement { outcome, reason: reason.to_owned() }), ..self }
    }

    fn sending_in(self, delay: Duration) -> Self {
        Self { next_attempt_in: Some(delay), ..self }
    }
}
