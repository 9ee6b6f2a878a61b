//! Combined intake of callbacks: they wait in memory, one worker takes whatever is queued, one transaction decides
//! and writes the whole batch, then every sender gets its own answer.
//!
//! A legacy factory sends a burst and never repeats it, whatever the answers were. A callback that the store cannot
//! take now is therefore held and retried, even after its sender has received 503 or has disconnected. There is no
//! timer: while one batch is written, the next one gathers.

mod batch;
mod callback;
mod held;
mod kept;
mod metrics;
mod writes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jaego_net::patience::Backoff;
use jaego_web::problem::{Problem, ProblemKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use self::batch::{Taken, Taker};
pub(crate) use self::callback::{Answer, Callback, Message};
use self::kept::{Keeper, KeptWorker};
pub(crate) use self::metrics::{CallbackMetrics, outcome};
use super::Context;
pub(crate) use crate::domain::decision::Reason;
pub(crate) use crate::domain::delivery::{Claim, ClaimedCount, CountFault, Fault, Order};
use crate::domain::policy::Policy;
use crate::settings::Intake as IntakeSettings;

type Reply = oneshot::Sender<Result<Answer, Problem>>;

/// A callback and the channel for its answer. The callback of a waiter that is dropped without an answer is kept outside
/// the queue.
struct Waiter {
    callback: Arc<Callback>,
    reply: Option<Reply>,
    metrics: CallbackMetrics,
    keeper: Keeper,
}

/// Handle that queues callbacks.
#[derive(Clone)]
pub(crate) struct Intake {
    queue: mpsc::Sender<Waiter>,
    hold: Duration,
    metrics: CallbackMetrics,
    keeper: Keeper,
}

/// The worker behind the queue; there is one per process.
pub(crate) struct IntakeWorker {
    taker: Taker,
    queue: mpsc::Receiver<Waiter>,
    queue_max: usize,
    batch_max: usize,
    kept: KeptWorker,
}

impl Intake {
    /// Creates the queue and its worker. A sender gets its answer within `hold`.
    pub(crate) fn new(
        context: Context,
        policy: Policy,
        settings: &IntakeSettings,
        hold: Duration,
        metrics: &CallbackMetrics,
    ) -> (Self, IntakeWorker) {
        let (sender, receiver) = mpsc::channel(settings.queue_max);
        let (keeper, kept) = Keeper::new(metrics);
        let worker = IntakeWorker {
            taker: Taker { context, policy, metrics: metrics.clone() },
            queue: receiver,
            queue_max: settings.queue_max,
            batch_max: settings.batch_max,
            kept,
        };
        (Self { queue: sender, hold, metrics: metrics.clone(), keeper }, worker)
    }

    /// Queues a callback and waits for its answer, which is sent once it is durable. Errors: 503 `unavailable` if the
    /// store has not taken it in time (it is kept in memory and booked when the store is back), 503 `overloaded` if
    /// the queue had no room in that time (it is kept as well, while there is room for it).
    pub(crate) async fn take(&self, callback: &Arc<Callback>) -> Result<Answer, Problem> {
        let until = tokio::time::Instant::now() + self.hold;
        let (reply, answer) = oneshot::channel();
        self.metrics.waiting(1);
        let waiter = Waiter {
            callback: callback.clone(),
            reply: Some(reply),
            metrics: self.metrics.clone(),
            keeper: self.keeper.clone(),
        };
        match timeout_at(until, self.queue.reserve()).await {
            Ok(Ok(place)) => place.send(waiter),
            // The waiter is dropped here, which keeps its callback.
            Ok(Err(_)) => return Err(stopped()),
            Err(_) => return Err(overloaded()),
        }
        if let Ok(answered) = timeout_at(until, answer).await {
            return answered.map_err(|_| stopped())?;
        }
        metrics::log_unanswered(callback);
        Err(kept_in_memory())
    }
}

fn overloaded() -> Problem {
    Problem::new(
        ProblemKind::Overloaded,
        "Too many callbacks are waiting; send this one again shortly, with its delivery id, so that it counts once.",
    )
}

fn stopped() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The service is stopping; send the same callback again.")
}

fn kept_in_memory() -> Problem {
    let detail = "The store does not accept it now. It is kept and retried for as long as this process runs. Sent again with \
                  its delivery id it counts once; without one it may wait for an operator.";
    Problem::new(ProblemKind::Unavailable, detail)
}

impl IntakeWorker {
    /// Takes batches until `stop`, then whatever is still queued.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { taker, mut queue, queue_max, batch_max, kept } = self;
        let taker = &taker;
        let (blocked, held) = mpsc::channel(queue_max);
        let taking_held = held::run(taker, batch_max, queue_max, held);
        let taking_kept = kept.run(taker, batch_max, stop.clone());
        let taking = async move {
            let mut waiters = Vec::with_capacity(batch_max);
            loop {
                let taken = tokio::select! {
                    taken = queue.recv_many(&mut waiters, batch_max) => taken,
                    () = stop.cancelled(), if !queue.is_closed() => {
                        queue.close();
                        continue;
                    }
                };
                if taken == 0 {
                    // The queue is closed and empty, but the task must not end before `stop`.
                    return stop.cancelled().await;
                }
                answer(taker, std::mem::take(&mut waiters), &blocked).await;
            }
        };
        tokio::join!(taking, taking_held, taking_kept);
    }
}

/// Retries until each callback has its answer or was moved to the held ones.
async fn answer(taker: &Taker, mut waiters: Vec<Waiter>, blocked: &mpsc::Sender<Waiter>) {
    let mut backoff = Backoff::default();
    loop {
        let (held, later) = attempt(taker, waiters).await;
        for waiter in held {
            // It must not wait here: the callbacks of one held request would then delay all others.
            if let Err(error) = blocked.try_send(waiter) {
                error.into_inner().keep();
            }
        }
        waiters = later;
        if waiters.is_empty() {
            return;
        }
        backoff.wait().await;
    }
}

/// Answers what the store takes. Returns the callbacks whose requests are held, and those that it does not take now.
async fn attempt(taker: &Taker, waiters: Vec<Waiter>) -> (Vec<Waiter>, Vec<Waiter>) {
    taker.wait_for_room().await;
    let begun = Instant::now();
    let callbacks: Vec<&Callback> = waiters.iter().map(|waiter| waiter.callback.as_ref()).collect();
    let taken = batch::take(taker, &callbacks).await;
    taker.metrics.batch_taken(waiters.len(), begun.elapsed());
    let (mut held, mut later) = (Vec::new(), Vec::new());
    for (waiter, taken) in waiters.into_iter().zip(taken) {
        match taken {
            Taken::Answered(answer) => waiter.reply(Ok(answer)),
            Taken::Failed(problem) => waiter.reply(Err(problem)),
            Taken::Held => held.push(waiter),
            Taken::NotNow => later.push(waiter),
        }
    }
    (held, later)
}

impl Waiter {
    /// Leaves the callback to the keeper, while its sender still waits.
    fn keep(mut self) {
        if let Some(reply) = self.reply.take() {
            self.keeper.keep(&self.callback, Some(reply));
        }
    }

    fn reply(mut self, answer: Result<Answer, Problem>) {
        let Some(reply) = self.reply.take() else { return };
        if answer.is_err() {
            self.keeper.record_loss(&self.callback);
        }
        if let Err(answer) = reply.send(answer) {
            // The sender is gone, so nothing else reports the answer.
            self.metrics.note(&self.callback, &answer);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.reply.is_some() {
            self.keeper.keep(&self.callback, None);
        }
        self.metrics.waiting(-1);
    }
}
