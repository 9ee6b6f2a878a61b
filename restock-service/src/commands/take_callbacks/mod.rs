//! Combined intake of callbacks: they wait in memory, one worker takes what is there, one transaction
//! decides and writes them all, then every sender gets its own answer.
//!
//! A legacy factory sends a burst and never sends anything again: what costs a transaction each is what
//! gets lost. There is no timer: while one batch is written the next one gathers. A callback whose
//! sender has gone is taken all the same, as its goods are there and nobody will tell of them again.

mod batch;
mod callback;
mod held;
mod metrics;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shared::problem::{Problem, ProblemKind};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::batch::{Taken, Taker};
pub(crate) use self::callback::{Answer, Callback, Message};
pub(crate) use self::metrics::{CallbackMetrics, outcome};
use super::Context;
pub(crate) use crate::domain::decision::Reason;
pub(crate) use crate::domain::delivery::{Claim, ClaimedCount, CountFault, Fault, Order};
use crate::domain::policy::Policy;
use crate::settings::Intake as IntakeSettings;
use crate::store::requests::IfHeld;

/// A callback with who waits for its answer.
struct Waiter {
    callback: Arc<Callback>,
    reply: oneshot::Sender<Result<Answer, Problem>>,
    /// Set by who comes first: the worker that takes it, or its sender's patience that ends.
    is_settled: Arc<AtomicBool>,
}

/// The way into the intake queue.
#[derive(Clone)]
pub(crate) struct Intake {
    queue: mpsc::Sender<Waiter>,
    wait_max: Duration,
}

/// The worker behind the queue; there is one per process.
pub(crate) struct IntakeWorker {
    taker: Arc<Taker>,
    queue: mpsc::Receiver<Waiter>,
    queue_max: usize,
    batch_max: usize,
    metrics: CallbackMetrics,
}

impl Intake {
    /// The queue and its worker.
    pub(crate) fn new(
        context: Context,
        policy: Policy,
        settings: &IntakeSettings,
        metrics: &CallbackMetrics,
    ) -> (Self, IntakeWorker) {
        let (sender, receiver) = mpsc::channel(settings.queue_max);
        let worker = IntakeWorker {
            taker: Arc::new(Taker { context, policy }),
            queue: receiver,
            queue_max: settings.queue_max,
            batch_max: settings.batch_max,
            metrics: metrics.clone(),
        };
        let watched = sender.downgrade();
        metrics.observe_waiting(move || {
            watched.upgrade().map_or(0, |queue| (queue.max_capacity() - queue.capacity()) as u64)
        });
        (Self { queue: sender, wait_max: Duration::from_millis(settings.wait_timeout_ms) }, worker)
    }

    /// Queues a callback and waits for its answer, which comes when that is durable. 503 when the queue
    /// is full, and when its turn does not come in time: then it was not kept.
    pub(crate) async fn take(&self, callback: &Arc<Callback>) -> Result<Answer, Problem> {
        let (reply, mut answer) = oneshot::channel();
        let is_settled = Arc::new(AtomicBool::new(false));
        let waiter = Waiter { callback: callback.clone(), reply, is_settled: is_settled.clone() };
        self.queue.try_send(waiter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        let answered = match tokio::time::timeout(self.wait_max, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if !is_settled.swap(true, Ordering::AcqRel) => {
                let detail = "The store is too slow now: the callback was not taken; send it again.";
                return Err(Problem::new(ProblemKind::Unavailable, detail));
            }
            // The worker has it: what becomes of it is bounded by the time-outs of the database, its own and, when its
            // request is held, those of the held ones before it. A factory may never ask again: it is not given up.
            Err(_) => answer.await,
        };
        answered.map_err(|_| stopped())?
    }
}

fn overloaded() -> Problem {
    Problem::new(ProblemKind::Overloaded, "Too many callbacks wait; send the same one again shortly.")
}

fn stopped() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The service is stopping; send the same callback again.")
}

impl IntakeWorker {
    /// Takes batches until `stop`, then what is still queued.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let (aside, held) = mpsc::channel(self.queue_max);
        let taking_held = held::run(self.taker.clone(), self.metrics.clone(), held);
        let taking = async move {
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
                    // The doors are closed. The work ends when it is told to.
                    return stop.cancelled().await;
                }
                waiters.retain(Waiter::settle);
                self.answer(std::mem::take(&mut waiters), &aside).await;
            }
        };
        tokio::join!(taking, taking_held);
    }

    async fn answer(&self, waiters: Vec<Waiter>, aside: &mpsc::Sender<Waiter>) {
        if waiters.is_empty() {
            return;
        }
        let begun = Instant::now();
        let callbacks: Vec<&Callback> = waiters.iter().map(|waiter| waiter.callback.as_ref()).collect();
        let answers = batch::take(&self.taker, &callbacks, IfHeld::Skip).await;
        self.metrics.batch_taken(waiters.len(), begun.elapsed());
        for (waiter, answer) in waiters.into_iter().zip(answers) {
            match answer {
                Ok(Taken::Answered(answer)) => waiter.reply(Ok(answer), &self.metrics),
                Ok(Taken::Held) => {
                    if let Err(mpsc::error::TrySendError::Full(waiter) | mpsc::error::TrySendError::Closed(waiter)) =
                        aside.try_send(waiter)
                    {
                        waiter.reply(Err(overloaded()), &self.metrics);
                    }
                }
                Err(problem) => waiter.reply(Err(problem), &self.metrics),
            }
        }
    }
}

impl Waiter {
    /// False when its sender has been told already that it was not taken.
    fn settle(&self) -> bool {
        !self.is_settled.swap(true, Ordering::AcqRel)
    }

    fn reply(self, answer: Result<Answer, Problem>, metrics: &CallbackMetrics) {
        if let Err(answer) = self.reply.send(answer) {
            // Nobody else will tell of it.
            metrics.note(&self.callback, &answer);
        }
    }
}
