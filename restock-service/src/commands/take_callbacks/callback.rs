//! A callback and its answer.

use std::net::IpAddr;

use jaego_contracts::ids::{CallbackId, RequestId};
use jaego_contracts::trace::TraceContext;
use jaego_telemetry::EnterSpan as _;
use sha2::{Digest, Sha256};

use crate::domain::batch::{Arrival, Booked};
use crate::domain::decision::Reason;
use crate::domain::delivery::{Claim, ClaimedCount, Delivery, Order};

/// Longest body of a callback that is kept outside the queue, bytes: many of them may wait in memory, and a known factory
/// sends 400.
pub(super) const KEPT_BODY_MAX: usize = 2048;

/// An authenticated callback, as parsed by the HTTP edge.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Id of the token.
    pub(crate) jti: String,
    /// The request that the token was made for.
    pub(crate) request_id: RequestId,
    /// The order, as stated in the token.
    pub(crate) order: Order,
    /// True if the token had expired on arrival.
    pub(crate) is_expired: bool,
    /// The source address, if it is known.
    pub(crate) address: Option<IpAddr>,
    /// Content of the body.
    pub(crate) claim: Claim,
    /// The body with its token redacted; empty when it is unreadable.
    pub(crate) body: String,
    /// Bytes of an unreadable body, with tokens redacted.
    pub(crate) body_bytes: Option<Vec<u8>>,
    /// The trace of the HTTP request.
    pub(crate) trace: TraceContext,
    /// True if the sender supplied that trace; otherwise the callback continues the trace of the production request.
    pub(crate) has_own_trace: bool,
}

/// A message with everything that can be derived without the store. The senders' threads do that, not the single
/// worker.
#[derive(Debug)]
pub(crate) struct Callback {
    pub(super) id: CallbackId,
    pub(crate) message: Message,
    /// The claim, checked against the order.
    pub(crate) delivery: Delivery,
    /// Digest of everything that is judged.
    pub(super) fingerprint: Vec<u8>,
}

impl Callback {
    pub(crate) fn new(message: Message) -> Self {
        let delivery = message.claim.against(&message.order, message.is_expired);
        let fingerprint = Sha256::digest(message.claim.identity(&delivery).as_bytes()).to_vec();
        Self { id: CallbackId::generate(), message, delivery, fingerprint }
    }

    /// The same callback as a record of its loss.
    pub(super) fn lost(&self) -> Self {
        let trimmed = self.trimmed();
        Self { delivery: Delivery { is_lost: true, ..trimmed.delivery }, ..trimmed }
    }

    /// The same callback without a long body.
    pub(super) fn trimmed(&self) -> Self {
        let mut message = self.message.clone();
        if message.body.len() > KEPT_BODY_MAX {
            message.body.clear();
        }
        message.body_bytes = message.body_bytes.filter(|bytes| bytes.len() <= KEPT_BODY_MAX);
        message.claim.count = match message.claim.count.read() {
            Ok(units) => ClaimedCount::Text(units.to_string()),
            Err(_) => ClaimedCount::Missing,
        };
        Self { id: self.id, message, delivery: self.delivery.clone(), fingerprint: self.fingerprint.clone() }
    }

    /// Input of the rules.
    pub(super) fn arrival(&self) -> Arrival<'_> {
        Arrival {
            id: self.id,
            request_id: self.message.request_id,
            quantity: self.message.order.quantity.get(),
            jti: &self.message.jti,
            delivery_id: self.message.claim.delivery_id.as_deref(),
            delivery: &self.delivery,
            fingerprint: &self.fingerprint,
        }
    }

    /// The sender's trace if it supplied one, otherwise that of the production request: a legacy factory ignores our
    /// trace.
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

/// Answer to the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Booked, now or before.
    Received {
        /// The receipt.
        booked: Booked,
        /// True if it was booked before.
        again: bool,
    },
    /// Kept for an operator, now or before. A fault of the delivery itself is in the delivery.
    Quarantined {
        reason: Reason,
        /// True if it was kept before.
        again: bool,
    },
    /// Not kept: its token has too many quarantine entries already.
    Refused,
    /// Not kept: it came from an address outside its factory's list.
    SourceNotAllowed,
}
