//! Combines recording: results of calls queue in memory, one worker takes all that are there, one transaction writes
//! them, then every waiting task is notified.
//!
//! There is no timer: while one batch is written, the next one accumulates. A result that a batch cannot record is
//! handed back to its waiting task, which has the time to retry, or to record it separately.

use tokio::sync::{mpsc, oneshot};

use super::record_attempts::{Ended, Locked, record};
use super::{Context, first_of_each};

/// Maximum results per transaction.
const BATCH: usize = 256;

/// Handle of the worker.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Waiter>,
}

/// Runs until every handle is dropped, and then records the rest of the queue.
pub struct RecorderWorker {
    context: Context,
    queue: mpsc::Receiver<Waiter>,
}

/// Reason why a batch did not record a result.
#[derive(Debug)]
pub enum Unrecorded {
    /// The store is unavailable; retry later.
    Unavailable(String),
    /// Another transaction has locked the request, or the batch failed, perhaps because of another result.
    Apart,
}

/// A result and the task that waits for it to be recorded.
struct Waiter {
    ended: Box<Ended>,
    reply: oneshot::Sender<Result<(), HandedBack>>,
}

type HandedBack = (Box<Ended>, Unrecorded);

impl Recorder {
    /// The queue, with a capacity of `room` results, and its worker.
    pub fn new(context: Context, room: usize) -> (Self, RecorderWorker) {
        let (sender, receiver) = mpsc::channel(room.max(1));
        (Self { queue: sender }, RecorderWorker { context, queue: receiver })
    }

    /// Queues a result and waits until it is recorded; hands it back if it is not. None: the worker has failed, and
    /// the result is lost with it.
    pub async fn record(&self, ended: Box<Ended>) -> Option<Result<(), HandedBack>> {
        let (reply, recorded) = oneshot::channel();
        match self.queue.send(Waiter { ended, reply }).await {
            Ok(()) => recorded.await.ok(),
            Err(mpsc::error::SendError(Waiter { ended, .. })) => Some(Err((ended, Unrecorded::Apart))),
        }
    }
}

impl RecorderWorker {
    /// Runs until every [`Recorder`] is dropped.
    pub async fn run(mut self) {
        let mut waiters = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut waiters, BATCH).await > 0 {
            while !waiters.is_empty() {
                let (batch, later) =
                    first_of_each(std::mem::take(&mut waiters), |waiter| waiter.ended.call.request_id());
                waiters = later;
                self.record(batch).await;
            }
        }
    }

    async fn record(&self, batch: Vec<Waiter>) {
        let ends: Vec<&Ended> = batch.iter().map(|waiter| &*waiter.ended).collect();
        let recorded = record(&self.context, &ends, Locked::LeftOut).await;
        let results: Vec<Result<(), Unrecorded>> = match &recorded {
            Ok(recorded) => recorded.iter().map(|done| if *done { Ok(()) } else { Err(Unrecorded::Apart) }).collect(),
            Err(error) if error.is_unavailable() => {
                batch.iter().map(|_| Err(Unrecorded::Unavailable(error.to_string()))).collect()
            }
            Err(_) => batch.iter().map(|_| Err(Unrecorded::Apart)).collect(),
        };
        let mut replies = Vec::with_capacity(batch.len());
        for (Waiter { ended, reply }, result) in batch.into_iter().zip(results) {
            // A recorded result is dropped here, and its call is no longer in flight.
            replies.push((reply, result.map_err(|why| (ended, why))));
        }
        // Places are free now; the next look for work sees all of them.
        self.context.wake_after_commit();
        for (reply, result) in replies {
            // The waiting task may have been stopped; the result stays recorded.
            drop(reply.send(result));
        }
    }
}
