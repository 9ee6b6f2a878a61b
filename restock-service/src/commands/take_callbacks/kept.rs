//! Callbacks outside the queue. One that found no room there is decided like any other when the store takes it; one
//! that the store refuses for good is entered into the quarantine as lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Taken, Taker};
use super::{Callback, CallbackMetrics, metrics};
use crate::store::requests::IfHeld;

/// Maximum callbacks kept in memory, with bodies of at most [`super::callback::KEPT_BODY_MAX`] bytes; any more are only
/// logged.
const KEPT_MAX: usize = 10_000;
/// Interval between attempts with what is waiting.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Keeps callbacks for the [`KeptWorker`].
#[derive(Clone)]
pub(super) struct Keeper {
    kept: mpsc::Sender<Callback>,
    metrics: CallbackMetrics,
}

/// Takes kept callbacks until the store has all of them.
pub(super) struct KeptWorker {
    kept: mpsc::Receiver<Callback>,
    metrics: CallbackMetrics,
}

impl Keeper {
    pub(super) fn new(metrics: &CallbackMetrics) -> (Self, KeptWorker) {
        let (sender, receiver) = mpsc::channel(KEPT_MAX);
        (Self { kept: sender, metrics: metrics.clone() }, KeptWorker { kept: receiver, metrics: metrics.clone() })
    }

    /// Keeps a callback that found no room in the queue.
    pub(super) fn keep(&self, callback: &Callback) {
        if self.push(callback.trimmed()) {
            metrics::log_kept(callback);
        } else {
            self.metrics.lost(callback);
        }
    }

    /// Keeps the record of a callback that the store refuses for good.
    pub(super) fn record_loss(&self, callback: &Callback) {
        self.metrics.lost(callback);
        self.push(callback.lost());
    }

    /// Without room, or while the process stops, the log line is the only record.
    fn push(&self, callback: Callback) -> bool {
        let is_kept = self.kept.try_send(callback).is_ok();
        self.metrics.waiting(i64::from(is_kept));
        is_kept
    }
}

impl KeptWorker {
    /// Takes what is kept until `stop`, then makes one last attempt with what is left. Callbacks whose requests are held
    /// do not keep others waiting.
    pub(super) async fn run(mut self, taker: Arc<Taker>, batch_max: usize, stop: CancellationToken) {
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
                left.extend(self.take(&taker, batch).await);
            }
            waiting = left;
            if is_last {
                // The others were logged when they were lost.
                waiting.iter().filter(|callback| !callback.delivery.is_lost).for_each(|kept| self.metrics.lost(kept));
                return;
            }
        }
    }

    /// Returns those that the store may still take later.
    async fn take(&self, taker: &Taker, callbacks: Vec<Callback>) -> Vec<Callback> {
        // Each receipt adds an event.
        if taker.context.outbox.admit().is_err() {
            return callbacks;
        }
        let taken = batch::take(taker, &callbacks.iter().collect::<Vec<_>>(), IfHeld::Skip).await;
        let mut left = Vec::new();
        for (callback, taken) in callbacks.into_iter().zip(taken) {
            match taken {
                Taken::Held | Taken::NotNow => left.push(callback),
                // A lost one was logged and counted when it was lost.
                _ if callback.delivery.is_lost => self.metrics.waiting(-1),
                Taken::Answered(answer) => {
                    self.metrics.note(&callback, &Ok(answer));
                    self.metrics.waiting(-1);
                }
                Taken::Failed(_) => {
                    self.metrics.lost(&callback);
                    left.push(callback.lost());
                }
            }
        }
        left
    }
}
