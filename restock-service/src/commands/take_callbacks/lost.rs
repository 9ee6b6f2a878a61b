//! Callbacks that will not be booked: one line in the log now, and an entry in the quarantine when the store is back.

use std::sync::Arc;

use jaego_net::patience::Backoff;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Taken, Taker};
use super::{Callback, CallbackMetrics};
use crate::store::requests::IfHeld;

/// Lost callbacks that are kept without their bodies, a few hundred bytes each; of more there is only the log.
const RECORDS_MAX: usize = 10_000;

/// Reports losses.
#[derive(Clone)]
pub(super) struct Losses {
    records: mpsc::Sender<Callback>,
    metrics: CallbackMetrics,
}

/// Writes the entries.
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
        // Without room, or while the process ends, the line in the log is all there is.
        let _ = self.records.try_send(callback.lost());
    }
}

impl Recorder {
    /// Writes entries until `stop`, then what is still there if the store takes it at once.
    pub(super) async fn run(mut self, taker: Arc<Taker>, batch_max: usize, stop: CancellationToken) {
        let mut records = Vec::new();
        loop {
            tokio::select! {
                _ = self.records.recv_many(&mut records, batch_max) => {}
                () = stop.cancelled() => self.records.close(),
            }
            if self.records.is_closed() && records.is_empty() && self.records.is_empty() {
                return;
            }
            let mut backoff = Backoff::default();
            loop {
                records = not_taken(&taker, records).await;
                if records.is_empty() {
                    break;
                }
                if stop.is_cancelled() {
                    return;
                }
                backoff.wait().await;
            }
        }
    }
}

/// What the store may still take later. What it never takes was logged, as all of these were.
async fn not_taken(taker: &Taker, records: Vec<Callback>) -> Vec<Callback> {
    let callbacks: Vec<&Callback> = records.iter().collect();
    let taken = batch::take(taker, &callbacks, IfHeld::Skip).await;
    let is_left = |taken: &Taken| matches!(taken, Taken::Held | Taken::NotNow);
    records.into_iter().zip(taken).filter(|(_, taken)| is_left(taken)).map(|(record, _)| record).collect()
}
