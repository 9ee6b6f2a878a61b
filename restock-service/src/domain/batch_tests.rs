//! Callbacks that are decided together have the same outcomes as if they had come one at a time.

use std::collections::HashMap;

use jaego_contracts::ids::{CallbackId, ReceiptId, RequestId};
use proptest::prelude::*;

use super::batch::{Arrival, Booked, Entry, Known, KnownDelivery, Outcome, Progress, decide_together};
use super::decision::{Decision, First, FirstOutcome, Reason};
use super::delivery::{Delivery, Order};
use super::policy::Policy;
use super::property_tests::{Callback, Identity, Ledger, Step, order, steps};

/// The rows of all requests, as stored between two batches.
#[derive(Debug, Clone, Default, PartialEq)]
struct Rows {
    requests: HashMap<RequestId, Progress>,
    deliveries: HashMap<(RequestId, Identity), KnownDelivery>,
    entries: HashMap<String, Vec<Entry>>,
    receipts: Vec<(RequestId, Booked)>,
}

/// A callback with everything that is computed before it is queued.
struct Waiting {
    id: CallbackId,
    request: usize,
    callback: Callback,
    jti: String,
    delivery: Delivery,
    fingerprint: Vec<u8>,
}

impl Waiting {
    fn new(request: usize, callback: Callback, order: &Order) -> Self {
        let delivery = callback.claim.against(order, callback.is_expired);
        let fingerprint = callback.claim.identity(&delivery).into_bytes();
        Self {
            id: CallbackId::generate(),
            request,
            jti: format!("{request}-{}", callback.token),
            callback,
            delivery,
            fingerprint,
        }
    }

    fn arrival<'a>(&'a self, ids: &[RequestId], order: &Order) -> Arrival<'a> {
        Arrival {
            id: self.id,
            request_id: ids[self.request],
            quantity: order.quantity.get(),
            jti: &self.jti,
            delivery_id: self.callback.claim.delivery_id.as_deref(),
            delivery: &self.delivery,
            fingerprint: &self.fingerprint,
        }
    }
}

