//! Hints to shoppers' pages to reload a product: at most one a second for each product, however often it changes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Minimum time between two hints about one product.
const APART: Duration = Duration::from_secs(1);

/// Products that changed recently. Entries expire after a second, so the map stays small.
#[derive(Debug, Default)]
pub(super) struct Shelves(HashMap<String, Shelf>);

#[derive(Debug)]
struct Shelf {
    told_at: Option<Instant>,
    due_at: Option<Instant>,
}

impl Shelves {
    /// Records that a product changed, which becomes visible after `delay`. Returns true if pages should get a hint
    /// at once.
    pub(super) fn changed(&mut self, sku: &str, now: Instant, delay: Duration) -> bool {
        if let Some(shelf) = self.0.get_mut(sku) {
            let earliest = shelf.told_at.map_or(now, |told_at| told_at + APART);
            let due_at = earliest.max(now + delay);
            if delay.is_zero() && due_at <= now {
                *shelf = Shelf { told_at: Some(now), due_at: None };
                return true;
            }
            // The later time is kept: a hint that comes too early would leave the old figures on the page.
            shelf.due_at = shelf.due_at.max(Some(due_at));
            return false;
        }
        let is_told = delay.is_zero();
        let shelf = Shelf { told_at: is_told.then_some(now), due_at: (!is_told).then_some(now + delay) };
        self.0.insert(sku.to_owned(), shelf);
        is_told
    }

    /// The products about which hints are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        self.0.retain(|sku, shelf| {
            if shelf.due_at.is_some_and(|due_at| due_at <= now) {
                *shelf = Shelf { told_at: Some(now), due_at: None };
                due.push(sku.clone());
            }
            let is_fresh = shelf.told_at.is_some_and(|told_at| told_at + APART > now);
            is_fresh || shelf.due_at.is_some()
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_is_told_at_once_and_the_last_one_never_forgotten() {
        let (mut shelves, begun) = (Shelves::default(), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let none = Duration::ZERO;
        assert!(shelves.changed("a", at(0), none));
        assert!(!shelves.changed("a", at(10), none) && !shelves.changed("a", at(900), none));
        assert!(shelves.changed("b", at(10), none), "another product");
        assert!(shelves.due(at(999)).is_empty());
        assert_eq!(shelves.due(at(1000)), ["a"]);
        assert!(shelves.due(at(1500)).is_empty());
        assert!(!shelves.changed("a", at(1600), none), "within a second of the last hint");
        assert_eq!(shelves.due(at(2000)), ["a"]);
        assert!(shelves.due(at(3100)).is_empty() && shelves.0.is_empty(), "nothing is kept of quiet products");
    }

    #[test]
    fn what_a_page_sees_only_later_is_told_later() {
        let (mut shelves, begun) = (Shelves::default(), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let delay = Duration::from_millis(700);
        assert!(!shelves.changed("a", at(0), delay));
        assert!(shelves.changed("b", at(0), Duration::ZERO) && !shelves.changed("b", at(600), delay));
        assert_eq!(shelves.due(at(700)), ["a"]);
        assert_eq!(shelves.due(at(1299)), [""; 0]);
        assert_eq!(shelves.due(at(1300)), ["b"]);
    }
}
