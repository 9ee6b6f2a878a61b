//! Limits the refused sign-ins that are recorded: strangers make them, and the audit log is kept for good.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Maximum refusals that a process records in a minute; further ones are only logged.
const RECORDED_MAX: u32 = 60;

#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Option<(Instant, u32)>>);

impl Refusals {
    /// Counts a refusal; true if it is to be recorded.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = window.filter(|(since, _)| now.duration_since(*since) < WINDOW).unwrap_or((now, 0));
        *window = Some((since, count.saturating_add(1)));
        count < RECORDED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_recorded_in_part() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| refusals.admit(begun)).count(), 60);
        assert!(refusals.admit(begun + WINDOW));
    }
}
