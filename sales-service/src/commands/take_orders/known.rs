//! Shelves as the last batches left them. Who has written a row knows what is in it, until somebody else writes it;
//! the next batch decides on that at once, and its one round trip begins with the condition that it is so
//! ([`shelves::hold`]). When it is not, nothing was written, and the batch begins again with a look.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use shared::ids::Sku;

use crate::domain::shelf::Shelf;
use crate::store::shelves::{Expected, Loaded, Version};

/// Shelves that are known at most; half a kilobyte each.
const SHELVES_MAX: usize = 10_000;

/// What the process knows of shelves.
#[derive(Debug)]
pub(super) struct KnownShelves {
    shelves: BTreeMap<Sku, Known>,
    trust: Trust,
    batches: Counter<u64>,
}

#[derive(Debug)]
struct Known {
    shelf: Shelf,
    expected: Expected,
    version: Version,
}

/// A batch's shelves as they were written.
pub(super) struct Written {
    /// What the batch loaded, or knew, with its figures as they are now, and the transaction that wrote them.
    pub(super) loaded: Loaded,
    /// Those with other figures than before.
    pub(super) changed: BTreeSet<Sku>,
    /// Those of which more is under way than was loaded.
    pub(super) replenished: BTreeSet<Sku>,
}

impl KnownShelves {
    pub(super) fn new() -> Self {
        let batches = opentelemetry::global::meter("jaego")
            .u64_counter("jaego_intake_batches")
            .with_description(
                "Batches of orders by their shelves: known, read (a round trip more), changed by others since they \
                 were known (begun again)",
            )
            .build();
        Self { shelves: BTreeMap::new(), trust: Trust::new(), batches }
    }

    /// These shelves, if each of them is known. They are forgotten until the batch is written: then it says what
    /// became of them.
    pub(super) fn take(&mut self, skus: &BTreeSet<Sku>, now: DateTime<Utc>) -> Option<Loaded> {
        let is_known = |sku: &Sku| self.shelves.get(sku).is_some_and(|known| now < known.version.until);
        if !self.trust.is_given() || skus.is_empty() || !skus.iter().all(is_known) {
            return None;
        }
        let mut taken = Loaded::default();
        for (sku, known) in skus.iter().filter_map(|sku| self.shelves.remove_entry(sku)) {
            taken.expected.insert(sku.clone(), known.expected);
            taken.versions.insert(sku.clone(), known.version);
            taken.shelves.insert(sku, known.shelf);
        }
        Some(taken)
    }

    /// What was written and committed is known.
    pub(super) fn keep(&mut self, written: Written) {
        let Written { loaded, changed, replenished } = written;
        let Loaded { shelves, mut expected, mut versions, transaction } = loaded;
        if self.shelves.len() + shelves.len() > SHELVES_MAX {
            self.shelves.clear();
        }
        for (sku, shelf) in shelves.into_iter().filter(|(sku, _)| !replenished.contains(sku)) {
            let (Some(expected), Some(mut version)) = (expected.remove(&sku), versions.remove(&sku)) else { continue };
            if changed.contains(&sku) {
                version.figures = transaction;
            }
            self.shelves.insert(sku, Known { shelf, expected, version });
        }
    }

    /// What was known was so.
    pub(super) fn confirm(&mut self) {
        self.trust.confirm();
        self.count("known");
    }

    /// Somebody else has written what was known.
    pub(super) fn disappoint(&mut self) {
        self.trust.withdraw();
        self.count("changed");
    }

    /// A batch had to look.
    pub(super) fn have_looked(&mut self) {
        self.trust.have_looked();
        self.count("read");
    }

    fn count(&self, shelves: &'static str) {
        self.batches.add(1, &[KeyValue::new("shelves", shelves)]);
    }
}

/// Whether it pays to use what is known. A disappointment costs as much as is gained by one batch in which it holds;
/// where others write the same rows all the time, such as another replica that sells the same product, each batch
/// would begin twice.
#[derive(Debug)]
struct Trust {
    /// Batches that look first.
    look_first_in: u32,
    /// As many as that after the next disappointment.
    next: u32,
}

impl Trust {
    /// Batches that look first after one disappointment.
    const FIRST: u32 = 4;
    /// After many in a row.
    const MOST: u32 = 1024;

    fn new() -> Self {
        Self { look_first_in: 0, next: Self::FIRST }
    }

    fn is_given(&self) -> bool {
        self.look_first_in == 0
    }

    fn confirm(&mut self) {
        self.next = (self.next / 2).max(Self::FIRST);
    }

    fn withdraw(&mut self) {
        self.look_first_in = self.next;
        self.next = (self.next * 2).min(Self::MOST);
    }

    fn have_looked(&mut self) {
        self.look_first_in = self.look_first_in.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::Trust;

    /// Batches until what is known is used again.
    fn looks(trust: &mut Trust) -> u32 {
        let mut looks = 0;
        while !trust.is_given() {
            trust.have_looked();
            looks += 1;
        }
        looks
    }

    #[test]
    fn trust_that_is_disappointed_again_and_again_is_tried_ever_more_rarely() {
        let mut trust = Trust::new();
        let mut waits = Vec::new();
        for _ in 0..10 {
            trust.withdraw();
            waits.push(looks(&mut trust));
        }
        assert_eq!(waits, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]);
    }

    #[test]
    fn each_batch_in_which_it_held_makes_good_for_one_disappointment() {
        let mut trust = Trust::new();
        let mut withdraw = |confirmed: u32| {
            for _ in 0..confirmed {
                trust.confirm();
            }
            trust.withdraw();
            looks(&mut trust)
        };
        assert_eq!([withdraw(0), withdraw(0), withdraw(0), withdraw(1), withdraw(9)], [4, 8, 16, 16, 4]);
        // One in ten: what is known is used for most batches.
        assert_eq!([withdraw(9), withdraw(9), withdraw(9)], [4, 4, 4]);
    }
}
