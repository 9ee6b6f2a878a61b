//! Combined recording: ends of calls wait in memory, one worker takes what is there, one transaction writes
//! them all, then everyone who waits is told.
//!
//! There is no timer: while one batch is written the next one gathers. What a batch cannot record is handed
//! back to who waits for it, who has the time to try again, or to record it apart.

use tokio::sync::{mpsc, oneshot};

use super::record_attempts::{Ended, Locked, record};
use super::{Context, first_of_each};

/// Most ends in one transaction.
const BATCH: usize = 256;

/// The way to the worker.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Waiter>,
}

/// Records until nobody can hand it anything any more, and then what is still queued.
pub struct RecorderWorker {
    context: Context,
    queue: mpsc::Receiver<Waiter>,
}

/// Why a batch did not record an end.
#[derive(Debug)]
pub enum Unrecorded {
    /// The store is away: later.
    Unavailable(String),
    /// Somebody else has locked its request, or the batch failed, perhaps because of another end.
    Apart,
}

/// An end with who waits for its record.
struct Waiter {
    ended: Box<Ended>,
    reply: oneshot::Sender<Result<(), HandedBack>>,
}

type HandedBack = (Box<Ended>, Unrecorded);

impl Recorder {
    /// The queue, which has room for `room` ends, and its worker.
    pub fn new(context: Context, room: usize) -> (Self, RecorderWorker) {
        let (sender, receiver) = mpsc::channel(room.max(1));
        (Self { queue: sender }, RecorderWorker { context, queue: receiver })
    }

    /// Queues an end and waits until it is recorded; hands it back when it is not. None: the worker has gone
    /// with it.
    pub async fn record(&self, ended: Box<Ended>) -> Option<Result<(), HandedBack>> {
        let (reply, recorded) = oneshot::channel();
        match self.queue.send(Waiter { ended, reply }).await {
            Ok(()) => recorded.await.ok(),
            Err(mpsc::error::SendError(Waiter { ended, .. })) => Some(Err((ended, Unrecorded::Apart))),
        }
    }
}

impl RecorderWorker {
    /// Works until every [`Recorder`] is gone.
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
            // What is recorded is no longer in hand from here on.
            replies.push((reply, result.map_err(|why| (ended, why))));
        }
        // Places are free now: who looks for work next sees all of them.
        self.context.committed();
        for (reply, result) in replies {
            // Who waited may have been stopped; what is recorded is recorded.
            drop(reply.send(result));
        }
    }
}
