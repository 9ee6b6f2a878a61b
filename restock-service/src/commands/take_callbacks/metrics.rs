//! Counts callbacks by outcome and measures their batches.

use std::time::Duration;

use jaego_contracts::ids::Quantity;
use jaego_web::problem::{Problem, ProblemKind};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

use super::{Answer, Callback};

/// The counter `jaego_callbacks`, whose label `outcome` has only the values below, and the batch metrics.
#[derive(Clone)]
pub(crate) struct CallbackMetrics {
    outcomes: Counter<u64>,
    waiting: UpDownCounter<i64>,
    batch_size: Histogram<u64>,
    batch_duration: Histogram<f64>,
}

impl CallbackMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let outcomes = meter.u64_counter("jaego_callbacks").with_description("Callbacks of the Factory, by outcome");
        let batch_size = meter
            .u64_histogram("jaego_callback_batch_size")
            .with_description("Callbacks decided together")
            .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0]);
        let batch_duration = meter
            .f64_histogram("jaego_callback_batch_duration")
            .with_unit("s")
            .with_description("Time from taking a batch of callbacks to its commit");
        let waiting = meter
            .i64_up_down_counter("jaego_callbacks_waiting")
            .with_description("Callbacks in memory that are not decided yet")
            .build();
        // Shown before the first callback.
        waiting.add(0, &[]);
        Self {
            outcomes: outcomes.build(),
            waiting,
            batch_size: batch_size.build(),
            batch_duration: batch_duration.build(),
        }
    }

    /// Changes the number of callbacks in memory.
    pub(super) fn waiting(&self, change: i64) {
        self.waiting.add(change, &[]);
    }

    pub(super) fn batch_taken(&self, size: usize, duration: Duration) {
        self.batch_size.record(size as u64, &[]);
        self.batch_duration.record(duration.as_secs_f64(), &[]);
    }

    /// Counts a callback that was not taken.
    pub(crate) fn count(&self, outcome: &'static str) {
        self.outcomes.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Reports a callback that will not be booked; the log line may be the only record of it.
    pub(super) fn lost(&self, callback: &Callback) {
        self.count(outcome::LOST);
        log_for_a_person(callback, "a callback is lost: book its goods by hand");
    }

    /// Counts a callback by its answer, and logs one line if a person may have to look at it.
    pub(crate) fn note(&self, callback: &Callback, answer: &Result<Answer, Problem>) {
        self.count(match answer {
            Ok(answer) => outcome::of_answer(answer),
            Err(problem) => outcome::of_problem(problem),
        });
        if let Ok(answer) = answer {
            log_answer(callback, answer);
        }
    }
}

/// Logs a callback whose sender has received 503 while it is still retried.
pub(super) fn log_unanswered(callback: &Callback) {
    log_for_a_person(
        callback,
        "the database does not store a callback: its sender was answered 503, and it is kept in memory",
    );
}

/// Logs a callback that found no room in the queue.
pub(super) fn log_kept(callback: &Callback) {
    log_for_a_person(callback, "there is no room for a callback in the queue: it is kept in memory");
}

/// Logs all that a person needs to book the goods by hand.
fn log_for_a_person(callback: &Callback, what: &str) {
    let message = &callback.message;
    let quantity = message.claim.count.read().ok().map(Quantity::get);
    tracing::error!(
        jti = message.jti,
        request_id = %message.request_id,
        sku = message.order.sku.as_str(),
        quantity,
        ordered = message.order.quantity.get(),
        "{what}"
    );
}

fn log_answer(callback: &Callback, answer: &Answer) {
    let (jti, request_id) = (&callback.message.jti, callback.message.request_id);
    match answer {
        Answer::Received { booked, again: false } => tracing::info!(
            jti,
            %request_id,
            receipt_id = %booked.receipt_id,
            quantity = booked.quantity,
            quarantined = booked.quarantined,
            "goods received"
        ),
        Answer::Quarantined { reason, again: false } => {
            tracing::warn!(jti, %request_id, reason = reason.slug(), "delivery quarantined");
        }
        Answer::Refused => tracing::warn!(jti, %request_id, "callback refused: too many quarantined for its token"),
        Answer::SourceNotAllowed => {
            let address = callback.message.address.map(tracing::field::display);
            let factory_id = callback.message.order.factory_id.as_str();
            tracing::warn!(jti, factory_id, address, "callback refused: its source is not allowed");
        }
        Answer::Received { again: true, .. } | Answer::Quarantined { again: true, .. } => {}
    }
}

/// Values of the label `outcome`.
pub(crate) mod outcome {
    use jaego_contracts::callback::InvalidToken;

    use super::{Answer, Problem, ProblemKind};

    pub(super) const OVERLOADED: &str = "overloaded";
    pub(super) const LOST: &str = "lost";

    pub(crate) fn of_token(error: InvalidToken) -> &'static str {
        match error {
            InvalidToken::Malformed => "token-malformed",
            InvalidToken::UnknownKey => "token-unknown-key",
            InvalidToken::Forged => "token-forged",
        }
    }

    pub(crate) fn of_answer(answer: &Answer) -> &'static str {
        match answer {
            Answer::Received { again: true, .. } => "duplicate",
            Answer::Received { booked, .. } if booked.quarantined > 0 => "received-in-part",
            Answer::Received { .. } => "received",
            Answer::Quarantined { again: true, .. } => "quarantined-before",
            Answer::Quarantined { reason, .. } => reason.slug(),
            Answer::Refused => "too-many-quarantined",
            Answer::SourceNotAllowed => "source-not-allowed",
        }
    }

    pub(crate) fn of_problem(problem: &Problem) -> &'static str {
        match problem.kind() {
            ProblemKind::Overloaded => OVERLOADED,
            ProblemKind::Unavailable => "store-unavailable",
            _ => "failed",
        }
    }
}
