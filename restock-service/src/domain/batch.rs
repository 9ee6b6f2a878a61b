//! Callbacks that are decided together: in the order of arrival, each seeing the effects of those before it, exactly
//! as if they had come one at a time.

use std::collections::HashMap;

use jaego_contracts::ids::{CallbackId, ReceiptId, RequestId};

use super::decision::{Decision, First, FirstOutcome, Reason, RequestState, decide};
use super::delivery::Delivery;
use super::policy::Policy;

/// A callback, as far as the rules need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) id: CallbackId,
    /// The request that its token was made for.
    pub(crate) request_id: RequestId,
    /// Units ordered, as stated in the token.
    pub(crate) quantity: i64,
    /// Id of the token.
    pub(crate) jti: &'a str,
    /// The factory's name for the delivery.
    pub(crate) delivery_id: Option<&'a str>,
    /// The claim, checked against the order.
    pub(crate) delivery: &'a Delivery,
    /// Digest of everything that is judged.
    pub(crate) fingerprint: &'a [u8],
}

impl<'a> Arrival<'a> {
    pub(crate) fn identity(&self) -> Identity<'a> {
        match self.delivery_id {
            Some(name) => Identity::Named(self.request_id, name),
            None => Identity::OfToken(self.jti),
        }
    }
}

/// Two deliveries with the same identity are the same delivery, whichever attempt's token they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity<'a> {
    /// The factory's name for it, within its request.
    Named(RequestId, &'a str),
    /// For a delivery without a name: its token.
    OfToken(&'a str),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Units booked so far.
    pub(crate) received: i64,
    pub(crate) is_cancelled: bool,
}

/// The booking of a delivery, which is also the answer to every repetition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booked {
    pub(crate) receipt_id: ReceiptId,
    /// Units booked.
    pub(crate) quantity: i64,
    /// Excess units, kept for an operator.
    pub(crate) quarantined: i64,
}

/// A first delivery and its booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownDelivery {
    pub(crate) first: First,
    /// None if the delivery was not booked.
    pub(crate) booked: Option<Booked>,
    /// The callback that it was.
    pub(crate) by: CallbackId,
}

/// A quarantine entry of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Digest of the delivery.
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) reason: Reason,
    /// The callback that was counted last on it, if it is known.
    pub(crate) by: Option<CallbackId>,
}

/// Everything known about the requests and tokens of a batch. Deciding updates it.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    /// A request that is missing here is new.
    pub(crate) requests: HashMap<RequestId, Progress>,
    pub(crate) deliveries: HashMap<Identity<'a>, KnownDelivery>,
    /// Quarantine entries by token.
    pub(crate) entries: HashMap<&'a str, Vec<Entry>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Goods to book; the excess is kept for an operator.
    Received {
        /// The new receipt.
        booked: Booked,
        /// True if nothing is open afterwards.
        completes: bool,
    },
    /// A repetition of the first delivery.
    Duplicate {
        /// The booking of the first one.
        booked: Option<Booked>,
        /// True if an earlier attempt of this very callback booked it, and the database's answer was lost.
        is_own: bool,
    },
    /// A new quarantine entry.
    Quarantined {
        reason: Reason,
        /// True if no usable delivery had this identity before.
        is_first: bool,
    },
    /// It was quarantined before.
    QuarantinedBefore {
        reason: Reason,
        /// True if an earlier attempt of this very callback did it, and the database's answer was lost.
        is_own: bool,
    },
    /// Not kept: its token has too many quarantine entries already.
    Refused,
}

/// Decides all arrivals and returns one outcome for each, in their order. The caller holds the rows of the requests
/// locked.
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
    let earlier = known.deliveries.get(&arrival.identity()).copied();
    if let Some(KnownDelivery { first, booked, .. }) = earlier.filter(|earlier| earlier.by == arrival.id) {
        return match first.outcome {
            FirstOutcome::Received { .. } => Outcome::Duplicate { booked, is_own: true },
            FirstOutcome::Quarantined(reason) => Outcome::QuarantinedBefore { reason, is_own: true },
        };
    }
    let decision = decide(&known.state_of(arrival, earlier), arrival.delivery, policy);
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
        Decision::Duplicate => Outcome::Duplicate { booked: earlier.and_then(|earlier| earlier.booked), is_own: false },
        Decision::Quarantine(reason) => {
            known.keep(arrival, reason);
            if earlier.is_none() {
                known.note(arrival, FirstOutcome::Quarantined(reason), None);
            }
            Outcome::Quarantined { reason, is_first: earlier.is_none() }
        }
        Decision::AlreadyQuarantined(reason) => {
            let is_own = known.entries_of(arrival).iter().any(|entry| entry.by == Some(arrival.id));
            Outcome::QuarantinedBefore { reason, is_own }
        }
        Decision::Refuse => Outcome::Refused,
    }
}

impl<'a> Known<'a> {
    fn state_of(&self, arrival: &Arrival<'a>, earlier: Option<KnownDelivery>) -> RequestState {
        let progress = self.requests.get(&arrival.request_id).copied().unwrap_or_default();
        let entries = self.entries_of(arrival);
        // Of an over-delivery only the excess is in the quarantine: the delivery itself was booked.
        let same = |entry: &&Entry| entry.reason != Reason::OverDelivery && entry.fingerprint == arrival.fingerprint;
        RequestState {
            quantity: arrival.quantity,
            received: progress.received,
            is_cancelled: progress.is_cancelled,
            first: earlier.map(|earlier| earlier.first),
            quarantined: entries.iter().find(same).map(|entry| entry.reason),
            quarantine_entries: i64::try_from(entries.len()).unwrap_or(i64::MAX),
        }
    }

    fn entries_of(&self, arrival: &Arrival<'a>) -> &[Entry] {
        self.entries.get(arrival.jti).map(Vec::as_slice).unwrap_or_default()
    }

    /// A faulty delivery may be repeated correctly, so it does not use up its identity.
    fn note(&mut self, arrival: &Arrival<'a>, outcome: FirstOutcome, booked: Option<Booked>) {
        if let Ok(count) = arrival.delivery.content {
            self.deliveries
                .insert(arrival.identity(), KnownDelivery { first: First { count, outcome }, booked, by: arrival.id });
        }
    }

    fn keep(&mut self, arrival: &Arrival<'a>, reason: Reason) {
        let entry = Entry { fingerprint: arrival.fingerprint.to_vec(), reason, by: Some(arrival.id) };
        self.entries.entry(arrival.jti).or_default().push(entry);
    }
}
