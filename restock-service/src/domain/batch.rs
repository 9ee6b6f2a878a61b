//! Callbacks that are decided together: one after the other in the order of arrival, each seeing what
//! those before it did, exactly as if they had come one by one.

use std::collections::HashMap;

use jaego_contracts::ids::{ReceiptId, RequestId};

use super::decision::{Decision, First, FirstOutcome, Reason, RequestState, decide};
use super::delivery::Delivery;
use super::policy::Policy;

/// A callback, as far as the rules need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// The request that its token was made for.
    pub(crate) request_id: RequestId,
    /// Units that the token says were asked for.
    pub(crate) quantity: i64,
    /// Its token's id.
    pub(crate) jti: &'a str,
    /// The factory's name for the delivery.
    pub(crate) delivery_id: Option<&'a str>,
    /// What it says, held against what was asked for.
    pub(crate) delivery: &'a Delivery,
    /// Digest of all that is judged of it.
    pub(crate) fingerprint: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// What makes two deliveries the same one.
    pub(crate) fn identity(&self) -> Identity<'a> {
        match self.delivery_id {
            Some(name) => Identity::Named(self.request_id, name),
            None => Identity::OfToken(self.jti),
        }
    }
}

/// What makes two deliveries the same one, whichever attempt's token they come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity<'a> {
    /// The factory's name for it, within its request.
    Named(RequestId, &'a str),
    /// Without a name: its token.
    OfToken(&'a str),
}

/// How far a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Units booked so far.
    pub(crate) received: i64,
    /// Whether it was cancelled.
    pub(crate) is_cancelled: bool,
}

/// What was booked for a delivery: its answer, told again to whoever tells it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booked {
    /// The receipt.
    pub(crate) receipt_id: ReceiptId,
    /// Its units.
    pub(crate) quantity: i64,
    /// Units beyond, kept for a person.
    pub(crate) quarantined: i64,
}

/// A first delivery and what was booked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The delivery.
    pub(crate) first: First,
    /// Its receipt, when it was received.
    pub(crate) booked: Option<Booked>,
}

/// A quarantine entry of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Digest of the delivery.
    pub(crate) fingerprint: Vec<u8>,
    /// Why it waits.
    pub(crate) reason: Reason,
}

/// All that is known of the requests and tokens of a batch; deciding brings it up to date.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    /// Requests; one that is not here is new.
    pub(crate) requests: HashMap<RequestId, Progress>,
    /// First deliveries.
    pub(crate) told: HashMap<Identity<'a>, Told>,
    /// Quarantine entries by token.
    pub(crate) entries: HashMap<&'a str, Vec<Entry>>,
}

/// What becomes of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Goods to book; what is beyond is kept for a person.
    Received {
        /// The new receipt.
        booked: Booked,
        /// Whether nothing is open afterwards.
        completes: bool,
    },
    /// The first one told again, with what was booked for it.
    Duplicate(Option<Booked>),
    /// A new entry for a person.
    Quarantined {
        /// Why.
        reason: Reason,
        /// Whether no usable delivery had this identity before.
        is_first: bool,
    },
    /// Kept for a person before.
    QuarantinedBefore(Reason),
    /// Not kept: too much of its token is.
    Refused,
}

/// Decides all of them; one outcome each, in their order. The caller holds the rows of the requests locked.
pub(crate) fn decide_together<'a>(
    known: &mut Known<'a>,
    arrivals: &[Arrival<'a>],
    policy: Policy,
    new_id: &mut dyn FnMut() -> ReceiptId,
) -> Vec<Outcome> {
    arrivals.iter().map(|arrival| decide_next(known, arrival, policy, new_id)).collect()
}

fn decide_next<'a>(
    known: &mut Known<'a>,
    arrival: &Arrival<'a>,
    policy: Policy,
    new_id: &mut dyn FnMut() -> ReceiptId,
) -> Outcome {
    let told = known.told.get(&arrival.identity()).copied();
    let decision = decide(&known.state_of(arrival, told), arrival.delivery, policy);
    let progress = known.requests.entry(arrival.request_id).or_default();
    match decision {
        Decision::Receive { quantity, excess, completes } => {
            let booked = Booked { receipt_id: new_id(), quantity: quantity.get(), quarantined: excess };
            progress.received += quantity.get();
            known.note(arrival, FirstOutcome::Received { completed: completes }, Some(booked));
            if excess > 0 {
                known.keep(arrival, Reason::OverDelivery);
            }
            Outcome::Received { booked, completes }
        }
        Decision::Duplicate => Outcome::Duplicate(told.and_then(|told| told.booked)),
        Decision::Quarantine(reason) => {
            known.keep(arrival, reason);
            if told.is_none() {
                known.note(arrival, FirstOutcome::Quarantined(reason), None);
            }
            Outcome::Quarantined { reason, is_first: told.is_none() }
        }
        Decision::AlreadyQuarantined(reason) => Outcome::QuarantinedBefore(reason),
        Decision::Refuse => Outcome::Refused,
    }
}

impl<'a> Known<'a> {
    fn state_of(&self, arrival: &Arrival<'a>, told: Option<Told>) -> RequestState {
        let progress = self.requests.get(&arrival.request_id).copied().unwrap_or_default();
        let entries = self.entries.get(arrival.jti).map(Vec::as_slice).unwrap_or_default();
        // Of an over-delivery only the excess is kept: the delivery itself was booked.
        let same = |entry: &&Entry| entry.reason != Reason::OverDelivery && entry.fingerprint == arrival.fingerprint;
        RequestState {
            quantity: arrival.quantity,
            received: progress.received,
            is_cancelled: progress.is_cancelled,
            first: told.map(|told| told.first),
            quarantined: entries.iter().find(same).map(|entry| entry.reason),
            quarantine_entries: i64::try_from(entries.len()).unwrap_or(i64::MAX),
        }
    }

    /// A delivery told wrongly may be told again rightly: it does not use up its identity.
    fn note(&mut self, arrival: &Arrival<'a>, outcome: FirstOutcome, booked: Option<Booked>) {
        if let Ok(count) = arrival.delivery.content {
            self.told.insert(arrival.identity(), Told { first: First { count, outcome }, booked });
        }
    }

    fn keep(&mut self, arrival: &Arrival<'a>, reason: Reason) {
        let entry = Entry { fingerprint: arrival.fingerprint.to_vec(), reason };
        self.entries.entry(arrival.jti).or_default().push(entry);
    }
}
