//! Where in the outbox a claim begins to look.
//!
//! Events are deleted at the front and added at the end, and until the database has cleaned up a look from the very
//! beginning passes over all that was deleted: milliseconds a window after a burst, and far more while an old
//! transaction keeps the database from cleaning up. So a window begins where the last one ended. What lies before
//! that (rows whose transaction ended later than one with a higher id, rows that were postponed) is found by a look a
//! little further back, and by one from the very beginning now and then.

use std::time::{Duration, Instant};

/// A transaction that takes longer than this from its first event to its commit is found by the next sweep.
const BEHIND: Duration = Duration::from_secs(10);
/// How often it is looked from the very beginning.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Sweeps may take one part in so many of the relay's time.
const SWEEP_SHARE: u32 = 20;

pub(super) struct Position {
    next_sweep: Instant,
    /// Where the last window ended.
    cursor: i64,
    /// Where it was at least [`BEHIND`] ago, and where after that.
    marks: [i64; 2],
    marked_at: Instant,
    is_full: bool,
}

/// One look.
pub(super) struct Look {
    after: i64,
    begun: Instant,
}

impl Look {
    /// Only what comes after this id.
    pub(super) fn after(&self) -> i64 {
        self.after
    }
}

impl Position {
    pub(super) fn new(now: Instant) -> Self {
        Self { next_sweep: now, cursor: 0, marks: [0, 0], marked_at: now, is_full: false }
    }

    /// Where to look now.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        if now.duration_since(self.marked_at) >= BEHIND {
            self.marks = [self.marks[1], self.cursor];
            self.marked_at = now;
        }
        let after = if now >= self.next_sweep {
            0
        } else if self.is_full {
            self.cursor
        } else {
            self.marks[0].min(self.cursor)
        };
        Look { after, begun: now }
    }

    /// What a look found: its last row, and whether there was more than one window takes.
    pub(super) fn found(&mut self, look: &Look, last: Option<i64>, is_full: bool, now: Instant) {
        if look.after == 0 {
            let took = now.duration_since(look.begun);
            self.next_sweep = now + SWEEP_EVERY.max(took * SWEEP_SHARE);
        }
        self.cursor = last.unwrap_or(self.cursor);
        self.is_full = is_full;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_taken_from_window_to_window_and_swept_now_and_then() {
        let begun = Instant::now();
        let mut position = Position::new(begun);
        let look = position.look(begun);
        assert_eq!(look.after, 0, "the first look is a sweep");
        position.found(&look, Some(256), true, begun);
        let look = position.look(begun);
        assert_eq!(look.after, 256);
        position.found(&look, Some(512), true, begun);
        let look = position.look(begun + SWEEP_EVERY);
        assert_eq!(look.after, 0, "what lies behind is found");
        position.found(&look, Some(3), true, begun + SWEEP_EVERY);
        assert_eq!(position.look(begun + SWEEP_EVERY).after, 3, "and all of it, before the way goes on");
    }

    #[test]
    fn an_event_that_was_committed_late_is_found_by_the_next_look() {
        let begun = Instant::now();
        let mut position = Position::new(begun);
        let look = position.look(begun);
        position.found(&look, Some(1_000), false, begun);
        assert_eq!(position.look(begun).after, 0, "nothing is known of how old 1000 is");
        let look = position.look(begun + BEHIND);
        position.found(&look, Some(1_001), false, begun + BEHIND);
        let look = position.look(begun + BEHIND + BEHIND);
        position.found(&look, Some(1_002), false, begun + BEHIND + BEHIND);
        assert_eq!(position.look(begun + BEHIND + BEHIND).after, 1_000, "old enough");
    }

    #[test]
    fn a_sweep_that_takes_long_is_made_less_often() {
        let begun = Instant::now();
        let mut position = Position::new(begun);
        let look = position.look(begun);
        let found = begun + Duration::from_secs(1);
        position.found(&look, Some(9), true, found);
        assert_eq!(position.look(found + Duration::from_secs(19)).after, 9);
        assert_eq!(position.look(found + Duration::from_secs(20)).after, 0);
    }
}
