//! Invariants of any history of callbacks: the bookings of a request stay bounded, each delivery counts once.

use std::collections::{HashMap, HashSet};

use jaego_contracts::ids::Quantity;
use proptest::prelude::*;

use super::decision::{Decision, First, FirstOutcome, Reason, RequestState, decide};
use super::delivery::{Claim, ClaimedCount, Order};
use super::policy::Policy;

/// A delivery's name, or the token of a delivery without one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Named(String),
    OfToken(u8),
}

/// The rows of a request, kept in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) received: i64,
    pub(super) is_cancelled: bool,
    pub(super) firsts: HashMap<Identity, First>,
    pub(super) quarantine: HashMap<(u8, String), Reason>,
    excesses: HashMap<u8, i64>,
    pub(super) receipts: Vec<(Identity, i64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Callback {
    pub(super) token: u8,
    pub(super) claim: Claim,
    pub(super) is_expired: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Call(Callback),
    Cancel,
}

impl Callback {
    pub(super) fn identity(&self) -> Identity {
        self.claim.delivery_id.clone().map_or(Identity::OfToken(self.token), Identity::Named)
    }
}

impl Ledger {
    pub(super) fn take(&mut self, order: &Order, callback: &Callback, policy: Policy) -> Decision {
        let delivery = callback.claim.against(order, callback.is_expired);
        let identity = callback.identity();
        let very_same = (callback.token, callback.claim.identity(&delivery));
        let entries = self.quarantine.keys().filter(|(token, _)| *token == callback.token).count();
        let state = RequestState {
            quantity: order.quantity.get(),
            received: self.received,
            is_cancelled: self.is_cancelled,
            first: self.firsts.get(&identity).copied(),
            quarantined: self.quarantine.get(&very_same).copied(),
            quarantine_entries: i64::try_from(entries).expect("small")
                + self.excesses.get(&callback.token).copied().unwrap_or(0),
        };
        let decision = decide(&state, &delivery, policy);
        match (decision, delivery.content) {
            (Decision::Receive { quantity, excess, completes }, Ok(count)) => {
                assert_eq!(quantity.get() + excess, count.get(), "every unit is booked or kept");
                self.received += quantity.get();
                self.receipts.push((identity.clone(), quantity.get()));
                let outcome = FirstOutcome::Received { completed: completes };
                assert_eq!(self.firsts.insert(identity, First { count, outcome }), None);
                *self.excesses.entry(callback.token).or_default() += i64::from(excess > 0);
            }
            (Decision::Receive { .. }, Err(fault)) => panic!("received with {fault:?}"),
            (Decision::Quarantine(reason), content) => {
                assert_eq!(self.quarantine.insert(very_same, reason), None, "no second entry");
                if let Ok(count) = content {
                    let outcome = FirstOutcome::Quarantined(reason);
                    self.firsts.entry(identity).or_insert(First { count, outcome });
                }
            }
            (Decision::Duplicate | Decision::AlreadyQuarantined(_) | Decision::Refuse, _) => {}
        }
        decision
    }
}

fn counts() -> impl Strategy<Value = ClaimedCount> {
    prop_oneof![
        8 => (1_i64..=60).prop_map(|units| ClaimedCount::Text(units.to_string())),
        2 => prop_oneof![Just(20_i64), Just(30), Just(1_000_000)].prop_map(|units| ClaimedCount::Text(units.to_string())),
        1 => prop_oneof![Just("0"), Just("-3"), Just("1.5"), Just("1000001")].prop_map(|text| ClaimedCount::Text(text.into())),
        1 => Just(ClaimedCount::Missing),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = prop_oneof![2 => Just(None), 3 => prop_oneof!["a", "b", "c", "d"].prop_map(Some)];
    let product = prop_oneof![6 => Just(None), 3 => Just(Some("S".to_owned())), 1 => Just(Some("T".to_owned()))];
    let callback = (0_u8..3, id, product, counts(), prop::bool::weighted(0.05)).prop_map(
        |(token, delivery_id, product, count, is_expired)| {
            // Some bodies are unreadable.
            let unreadable = (count == ClaimedCount::Missing).then(|| format!("{product:?}"));
            let claim = Claim { delivery_id, product, factory: None, count, unreadable };
            Step::Call(Callback { token, claim, is_expired })
        },
    );
    prop::collection::vec(prop_oneof![60 => callback, 1 => Just(Step::Cancel)], 1..80)
}

pub(super) fn order(quantity: i64) -> Order {
    Order {
        sku: "S".parse().expect("sku"),
        factory_id: "F".parse().expect("factory"),
        quantity: Quantity::try_from(quantity).expect("quantity"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn booked_units_stay_bounded_and_each_identity_is_booked_once(
        steps in steps(), quantity in 1_i64..=100, tolerance in 0_i64..=100, entries_max in 1_i64..=20,
    ) {
        let order = order(quantity);
        let policy = Policy { over_delivery_tolerance_percent: tolerance, quarantine_per_token_max: entries_max };
        let mut ledger = Ledger::default();
        for step in &steps {
            match step {
                Step::Cancel => ledger.is_cancelled = true,
                Step::Call(callback) => {
                    let before = ledger.clone();
                    let decision = ledger.take(&order, callback, policy);
                    if matches!(decision, Decision::Receive { .. }) {
                        prop_assert!(!before.is_cancelled && !callback.is_expired && before.received < quantity);
                    } else {
                        prop_assert_eq!(&ledger.receipts, &before.receipts);
                    }
                }
            }
            prop_assert!(ledger.received * 100 <= quantity * (100 + tolerance));
            prop_assert_eq!(ledger.received, ledger.receipts.iter().map(|(_, units)| units).sum::<i64>());
        }
        let identities: HashSet<_> = ledger.receipts.iter().map(|(identity, _)| identity).collect();
        prop_assert_eq!(identities.len(), ledger.receipts.len());
        for token in 0..3 {
            let kept = ledger.quarantine.keys().filter(|(owner, _)| *owner == token).count();
            let kept = i64::try_from(kept).expect("small") + ledger.excesses.get(&token).copied().unwrap_or(0);
            prop_assert!(kept <= entries_max);
        }
    }

    #[test]
    fn a_repeated_delivery_changes_nothing(steps in steps(), quantity in 1_i64..=100, tolerance in 0_i64..=100) {
        let order = order(quantity);
        let policy = Policy { over_delivery_tolerance_percent: tolerance, quarantine_per_token_max: 1_000 };
        let mut ledger = Ledger::default();
        for step in &steps {
            let Step::Call(callback) = step else { continue };
            let first = ledger.take(&order, callback, policy);
            let once = ledger.clone();
            let second = ledger.take(&order, callback, policy);
            prop_assert_eq!(&ledger.receipts, &once.receipts, "a repetition is not booked again");
            if callback.claim.delivery_id.is_some() {
                // A name identifies it with certainty.
                prop_assert_eq!(&ledger, &once);
                match first {
                    Decision::Receive { .. } | Decision::Duplicate => prop_assert_eq!(second, Decision::Duplicate),
                    Decision::Quarantine(reason) | Decision::AlreadyQuarantined(reason) => {
                        prop_assert_eq!(second, Decision::AlreadyQuarantined(reason));
                    }
                    Decision::Refuse => {}
                }
            }
            let twice = ledger.clone();
            ledger.take(&order, callback, policy);
            prop_assert_eq!(&ledger, &twice);
        }
        // Every callback is repeated long after.
        let all = ledger.clone();
        for step in &steps {
            if let Step::Call(callback) = step {
                ledger.take(&order, callback, policy);
            }
        }
        prop_assert_eq!(&ledger.receipts, &all.receipts);
        prop_assert_eq!(&ledger.quarantine, &all.quarantine);
    }
}
