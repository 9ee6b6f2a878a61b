//! Callbacks outside the queue. One that found no room there, or whose held request has too many, is decided like any
//! other when the store takes it; one that the store refuses for good is entered into the quarantine as lost.

use std::time::Duration;

use jaego_web::problem::Problem;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Taken, Taker};
use super::{Answer, Callback, CallbackMetrics, Reply, metrics, overloaded};

/// Maximum callbacks kept in memory, with bodies of at most [`super::callback::KEPT_BODY_MAX`] bytes; any more are only
/// logged.
const KEPT_MAX: usize = 10_000;
/// Interval between attempts with what is waiting.
const TRY_EVERY: Duration = Duration::from_secs(2);

struct Kept {
    callback: Callback,
    /// None if its sender has been answered.
    reply: Option<Reply>,
}

/// Keeps callbacks for the [`KeptWorker`].
#[derive(Clone)]
pub(super) struct Keeper {
    kept: mpsc::Sender<Kept>,
    metrics: CallbackMetrics,
}

/// Takes kept callbacks until the store has all of them.
pub(super) struct KeptWorker {
    kept: mpsc::Receiver<Kept>,
    metrics: CallbackMetrics,
}

impl Keeper {
    pub(super) fn new(metrics: &CallbackMetrics) -> (Self, KeptWorker) {
        let (sender, receiver) = mpsc::channel(KEPT_MAX);
        (Self { kept: sender, metrics: metrics.clone() }, KeptWorker { kept: receiver, metrics: metrics.clone() })
    }

    /// Keeps a callback that found no room elsewhere. `reply` is missing if its sender has been answered.
    pub(super) fn keep(&self, callback: &Callback, reply: Option<Reply>) {
        let is_answered = reply.is_none();
        if let Err(kept) = self.push(callback.trimmed(), reply) {
            self.metrics.lost(callback);
            kept.answer(&self.metrics, Err(overloaded()));
        } else if is_answered {
            metrics::log_kept(callback);
        }
    }

    /// Keeps the record of a callback that the store refuses for good.
    pub(super) fn record_loss(&self, callback: &Callback) {
        self.metrics.lost(callback);
        drop(self.push(callback.lost(), None));
    }

    /// Without room, or while the process stops, the log line is the only record.
    fn push(&self, callback: Callback, reply: Option<Reply>) -> Result<(), Box<Kept>> {
        self.kept.try_send(Kept { callback, reply }).map_err(|error| Box::new(error.into_inner()))?;
        self.metrics.waiting(1);
        Ok(())
    }
}

impl Kept {
    /// Answers the sender, or counts the answer if nobody waits for it.
    fn answer(self, metrics: &CallbackMetrics, answer: Result<Answer, Problem>) {
        let unsent = match self.reply {
            Some(reply) => reply.send(answer).err(),
            None => answer.ok().map(Ok),
        };
        if let Some(answer) = unsent {
            metrics.note(&self.callback, &answer);
        }
    }
}

impl KeptWorker {
    /// Takes what is kept until `stop`, then makes one last attempt with what is left. Callbacks whose requests are held
    /// do not keep others waiting.
    pub(super) async fn run(mut self, taker: &Taker, batch_max: usize, stop: CancellationToken) {
        let mut waiting = Vec::new();
        let mut clock = tokio::time::interval(TRY_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Arrivals only gather: with a try for each of them, an outage would cost the more the more it had kept.
            let is_last = tokio::select! {
                biased;
                taken = self.kept.recv_many(&mut waiting, batch_max), if waiting.len() < KEPT_MAX => {
                    if taken > 0 {
                        continue;
                    }
                    true
                }
                () = stop.cancelled(), if !self.kept.is_closed() => {
                    self.kept.close();
                    continue;
                }
                _ = clock.tick(), if !waiting.is_empty() => self.kept.is_closed(),
            };
            let mut left = Vec::new();
            while !waiting.is_empty() {
                let batch: Vec<_> = waiting.drain(..waiting.len().min(batch_max)).collect();
                left.extend(self.take(taker, batch).await);
            }
            waiting = left;
            if is_last {
                // The others were logged when they were lost.
                let left =
                    waiting.iter().map(|kept: &Kept| &kept.callback).filter(|callback| !callback.delivery.is_lost);
                left.for_each(|callback| self.metrics.lost(callback));
                return;
            }
        }
    }

    /// Returns those that the store may still take later.
    async fn take(&self, taker: &Taker, batch: Vec<Kept>) -> Vec<Kept> {
        // Each receipt adds an event.
        if taker.context.outbox.admit().is_err() {
            return batch;
        }
        let callbacks: Vec<&Callback> = batch.iter().map(|kept| &kept.callback).collect();
        let taken = batch::take(taker, &callbacks).await;
        let mut left = Vec::new();
        for (kept, taken) in batch.into_iter().zip(taken) {
            match taken {
                Taken::Held | Taken::NotNow => left.push(kept),
                // A lost one was logged and counted when it was lost.
                _ if kept.callback.delivery.is_lost => self.metrics.waiting(-1),
                Taken::Answered(answer) => {
                    kept.answer(&self.metrics, Ok(answer));
                    self.metrics.waiting(-1);
                }
                Taken::Failed(problem) => {
                    self.metrics.lost(&kept.callback);
                    left.push(Kept { callback: kept.callback.lost(), reply: None });
                    kept.answer(&self.metrics, Err(problem));
                }
            }
        }
        left
    }
}
