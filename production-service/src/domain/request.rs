//! What becomes of a production request: each function answers the change that follows from one
//! thing that happened, or None when it changes nothing.

use std::time::Duration;

use shared::ids::{FactoryId, Quantity, RequestId, Sku};

use super::{Status, Verdict};

/// Reason of a request that names a factory nobody has told us of.
pub const UNKNOWN_FACTORY: &str = "unknown-factory";
/// Reason of a request whose retry schedule is used up.
pub const FACTORY_UNREACHABLE: &str = "factory-unreachable";

/// A production request, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The replenishment's id, too.
    pub id: RequestId,
    /// What to make.
    pub sku: Sku,
    /// Who makes it.
    pub factory_id: FactoryId,
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
    /// Outcomes announced.
    pub revision: i64,
}

/// What the other services are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The factory took it.
    Accepted,
    /// A person must look.
    DeadLettered,
    /// The factory said no, or is unknown.
    Refused,
    /// It was stopped.
    Cancelled,
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
    /// What is published; it raises the revision by one.
    pub announcement: Option<Announcement>,
}

/// Why an operator's action is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Only a request that waits for a retry, or died, can be sent again by hand.
    NotRetryable(Status),
    /// It has ended.
    Ended(Status),
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

    /// The same request comes again: a replay changes nothing, a redriven dead letter begins again.
    pub fn arrive_again(&self) -> Option<Change> {
        (self.status == Status::DeadLettered).then(|| self.restart())
    }

    /// The factory's answer to call `number` is known, or it is known that there is none.
    pub fn attempt_ended(&self, number: i32, verdict: Verdict, answer: &str, schedule: &[Duration]) -> Option<Change> {
        // Whatever call it was: once the factory has taken the request it must not get it again.
        if verdict == Verdict::Accepted {
            let change = self.becomes(Status::Accepted).announcing(Outcome::Accepted, answer);
            return self.status.is_before_acceptance().then_some(change);
        }
        if self.status != Status::Sending || number != self.attempt_count {
            return None;
        }
        Some(match verdict {
            Verdict::Refused => self.becomes(Status::Refused).announcing(Outcome::Refused, answer),
            Verdict::Accepted | Verdict::Retry => match self.next_delay(schedule) {
                Some(delay) => self.becomes(Status::Retrying).sending_in(delay),
                None => self.die(),
            },
        })
    }

    /// Who made the call under way is gone, and with it the answer: the factory is asked again at
    /// once, as often as the schedule has places.
    pub fn attempt_lost(&self, schedule: &[Duration]) -> Option<Change> {
        if self.status != Status::Sending {
            return None;
        }
        Some(match self.next_delay(schedule) {
            Some(_) => self.becomes(Status::Retrying).sending_in(Duration::ZERO),
            None => self.die(),
        })
    }

    /// Units came, counted once a receipt. Goods end all further attempts; what was cancelled stays so.
    pub fn receive(&self, units: Quantity) -> Change {
        let received = self.received.saturating_add(units.get());
        let status = match self.status {
            Status::Cancelled => Status::Cancelled,
            _ => self.status_with(received),
        };
        Change { received, ..self.becomes(status) }
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

    /// An operator wants it sent now.
    pub fn retry(&self) -> Result<Change, Rejection> {
        match self.status {
            Status::Retrying => Ok(self.becomes(Status::Retrying).sending_in(Duration::ZERO)),
            Status::DeadLettered => Ok(self.restart()),
            status => Err(Rejection::NotRetryable(status)),
        }
    }

    /// Whether it is, or once was, a dead letter.
    pub fn has_died(&self) -> bool {
        self.status == Status::DeadLettered || self.attempts_before_schedule > 0
    }

    /// The request after `change`.
    #[must_use]
    pub fn after(&self, change: &Change) -> Self {
        Self {
            status: change.status,
            received: change.received,
            attempts_before_schedule: change.attempts_before_schedule,
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
            announcement: None,
        }
    }

    fn restart(&self) -> Change {
        let change = self.becomes(Status::Requested).sending_in(Duration::ZERO);
        Change { attempts_before_schedule: self.attempt_count, ..change }
    }

    fn die(&self) -> Change {
        self.becomes(Status::DeadLettered).announcing(Outcome::DeadLettered, FACTORY_UNREACHABLE)
    }

    /// The delay after the last call; None when the schedule is used up.
    fn next_delay(&self, schedule: &[Duration]) -> Option<Duration> {
        let failed_before = self.attempt_count - self.attempts_before_schedule - 1;
        usize::try_from(failed_before).ok().and_then(|index| schedule.get(index)).copied()
    }

    fn status_with(&self, received: i64) -> Status {
        if received >= self.quantity.get() { Status::Received } else { Status::PartlyReceived }
    }
}

impl Change {
    fn announcing(self, outcome: Outcome, reason: &str) -> Self {
        Self { announcement: Some(Announcement { outcome, reason: reason.to_owned() }), ..self }
    }

    fn sending_in(self, delay: Duration) -> Self {
        Self { next_attempt_in: Some(delay), ..self }
    }
}