impl Rows {
    /// Runs one batch: loads what is known about its callbacks, decides all of them, and writes the outcomes.
    fn take(
        &mut self,
        arrivals: &[Arrival<'_>],
        policy: Policy,
        new_id: &mut dyn FnMut() -> ReceiptId,
    ) -> Vec<Outcome> {
        let mut known = Known::default();
        for arrival in arrivals {
            if let Some(progress) = self.requests.get(&arrival.request_id) {
                known.requests.insert(arrival.request_id, *progress);
            }
            if let Some(earlier) = self.deliveries.get(&(arrival.request_id, identity_of(arrival))) {
                known.deliveries.insert(arrival.identity(), *earlier);
            }
            if let Some(entries) = self.entries.get(arrival.jti) {
                known.entries.insert(arrival.jti, entries.clone());
            }
        }
        let outcomes = decide_together(&mut known, arrivals, policy, new_id);
        for (arrival, outcome) in arrivals.iter().zip(&outcomes) {
            self.write(arrival, *outcome);
        }
        for (id, progress) in known.requests {
            assert_eq!(self.requests.get(&id).copied().unwrap_or_default(), progress, "the figures to be written");
        }
        outcomes
    }

    fn write(&mut self, arrival: &Arrival<'_>, outcome: Outcome) {
        let progress = self.requests.entry(arrival.request_id).or_default();
        let mut kept = None;
        let mut first = None;
        match outcome {
            Outcome::Received { booked, completes } => {
                progress.received += booked.quantity;
                self.receipts.push((arrival.request_id, booked));
                first = Some((FirstOutcome::Received { completed: completes }, Some(booked)));
                kept = (booked.quarantined > 0).then_some(Reason::OverDelivery);
            }
            Outcome::Quarantined { reason, is_first } => {
                first = is_first.then_some((FirstOutcome::Quarantined(reason), None));
                kept = Some(reason);
            }
            Outcome::Duplicate { .. } | Outcome::QuarantinedBefore { .. } | Outcome::Refused => {}
        }
        if let (Some((outcome, booked)), Ok(count)) = (first, arrival.delivery.content) {
            let identity = identity_of(arrival);
            let before = self.deliveries.insert(
                (arrival.request_id, identity),
                KnownDelivery { first: First { count, outcome }, booked, by: arrival.id },
            );
            assert_eq!(before, None, "an identity has one first delivery");
        }
        if let Some(reason) = kept {
            let entries = self.entries.entry(arrival.jti.to_owned()).or_default();
            let entry = Entry { fingerprint: arrival.fingerprint.to_vec(), reason, by: Some(arrival.id) };
            let is_same = |known: &Entry| known.fingerprint == entry.fingerprint && known.reason == reason;
            assert!(!entries.iter().any(is_same), "no entry twice");
            entries.push(entry);
        }
    }

    fn firsts(&self, request: RequestId) -> HashMap<Identity, First> {
        let own = self.deliveries.iter().filter(|((owner, _), _)| *owner == request);
        own.map(|((_, identity), earlier)| (identity.clone(), earlier.first)).collect()
    }
}

fn identity_of(arrival: &Arrival<'_>) -> Identity {
    let token = || arrival.jti.rsplit('-').next().and_then(|token| token.parse().ok()).expect("a token");
    arrival.delivery_id.map_or_else(|| Identity::OfToken(token()), |name| Identity::Named(name.to_owned()))
}

/// The single decision that an outcome corresponds to.
fn as_decision(outcome: Outcome) -> Decision {
    match outcome {
        Outcome::Received { booked, completes } => Decision::Receive {
            quantity: booked.quantity.try_into().expect("a quantity"),
            excess: booked.quarantined,
            completes,
        },
        Outcome::Duplicate { .. } => Decision::Duplicate,
        Outcome::Quarantined { reason, .. } => Decision::Quarantine(reason),
        Outcome::QuarantinedBefore { reason, .. } => Decision::AlreadyQuarantined(reason),
        Outcome::Refused => Decision::Refuse,
    }
}

fn pieces() -> impl Strategy<Value = Vec<(usize, Step)>> {
    steps().prop_flat_map(|steps| {
        let length = steps.len();
        (Just(steps), prop::collection::vec(0_usize..3, length))
            .prop_map(|(steps, requests)| requests.into_iter().zip(steps).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn together_is_as_one_by_one(
        pieces in pieces(), sizes in prop::collection::vec(1_usize..30, 1..10),
        quantity in 1_i64..=100, tolerance in 0_i64..=100, entries_max in 1_i64..=20,
    ) {
        let order = order(quantity);
        let policy = Policy { over_delivery_tolerance_percent: tolerance, quarantine_per_token_max: entries_max };
        let ids = [RequestId::generate(), RequestId::generate(), RequestId::generate()];
        let mut ledgers = [Ledger::default(), Ledger::default(), Ledger::default()];
        let mut rows = Rows::default();
        let mut receipts = HashMap::new();
        let mut sizes = sizes.into_iter().cycle();
        let mut batch: Vec<Waiting> = Vec::new();
        let mut size = 0;
        let last = pieces.len() - 1;
        for (index, (request, step)) in pieces.into_iter().enumerate() {
            let cancelled = matches!(step, Step::Cancel).then_some(request);
            if let Step::Call(callback) = step {
                batch.push(Waiting::new(request, callback, &order));
            }
            if batch.len() >= size || cancelled.is_some() || index == last {
                let arrivals: Vec<Arrival<'_>> = batch.iter().map(|waiting| waiting.arrival(&ids, &order)).collect();
                let outcomes = rows.take(&arrivals, policy, &mut ReceiptId::generate);
                // The database's answer is lost, so the same callbacks are tried again.
                let written = rows.clone();
                let again = rows.take(&arrivals, policy, &mut ReceiptId::generate);
                prop_assert_eq!(&rows, &written, "all of it was written already");
                for (outcome, again) in outcomes.iter().zip(again) {
                    match *outcome {
                        Outcome::Received { booked, .. } => {
                            prop_assert_eq!(again, Outcome::Duplicate { booked: Some(booked), is_own: true });
                        }
                        Outcome::Quarantined { reason, .. } => {
                            prop_assert_eq!(again, Outcome::QuarantinedBefore { reason, is_own: true });
                        }
                        Outcome::Duplicate { .. } | Outcome::QuarantinedBefore { .. } => prop_assert_eq!(again, *outcome),
                        Outcome::Refused => {}
                    }
                }
                for (waiting, outcome) in batch.iter().zip(outcomes) {
                    let decision = ledgers[waiting.request].take(&order, &waiting.callback, policy);
                    prop_assert_eq!(as_decision(outcome), decision);
                    let identity = (waiting.request, waiting.callback.identity());
                    // A repetition is answered with the receipt of the first delivery.
                    match outcome {
                        Outcome::Received { booked, .. } => prop_assert!(receipts.insert(identity, booked).is_none()),
                        Outcome::Duplicate { booked, .. } => prop_assert_eq!(booked, receipts.get(&identity).copied()),
                        _ => {}
                    }
                }
                batch.clear();
                size = sizes.next().unwrap_or(1);
            }
            if let Some(request) = cancelled {
                ledgers[request].is_cancelled = true;
                rows.requests.entry(ids[request]).or_default().is_cancelled = true;
            }
        }
        for (request, ledger) in ledgers.iter().enumerate() {
            let own = |id: &RequestId| *id == ids[request];
            let units = rows.receipts.iter().filter(|(id, _)| own(id)).map(|(_, booked)| booked.quantity);
            let expected = ledger.receipts.iter().map(|(_, units)| *units);
            prop_assert_eq!(units.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "in the same order");
            let progress = rows.requests.get(&ids[request]).copied().unwrap_or_default();
            prop_assert_eq!(progress, Progress { received: ledger.received, is_cancelled: ledger.is_cancelled });
            prop_assert_eq!(&rows.firsts(ids[request]), &ledger.firsts);
        }
    }
}
