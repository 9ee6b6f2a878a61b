//! Circuit breaker of a factory: decides from the results of its calls whether the factory may be called.
//!
//! Closed, the factory is called up to its limits. After too many failures the breaker opens: requests wait and use
//! up no attempts. After a delay one request at a time is sent as a probe (half-open), which counts as an attempt of
//! that request. A probe that the factory answers closes the breaker; a failed probe opens it for longer.
//!
//! Requests do not wait forever. A request that waits behind a breaker is given up, as if its own calls had failed,
//! once a probe has failed and by then both the request's schedule had been running and the factory had been away for
//! at least the length of the whole schedule. The evidence is the probe, not elapsed time alone, so a service that
//! was stopped for a day probes before it gives anything up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, SystemTime};

/// When breakers open, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerRules {
    /// Consecutive failures that open the breaker.
    pub failures_in_a_row: u32,
    /// Share of failed calls in a window that opens the breaker, above 0 and at most 1.
    pub failure_share: f64,
    pub window: Duration,
    /// Windows with fewer calls are not judged.
    pub window_calls_min: u32,
    /// Delay from opening to the first probe; doubled after each failed probe.
    pub open: Duration,
    /// Upper bound of the delay between probes.
    pub open_max: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Calls are allowed up to the factory's limits.
    Closed,
    /// No calls until the next probe is due.
    Open,
    /// One call at a time, as a probe.
    HalfOpen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    pub position: Position,
    /// Failures since the last answered call.
    pub failures_in_a_row: u32,
    /// Start of the window in which calls are counted.
    pub window_began_at: SystemTime,
    /// Calls that ended in the window.
    pub window_calls: u32,
    /// Failed calls among them.
    pub window_failures: u32,
    /// None while the breaker is closed.
    pub opened_at: Option<SystemTime>,
    /// Earliest time of the next probe; while a probe is in flight, the time until which its result is awaited. None
    /// while the breaker is closed.
    pub probe_at: Option<SystemTime>,
    /// Failed probes since the breaker opened.
    pub failed_probes: u32,
    /// Time of the last failure that the breaker did not ignore.
    pub failed_at: Option<SystemTime>,
    /// Description of the last failure.
    pub last_error: Option<String>,
}

/// Results of calls since the breaker last observed them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls after which the factory counts as working.
    pub well: u32,
    /// Failed calls.
    pub ill: u32,
    /// Failures since the last answered call.
    pub ill_in_a_row: u32,
    /// Description of the last failure.
    pub last_error: Option<String>,
}

impl Position {
    /// Name as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Tally {
    /// Counts a finished call. `error` describes its failure; None means that the factory answered.
    pub fn count(&mut self, error: Option<String>) {
        if let Some(error) = error {
            self.ill = self.ill.saturating_add(1);
            self.ill_in_a_row = self.ill_in_a_row.saturating_add(1);
            self.last_error = Some(error);
        } else {
            self.well = self.well.saturating_add(1);
            self.ill_in_a_row = 0;
        }
    }
}

impl Breaker {
    /// Initial state, for a factory without known failures.
    pub const fn closed(now: SystemTime) -> Self {
        Self {
            position: Position::Closed,
            failures_in_a_row: 0,
            window_began_at: now,
            window_calls: 0,
            window_failures: 0,
            opened_at: None,
            probe_at: None,
            failed_probes: 0,
            failed_at: None,
            last_error: None,
        }
    }

    /// The breaker after the calls in `tally` have ended.
    #[must_use]
    pub fn observe(&self, tally: &Tally, now: SystemTime, rules: &BreakerRules) -> Self {
        match self.position {
            // Result of a call from before the breaker opened: a failure says nothing new, an answer closes the
            // breaker.
            Position::Open | Position::HalfOpen if tally.well > 0 => Self::closed(now),
            Position::HalfOpen if tally.ill > 0 => self.probe_failed(tally, now, rules),
            Position::Open | Position::HalfOpen => self.clone(),
            Position::Closed => self.count(tally, now, rules),
        }
    }

