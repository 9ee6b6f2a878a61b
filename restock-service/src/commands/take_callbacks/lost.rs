//! Callbacks that will not be booked: logged at once, and entered into the quarantine when the store is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Taken, Taker};
use super::{Callback, CallbackMetrics};
use crate::store::requests::IfHeld;

/// Maximum lost callbacks kept in memory, with bodies of at most [`super::callback::LOST_BODY_MAX`] bytes; any more are only
/// logged.
const RECORDS_MAX: usize = 10_000;
/// Interval between attempts to write what is waiting.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Logs losses and queues them for the [`Recorder`].
#[derive(Clone)]
pub(super) struct Losses {
    records: mpsc::Sender<Callback>,
    metrics: CallbackMetrics,
}

/// Writes the quarantine entries of lost callbacks.
pub(super) struct Recorder {
    records: mpsc::Receiver<Callback>,
}

impl Losses {
    pub(super) fn new(metrics: &CallbackMetrics) -> (Self, Recorder) {
        let (sender, receiver) = mpsc::channel(RECORDS_MAX);
        (Self { records: sender, metrics: metrics.clone() }, Recorder { records: receiver })
    }

    pub(super) fn report(&self, callback: &Callback) {
        self.metrics.lost(callback);
        // Without room, or while the process stops, the log line is the only record.
        let _ = self.records.try_send(callback.lost());
    }
}

impl Recorder {
    /// Writes entries until `stop`, then makes one last attempt for those that are left. Callbacks whose requests are held
    /// do not keep others waiting.
    pub(super) async fn run(mut self, taker: Arc<Taker>, batch_max: usize, stop: CancellationToken) {
        let mut records = Vec::new();
        let mut clock = tokio::time::interval(TRY_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Arrivals only gather: with a try for each of them, an outage would cost the more the more it had lost.
            let is_last = tokio::select! {
                biased;
                taken = self.records.recv_many(&mut records, batch_max), if records.len() < RECORDS_MAX => {
                    if taken > 0 {
                        continue;
                    }
                    true
                }
                () = stop.cancelled(), if !self.records.is_closed() => {
                    self.records.close();
                    continue;
                }
                _ = clock.tick(), if !records.is_empty() => self.records.is_closed(),
            };
            let mut left = Vec::new();
            while !records.is_empty() {
                let batch = records.drain(..records.len().min(batch_max)).collect();
                left.extend(not_taken(&taker, batch).await);
            }
            records = left;
            if is_last {
                return;
            }
        }
    }
}

/// Records that the store may still take later. Those that it will never take are dropped; all of them were logged.
async fn not_taken(taker: &Taker, records: Vec<Callback>) -> Vec<Callback> {
    let callbacks: Vec<&Callback> = records.iter().collect();
    let taken = batch::take(taker, &callbacks, IfHeld::Skip).await;
    let is_left = |taken: &Taken| matches!(taken, Taken::Held | Taken::NotNow);
    records.into_iter().zip(taken).filter(|(_, taken)| is_left(taken)).map(|(record, _)| record).collect()
}
