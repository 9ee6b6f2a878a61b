//! Hints to shoppers' pages to reload a product: at most one a second for each product, however often it changes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Minimum time between two hints about one product.
const APART: Duration = Duration::from_secs(1);

/// Products that changed recently. Entries expire after a second, so the map stays small.
#[derive(Debug, Default)]
pub(super) struct Hints(HashMap<String, Hint>);

#[derive(Debug)]
struct Hint {
    sent_at: Option<Instant>,
    due_at: Option<Instant>,
}

impl Hints {
    /// Records that a product changed, which becomes visible after `delay`. Returns true if pages should get a hint
    /// at once.
    pub(super) fn changed(&mut self, sku: &str, now: Instant, delay: Duration) -> bool {
        if let Some(hint) = self.0.get_mut(sku) {
            let earliest = hint.sent_at.map_or(now, |sent_at| sent_at + APART);
            let due_at = earliest.max(now + delay);
            if delay.is_zero() && due_at <= now {
                *hint = Hint { sent_at: Some(now), due_at: None };
                return true;
            }
            // The later time is kept: a hint that comes too early would leave the old figures on the page.
            hint.due_at = hint.due_at.max(Some(due_at));
            return false;
        }
        let is_sent = delay.is_zero();
        let hint = Hint { sent_at: is_sent.then_some(now), due_at: (!is_sent).then_some(now + delay) };
        self.0.insert(sku.to_owned(), hint);
        is_sent
    }

    /// The products about which hints are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        self.0.retain(|sku, hint| {
            if hint.due_at.is_some_and(|due_at| due_at <= now) {
                *hint = Hint { sent_at: Some(now), due_at: None };
                due.push(sku.clone());
            }
            let is_fresh = hint.sent_at.is_some_and(|sent_at| sent_at + APART > now);
            is_fresh || hint.due_at.is_some()
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_is_sent_at_once_and_the_last_one_always() {
        let (mut hints, begun) = (Hints::default(), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let none = Duration::ZERO;
        assert!(hints.changed("a", at(0), none));
        assert!(!hints.changed("a", at(10), none) && !hints.changed("a", at(900), none));
        assert!(hints.changed("b", at(10), none), "another product");
        assert!(hints.due(at(999)).is_empty());
        assert_eq!(hints.due(at(1000)), ["a"]);
        assert!(hints.due(at(1500)).is_empty());
        assert!(!hints.changed("a", at(1600), none), "within a second of the last hint");
        assert_eq!(hints.due(at(2000)), ["a"]);
        assert!(hints.due(at(3100)).is_empty() && hints.0.is_empty(), "nothing is kept of quiet products");
    }

    #[test]
    fn a_hint_about_cached_data_is_delayed() {
        let (mut hints, begun) = (Hints::default(), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let delay = Duration::from_millis(700);
        assert!(!hints.changed("a", at(0), delay));
        assert!(hints.changed("b", at(0), Duration::ZERO) && !hints.changed("b", at(600), delay));
        assert_eq!(hints.due(at(700)), ["a"]);
        assert_eq!(hints.due(at(1299)), [""; 0]);
        assert_eq!(hints.due(at(1300)), ["b"]);
    }
}
