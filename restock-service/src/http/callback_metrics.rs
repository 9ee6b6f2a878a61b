//! Callbacks, counted by what became of them.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use shared::contracts::callback::InvalidToken;

use crate::commands::take_callback::Answer;

/// The counter `jaego_callbacks`; its label `outcome` has the few values below.
pub(crate) struct CallbackMetrics(Counter<u64>);

impl CallbackMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let counter = meter.u64_counter("jaego_callbacks");
        Self(counter.with_description("Callbacks of the Factory, by outcome").build())
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.0.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}

pub(super) const NOT_JSON: &str = "not-json";
pub(super) const SOURCE_NOT_ALLOWED: &str = "source-not-allowed";
pub(super) const OVERLOADED: &str = "overloaded";
pub(super) const STORE_UNAVAILABLE: &str = "store-unavailable";
pub(super) const FAILED: &str = "failed";

pub(super) fn of_token(error: InvalidToken) -> &'static str {
    match error {
        InvalidToken::Malformed => "token-malformed",
        InvalidToken::UnknownKey => "token-unknown-key",
        InvalidToken::Forged => "token-forged",
    }
}

pub(super) fn of_answer(answer: &Answer) -> &'static str {
    match answer {
        Answer::Received { again: true, .. } => "duplicate",
        Answer::Received { booked, .. } if booked.quarantined > 0 => "received-in-part",
        Answer::Received { .. } => "received",
        Answer::Quarantined { again: true, .. } => "quarantined-before",
        Answer::Quarantined { reason, .. } => reason.slug(),
        Answer::Refused => "too-many-quarantined",
    }
}
