//! Queues of waiting orders. There is one main queue, and a separate lane for each product whose row is locked by
//! another transaction, so that no other order waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use jaego_contracts::ids::Sku;
use jaego_web::problem::Problem;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::{OrderRequest, overloaded};
use crate::commands::Answered;
use crate::domain::intake::DecidedOrder;

pub(super) type Reply = Result<Taken, Problem>;

/// The result of an order that was taken. A confirmed order is rendered by the task that waits for it: the worker is
/// one task, and would render while it holds the rows of a batch.
#[derive(Debug, Clone)]
pub(super) enum Taken {
    Confirmed { order: DecidedOrder, at: DateTime<Utc>, is_replay: bool },
    Rendered(Answered),
}

impl Taken {
    /// The answer to a request that repeats the key of this one.
    pub(super) fn repeated(self) -> Self {
        match self {
            Self::Confirmed { order, at, .. } => Self::Confirmed { order, at, is_replay: true },
            Self::Rendered(answered) => Self::Rendered(Answered { is_replay: true, ..answered }),
        }
    }

    /// HTTP status of an order that was decided now; None for a replay.
    pub(super) fn decided_status(&self) -> Option<u16> {
        match self {
            Self::Confirmed { is_replay: false, .. } => Some(201),
            Self::Rendered(Answered { answer, is_replay: false }) => Some(answer.status),
            Self::Confirmed { .. } | Self::Rendered(_) => None,
        }
    }
}

/// State of an order, shared with the handler that waits for its answer. A handler that gives up learns from it
/// whether the order may have been written.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    const WAITING: u8 = 0;
    const STARTED: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Marks the order as possibly written. Returns false if it was given up before.
    fn start(&self) -> bool {
        self.0.compare_exchange(Self::WAITING, Self::STARTED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Marks the order as not written and waiting again.
    fn wait_again(&self) {
        self.0.store(Self::WAITING, Ordering::SeqCst);
    }

    /// Gives up the order. Returns false if it may have been written.
    pub(super) fn give_up(&self) -> bool {
        self.0.compare_exchange(Self::WAITING, Self::GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A queued request, and where to send its answer.
pub(super) struct Waiter {
    pub(super) request: Arc<OrderRequest>,
    pub(super) reply: oneshot::Sender<Reply>,
    pub(super) progress: Progress,
    /// The order is answered by this time.
    pub(super) deadline: Instant,
    /// Its place in the bounded queue, held until it is answered.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Waiter {
    /// Marks the order as possibly written. An error if no one waits for it any more; it has then cost no database
    /// work, which lets the service survive a surge.
    pub(super) fn start(self) -> Result<Self, &'static str> {
        if self.reply.is_closed() {
            return Err("gone");
        }
        if Instant::now() >= self.deadline || !self.progress.start() {
            self.answer(Err(overloaded()));
            return Err("late");
        }
        Ok(self)
    }

    /// Returns true if no one waits for the answer any more.
    pub(super) fn is_late(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }

    /// The order was certainly not written and is queued again.
    pub(super) fn wait_again(&self) {
        self.progress.wait_again();
    }

    pub(super) fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.request.skus()
    }

    pub(super) fn answer(self, answer: Reply) {
        // A client that has disconnected can repeat the request with its key.
        drop(self.reply.send(answer));
    }
}

/// The queue of an order: None for the main queue, or the locked product of a lane.
pub(super) type Lane<'a> = Option<&'a Sku>;

/// All queues of a process.
pub(super) struct Queues {
    main: VecDeque<Waiter>,
    lanes: BTreeMap<Sku, VecDeque<Waiter>>,
    lane_max: usize,
    is_closed: bool,
}

impl Queues {
    pub(super) fn new(lane_max: usize) -> Self {
        Self { main: VecDeque::new(), lanes: BTreeMap::new(), lane_max, is_closed: false }
    }

    /// Refuses all further orders.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Appends an order to its queue; if that is a full lane, answers it at once.
    pub(super) fn push(&mut self, waiter: Waiter) {
        let held = waiter.skus().find(|sku| self.lanes.contains_key(*sku)).cloned();
        match held.and_then(|sku| self.lanes.get_mut(&sku)) {
            None => self.main.push_back(waiter),
            Some(lane) if lane.len() < self.lane_max => lane.push_back(waiter),
            Some(_) => waiter.answer(Err(overloaded())),
        }
    }

    /// Puts orders back at the front of their queues.
    pub(super) fn push_back_first(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters.into_iter().rev() {
            let held = waiter.skus().find(|sku| self.lanes.contains_key(*sku)).cloned();
            held.and_then(|sku| self.lanes.get_mut(&sku)).unwrap_or(&mut self.main).push_front(waiter);
        }
    }

    /// Takes up to `most` orders from the front of a queue.
    pub(super) fn take(&mut self, lane: Lane<'_>, most: usize) -> Vec<Waiter> {
        let Some(queue) = self.queue(lane) else { return Vec::new() };
        queue.drain(..most.min(queue.len())).collect()
    }

    /// Like [`Self::take`], but stops at the first order of any other product.
    pub(super) fn take_of(&mut self, lane: Lane<'_>, skus: &BTreeSet<Sku>, most: usize) -> Vec<Waiter> {
        let Some(queue) = self.queue(lane) else { return Vec::new() };
        let fits = |waiter: &&Waiter| waiter.skus().all(|sku| skus.contains(sku));
        let count = queue.iter().take(most).take_while(fits).count();
        queue.drain(..count).collect()
    }

    fn queue(&mut self, lane: Lane<'_>) -> Option<&mut VecDeque<Waiter>> {
        match lane {
            None => Some(&mut self.main),
            Some(sku) => self.lanes.get_mut(sku),
        }
    }

    /// Opens lanes for these products and moves their orders there from the main queue. Returns the products whose
    /// lanes are new.
    pub(super) fn open(&mut self, held: BTreeSet<Sku>) -> Vec<Sku> {
        let new: Vec<Sku> = held.into_iter().filter(|sku| !self.lanes.contains_key(sku)).collect();
        self.lanes.extend(new.iter().map(|sku| (sku.clone(), VecDeque::new())));
        for waiter in std::mem::take(&mut self.main) {
            self.push(waiter);
        }
        new
    }

    /// Answers the expired orders of a lane, which frees their places in the queue. Returns their number.
    pub(super) fn drop_late(&mut self, sku: &Sku) -> u64 {
        let Some(lane) = self.lanes.get_mut(sku) else { return 0 };
        let (late, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(lane).into_iter().partition(Waiter::is_late);
        *lane = waiting;
        let count = late.len() as u64;
        for waiter in late {
            waiter.answer(Err(overloaded()));
        }
        count
    }

    /// Closes a lane if it is empty. Returns whether it was.
    pub(super) fn close_lane(&mut self, sku: &Sku) -> bool {
        let is_empty = self.lanes.get(sku).is_none_or(VecDeque::is_empty);
        if is_empty {
            self.lanes.remove(sku);
        }
        is_empty
    }

    /// Number of locked products.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }
}
