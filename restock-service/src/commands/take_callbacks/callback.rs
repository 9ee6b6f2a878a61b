//! A callback, and what its sender is told.

use std::net::IpAddr;

use jaego_contracts::ids::RequestId;
use jaego_contracts::trace::TraceContext;
use jaego_telemetry::EnterSpan as _;
use sha2::{Digest, Sha256};

use crate::domain::batch::{Arrival, Booked};
use crate::domain::decision::Reason;
use crate::domain::delivery::{Claim, ClaimedCount, Delivery, Order};

/// An authentic callback as its edge has read it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Its token's id.
    pub(crate) jti: String,
    /// The request that the token was made for.
    pub(crate) request_id: RequestId,
    /// What the token says was asked for.
    pub(crate) order: Order,
    /// Whether the token's time was over when it came.
    pub(crate) is_expired: bool,
    /// Where it came from, if that can be known.
    pub(crate) address: Option<IpAddr>,
    /// What the body says.
    pub(crate) claim: Claim,
    /// The body with no token in it; empty when nothing can be read of it.
    pub(crate) body: String,
    /// The bytes of an unreadable body, with no token in them.
    pub(crate) body_bytes: Option<Vec<u8>>,
    /// The trace of the HTTP request.
    pub(crate) trace: TraceContext,
    /// Whether the sender gave that trace; one that did not continues the production request's.
    pub(crate) has_own_trace: bool,
}

/// A message with all that can be told of it without the store: senders' threads do that, not the one
/// worker.
#[derive(Debug)]
pub(crate) struct Callback {
    /// As it came.
    pub(crate) message: Message,
    /// Its claim, held against the order.
    pub(crate) delivery: Delivery,
    /// Digest of all that is judged of it.
    pub(super) fingerprint: Vec<u8>,
}

impl Callback {
    /// Reads the message.
    pub(crate) fn new(message: Message) -> Self {
        let delivery = message.claim.against(&message.order, message.is_expired);
        let fingerprint = Sha256::digest(message.claim.identity(&delivery).as_bytes()).to_vec();
        Self { message, delivery, fingerprint }
    }

    /// The same delivery, reported after its loss: without its body, for many of them may wait in memory.
    pub(super) fn lost(&self) -> Self {
        let mut message = self.message.clone();
        message.body.clear();
        message.body_bytes = None;
        message.claim.count = match message.claim.count.read() {
            Ok(units) => ClaimedCount::Text(units.to_string()),
            Err(_) => ClaimedCount::Missing,
        };
        let delivery = Delivery { is_lost: true, ..self.delivery.clone() };
        Self { message, delivery, fingerprint: self.fingerprint.clone() }
    }

    /// For the rules.
    pub(super) fn arrival(&self) -> Arrival<'_> {
        Arrival {
            request_id: self.message.request_id,
            quantity: self.message.order.quantity.get(),
            jti: &self.message.jti,
            delivery_id: self.message.claim.delivery_id.as_deref(),
            delivery: &self.delivery,
            fingerprint: &self.fingerprint,
        }
    }

    /// The sender's trace if it has one, else the production request's: a legacy factory ignores ours.
    pub(super) fn trace(&self, of_request: Option<&str>) -> TraceContext {
        match of_request {
            Some(parent) if !self.message.has_own_trace => {
                let span = tracing::info_span!("take_callback", request_id = %self.message.request_id);
                TraceContext::continue_from(Some(parent)).enter(&span)
            }
            _ => self.message.trace,
        }
    }
}

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Booked, now or before.
    Received {
        /// What was booked.
        booked: Booked,
        /// Whether that was before.
        again: bool,
    },
    /// Kept for a person, now or before. What is wrong with the delivery itself, if anything is, is in
    /// the delivery.
    Quarantined {
        /// Why.
        reason: Reason,
        /// Whether that was before.
        again: bool,
    },
    /// Not kept: too much of its token is.
    Refused,
    /// Not kept: its factory's callbacks come from elsewhere.
    SourceNotAllowed,
}
