//! The circuit breaker of a factory: whether it is called at all, decided from how its calls ended.
//!
//! Closed, it is called up to its limits. After too many failures the breaker opens: requests wait and use
//! up no attempts. After a while one request at a time is sent as a probe (half-open), which uses an attempt
//! of its request; a probe that the factory answers closes the breaker, one that fails opens it for longer.
//!
//! Requests do not wait for ever. A request that waits behind a breaker is given up, as if its own calls had
//! failed, when a probe has failed and by then both the request's schedule had been running and the
//! factory had been away for as long as the whole schedule takes. The probe is the evidence: time alone
//! kills nothing, so that a service that was stopped for a day asks first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, SystemTime};

/// When breakers open, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerRules {
    /// So many failures without an answer between them.
    pub failures_in_a_row: u32,
    /// Or this share of failures among the calls of a window.
    pub failure_share: f64,
    /// How long a window is.
    pub window: Duration,
    /// A window with fewer calls says nothing.
    pub window_calls_min: u32,
    /// From opening to the first probe; twice as long after each probe that fails.
    pub open: Duration,
    /// Longest time between probes.
    pub open_max: Duration,
}

/// Whether a factory is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// It is.
    Closed,
    /// Not until the next probe.
    Open,
    /// One call at a time.
    HalfOpen,
}

/// A factory's breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Whether the factory is called.
    pub position: Position,
    /// Failures without an answer between them.
    pub failures_in_a_row: u32,
    /// The calls of the window are counted from here.
    pub window_began_at: SystemTime,
    /// Calls that ended in the window.
    pub window_calls: u32,
    /// Those that failed.
    pub window_failures: u32,
    /// When it opened; None: it is closed.
    pub opened_at: Option<SystemTime>,
    /// When the next probe may be sent, and until when the end of one under way is awaited; None: it is closed.
    pub probe_at: Option<SystemTime>,
    /// Probes that failed since it opened.
    pub failed_probes: u32,
    /// When the last failure was told that it does not ignore.
    pub failed_at: Option<SystemTime>,
    /// That failure in words.
    pub last_error: Option<String>,
}

/// How calls ended since the breaker was last told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The factory did its work.
    pub well: u32,
    /// It failed.
    pub ill: u32,
    /// It failed after the last call that it answered.
    pub ill_in_a_row: u32,
    /// The last failure in words.
    pub last_error: Option<String>,
}

impl Position {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Tally {
    /// One more call ended; `error` tells how it failed, None that the factory answered.
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

    /// What happened after this, too.
    pub fn append(&mut self, later: Self) {
        self.ill_in_a_row =
            if later.well > 0 { later.ill_in_a_row } else { self.ill_in_a_row.saturating_add(later.ill_in_a_row) };
        self.well = self.well.saturating_add(later.well);
        self.ill = self.ill.saturating_add(later.ill);
        self.last_error = later.last_error.or(self.last_error.take());
    }
}

impl Breaker {
    /// Of a factory that nothing bad is known of.
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

    /// After calls ended.
    #[must_use]
    pub fn observe(&self, tally: &Tally, now: SystemTime, rules: &BreakerRules) -> Self {
        match self.position {
            // A call that was under way since before it opened: its failure is no news, its answer is.
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

    /// How many more calls may be made to a factory that has `in_flight` of at most `max_in_flight`.
    pub fn room(&self, in_flight: u32, max_in_flight: u32, now: SystemTime) -> u32 {
        match self.position {
            Position::Closed => max_in_flight.saturating_sub(in_flight),
            // A probe's end is recorded a moment before the breaker is told of it.
            _ if self.probe_at.is_some_and(|probe_at| now < probe_at) => 0,
            Position::Open | Position::HalfOpen => 1_u32.saturating_sub(in_flight),
        }
    }

    /// After calls were begun.
    #[must_use]
    pub fn called(&self, now: SystemTime, rules: &BreakerRules) -> Self {
        match self.position {
            Position::Closed => self.clone(),
            Position::Open | Position::HalfOpen => {
                Self { position: Position::HalfOpen, probe_at: Some(now + rules.open), ..self.clone() }
            }
        }
    }

    /// Requests that wait, and whose schedule of `whole` length began at this time or before, are given up;
    /// None: no request is. See the head of this file.
    pub fn gives_up_begun_by(&self, whole: Duration) -> Option<SystemTime> {
        let (opened_at, failed_at) = (self.opened_at?, self.failed_at?);
        let begun_by = failed_at.checked_sub(whole)?;
        (self.failed_probes > 0 && opened_at <= begun_by).then_some(begun_by)
    }
}

/// A factory that has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanting {
    /// Calls under way.
    pub in_flight: u32,
    /// Further ones that it may be sent.
    pub room: u32,
}

/// Max-min fair: each free place goes to the factory that has the fewest calls in flight and room for one more, of
/// several to the first. So a factory that comes late gets the next places until it has as many as the others.
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
