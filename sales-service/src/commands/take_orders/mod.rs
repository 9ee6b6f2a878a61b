//! Combined intake: requests wait in memory, one worker takes what is there, one transaction
//! decides and writes them all, then every request gets its own answer.
//!
//! One hot product is one locked row: taking its orders together costs one lock and one commit
//! instead of hundreds. There is no timer: while one batch is written the next one gathers.

mod batch;
mod known;
mod repeats;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use shared::idempotency::{KeptAnswer, KeyUse};
use shared::ids::{RequestId, Sku};
use shared::problem::{Problem, ProblemKind};
use shared::trace::TraceContext;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Answered, Context};
pub use crate::domain::intake::{DecidedLine, DecidedOrder, NewOrder};
pub use crate::domain::order::OrderStatus;
pub use crate::domain::policy::Shortage;
use crate::settings::Intake as IntakeSettings;
use crate::store::shelves::Expected;

/// One shopper's order.
#[derive(Debug, Clone)]
pub struct OrderRequest {
    /// What is ordered.
    pub order: NewOrder,
    /// Whose it is, in the shop's words.
    pub customer: Option<String>,
    /// The request's Idempotency-Key.
    pub key: Option<KeyUse>,
    /// The request's trace.
    pub trace: TraceContext,
}

impl OrderRequest {
    /// What is ordered, without how many.
    fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.order.lines.iter().map(|(sku, _)| sku)
    }

    /// Digest of the body, for a request with a key.
    fn fingerprint(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|used| used.fingerprint.as_slice())
    }
}

/// What an answer is made of.
pub struct Decided<'a> {
    /// The request.
    pub request: &'a OrderRequest,
    /// What became of it.
    pub order: &'a DecidedOrder,
    /// Per line: when more of its product is expected.
    pub restock_etas: Vec<Option<DateTime<Utc>>>,
    /// When it was decided.
    pub at: DateTime<Utc>,
}

/// Writes the answer to a decided order; given by the HTTP edge, as it is kept with the order.
pub type Render = Arc<dyn Fn(&Decided<'_>) -> KeptAnswer + Send + Sync>;

/// A request with who waits for its answer.
struct Waiter {
    request: OrderRequest,
    reply: oneshot::Sender<Result<Answered, Problem>>,
    queued_at: Instant,
}

/// The way into the intake queue.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<Waiter>,
}

/// The worker behind the queue; there is one per process.
pub struct IntakeWorker {
    context: Context,
    render: Render,
    queue: mpsc::Receiver<Waiter>,
    batch_max: usize,
    wait_max: Duration,
    memory: batch::Memory,
    metrics: Metrics,
}

struct Metrics {
    batch_size: Histogram<u64>,
    batch_duration: Histogram<f64>,
    decided: Counter<u64>,
    dropped: Counter<u64>,
}

impl Intake {
    /// The queue and its worker.
    pub fn new(context: Context, settings: &IntakeSettings, render: Render) -> (Self, IntakeWorker) {
        let meter = opentelemetry::global::meter("jaego");
        let metrics = Metrics {
            batch_size: meter
                .u64_histogram("jaego_intake_batch_size")
                .with_description("Orders decided together")
                .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0])
                .build(),
            batch_duration: meter
                .f64_histogram("jaego_intake_batch_duration")
                .with_unit("s")
                .with_description("From taking a batch to its commit")
                .build(),
            decided: meter.u64_counter("jaego_orders_decided").with_description("Orders by status").build(),
            dropped: meter
                .u64_counter("jaego_intake_dropped")
                .with_description(
                    "Orders that waited for nothing: gone (their client has), late (they waited too long)",
                )
                .build(),
        };
        let (sender, receiver) = mpsc::channel(settings.queue_max);
        let (batch_max, memory) = (settings.batch_max, batch::Memory::new());
        let wait_max = Duration::from_millis(settings.wait_max_ms);
        let worker = IntakeWorker { context, render, queue: receiver, batch_max, wait_max, memory, metrics };
        (Self { queue: sender }, worker)
    }

    /// Refuses a request before it costs anything, while the queue is full.
    pub fn admit(&self) -> Result<(), Problem> {
        if self.queue.capacity() > 0 || self.queue.is_closed() { Ok(()) } else { Err(overloaded()) }
    }

    /// Queues a request and waits for its answer. 503 `overloaded` when the queue is full, or the request
    /// waited there for too long: nothing came of it then.
    pub async fn take(&self, request: OrderRequest) -> Result<Answered, Problem> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Waiter { request, reply, queued_at: Instant::now() }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.map_err(|_| stopped())?
    }
}

fn overloaded() -> Problem {
    Problem::new(ProblemKind::Overloaded, "Too many orders wait; send the same request again shortly.")
}

fn stopped() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The service is stopping; send the same request again.")
}

impl IntakeWorker {
    /// Takes batches until `stop`, then what is still queued.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waiters = Vec::with_capacity(self.batch_max);
        loop {
            let taken = tokio::select! {
                taken = self.queue.recv_many(&mut waiters, self.batch_max) => taken,
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            if taken == 0 {
                // The doors are closed, nobody can order any more. The work ends when it is told to.
                return stop.cancelled().await;
            }
            let waiting = self.still_waiting(&mut waiters);
            self.answer(waiting).await;
        }
    }

    /// Who has gone away before the decision has not ordered; who has waited for too long is told so. Neither
    /// costs a row: that is what lets a surge pass.
    fn still_waiting(&self, waiters: &mut Vec<Waiter>) -> Vec<Waiter> {
        let drop_one = |reason: &'static str| self.metrics.dropped.add(1, &[KeyValue::new("reason", reason)]);
        let mut waiting = Vec::with_capacity(waiters.len());
        for waiter in waiters.drain(..) {
            if waiter.reply.is_closed() {
                drop_one("gone");
            } else if waiter.queued_at.elapsed() > self.wait_max {
                drop_one("late");
                drop(waiter.reply.send(Err(overloaded())));
            } else {
                waiting.push(waiter);
            }
        }
        waiting
    }

    async fn answer(&mut self, waiters: Vec<Waiter>) {
        if waiters.is_empty() {
            return;
        }
        let begun = Instant::now();
        let (requests, replies): (Vec<_>, Vec<_>) =
            waiters.into_iter().map(|waiter| (waiter.request, waiter.reply)).unzip();
        let answers =
            batch::take(&self.context, &self.render, &requests, &mut RequestId::generate, &mut self.memory).await;
        self.metrics.batch_size.record(requests.len() as u64, &[]);
        self.metrics.batch_duration.record(begun.elapsed().as_secs_f64(), &[]);
        for (reply, answer) in replies.into_iter().zip(answers) {
            if let Ok(answer) = &answer
                && !answer.is_replay
            {
                let status = KeyValue::new("status", i64::from(answer.answer.status));
                self.metrics.decided.add(1, &[status]);
            }
            // A client that has gone can ask again with its key.
            drop(reply.send(answer));
        }
    }
}

/// When more is expected: what is under way already, else what was just ordered.
fn restock_eta(expected: Option<&Expected>, is_ordered_now: bool, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let expected = expected?;
    let ordered_now = || crate::store::replenishments::restock_eta(now, expected.lead_time_s?, now);
    expected.restock_eta.or_else(|| if is_ordered_now { ordered_now() } else { None })
}