    fn count(&self, tally: &Tally, now: SystemTime, rules: &BreakerRules) -> Self {
        let window_is_over = now.duration_since(self.window_began_at).is_ok_and(|age| age > rules.window);
        let base = if window_is_over {
            Self { window_began_at: now, window_calls: 0, window_failures: 0, ..self.clone() }
        } else {
            self.clone()
        };
        let in_a_row_before = if tally.well > 0 { 0 } else { base.failures_in_a_row };
        let counted = Self {
            failures_in_a_row: in_a_row_before.saturating_add(tally.ill_in_a_row),
            window_calls: base.window_calls.saturating_add(tally.well).saturating_add(tally.ill),
            window_failures: base.window_failures.saturating_add(tally.ill),
            failed_at: if tally.ill > 0 { Some(now) } else { base.failed_at },
            last_error: tally.last_error.clone().or(base.last_error.clone()),
            ..base
        };
        let share = f64::from(counted.window_failures) / f64::from(counted.window_calls.max(1));
        let is_bad = counted.window_calls >= rules.window_calls_min.max(1) && share >= rules.failure_share;
        if tally.ill > 0 && (counted.failures_in_a_row >= rules.failures_in_a_row || is_bad) {
            Self {
                position: Position::Open,
                opened_at: Some(now),
                probe_at: Some(now + rules.open.min(rules.open_max)),
                failed_probes: 0,
                ..counted
            }
        } else {
            counted
        }
    }

    fn probe_failed(&self, tally: &Tally, now: SystemTime, rules: &BreakerRules) -> Self {
        let failed_probes = self.failed_probes.saturating_add(1);
        let wait = rules.open.saturating_mul(2_u32.saturating_pow(failed_probes.min(31))).min(rules.open_max);
        Self {
            position: Position::Open,
            failures_in_a_row: self.failures_in_a_row.saturating_add(tally.ill),
            probe_at: Some(now + wait),
            failed_probes,
            failed_at: Some(now),
            last_error: tally.last_error.clone().or(self.last_error.clone()),
            ..self.clone()
        }
    }

    /// Number of further calls allowed while `in_flight` of at most `max_in_flight` calls are in flight.
    pub fn room(&self, in_flight: u32, max_in_flight: u32, now: SystemTime) -> u32 {
        match self.position {
            Position::Closed => max_in_flight.saturating_sub(in_flight),
            // A probe's result is recorded slightly before the breaker observes it.
            _ if self.probe_at.is_some_and(|probe_at| now < probe_at) => 0,
            Position::Open | Position::HalfOpen => 1_u32.saturating_sub(in_flight),
        }
    }

    /// The breaker after calls have started.
    #[must_use]
    pub fn called(&self, now: SystemTime, rules: &BreakerRules) -> Self {
        match self.position {
            Position::Closed => self.clone(),
            Position::Open | Position::HalfOpen => {
                Self { position: Position::HalfOpen, probe_at: Some(now + rules.open), ..self.clone() }
            }
        }
    }

    /// Waiting requests whose schedule began at or before the returned time are given up; `whole` is the length of
    /// the schedule. None: no request is given up. See the module comment.
    pub fn gives_up_begun_by(&self, whole: Duration) -> Option<SystemTime> {
        let (opened_at, failed_at) = (self.opened_at?, self.failed_at?);
        let begun_by = failed_at.checked_sub(whole)?;
        (self.failed_probes > 0 && opened_at <= begun_by).then_some(begun_by)
    }
}

/// Demand of a factory that has due requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanting {
    pub in_flight: u32,
    /// Further calls that it may receive.
    pub room: u32,
}

/// Max-min fair sharing: each free place goes to the factory that has the fewest calls in flight and room for one
/// more; ties go to the first. A factory that starts late therefore gets the next places until it has as many as the
/// others.
pub fn share_out(free: u32, wanting: &[Wanting]) -> Vec<u32> {
    let mut given = vec![0_u32; wanting.len()];
    let with_room = wanting.iter().enumerate().filter(|(_, one)| one.room > 0);
    let mut next: BinaryHeap<Reverse<(u32, usize)>> =
        with_room.map(|(index, one)| Reverse((one.in_flight, index))).collect();
    for _ in 0..free {
        let Some(Reverse((in_flight, index))) = next.pop() else { break };
        given[index] += 1;
        if given[index] < wanting[index].room {
            next.push(Reverse((in_flight + 1, index)));
        }
    }
    given
}
