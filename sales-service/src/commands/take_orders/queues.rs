//! Orders that wait. All wait in one queue, except those of products whose rows something else holds: these have a
//! lane each, so that nobody waits for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use jaego_contracts::ids::Sku;
use jaego_web::problem::Problem;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::{OrderRequest, overloaded};
use crate::commands::Answered;

/// The answer to an order.
pub(super) type Answer = Result<Answered, Problem>;

/// How far an order is. Whoever gives up waiting for its answer says by this what may have come of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    const WAITING: u8 = 0;
    const STARTED: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// It may be written from now on; false when it was given up before.
    fn start(&self) -> bool {
        self.0.compare_exchange(Self::WAITING, Self::STARTED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// It was certainly not written, and waits again.
    fn wait_again(&self) {
        self.0.store(Self::WAITING, Ordering::SeqCst);
    }

    /// Nobody waits for it any more; false when it may have been written.
    pub(super) fn give_up(&self) -> bool {
        self.0.compare_exchange(Self::WAITING, Self::GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A request with who waits for its answer.
pub(super) struct Waiter {
    pub(super) request: OrderRequest,
    pub(super) reply: oneshot::Sender<Answer>,
    pub(super) progress: Progress,
    /// It is answered until then.
    pub(super) deadline: Instant,
    /// Its place among all that wait, until it is answered.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Waiter {
    /// It may be written from now on. None when nobody waits for it any more: it has cost no row then, which is what
    /// lets a surge pass.
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

    /// Whether nobody waits for its answer any more.
    pub(super) fn is_late(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }

    /// It was certainly not written, and waits again.
    pub(super) fn wait_again(&self) {
        self.progress.wait_again();
    }

    pub(super) fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.request.skus()
    }

    pub(super) fn answer(self, answer: Answer) {
        // A client that has gone can ask again with its key.
        drop(self.reply.send(answer));
    }
}

/// Which queue an order waits in: None for that of all, or a held product's.
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

    /// Nobody can order any more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The last in the queue that it belongs to; answered at once when a lane is full.
    pub(super) fn push(&mut self, waiter: Waiter) {
        let held = waiter.skus().find(|sku| self.lanes.contains_key(*sku)).cloned();
        match held.and_then(|sku| self.lanes.get_mut(&sku)) {
            None => self.main.push_back(waiter),
            Some(lane) if lane.len() < self.lane_max => lane.push_back(waiter),
            Some(_) => waiter.answer(Err(overloaded())),
        }
    }

    /// These waited before all others in their queues.
    pub(super) fn push_back_first(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters.into_iter().rev() {
            let held = waiter.skus().find(|sku| self.lanes.contains_key(*sku)).cloned();
            held.and_then(|sku| self.lanes.get_mut(&sku)).unwrap_or(&mut self.main).push_front(waiter);
        }
    }

    /// The next of a queue, at most `most`.
    pub(super) fn take(&mut self, lane: Lane<'_>, most: usize) -> Vec<Waiter> {
        let Some(queue) = self.queue(lane) else { return Vec::new() };
        queue.drain(..most.min(queue.len())).collect()
    }

    /// The same, as long as they order nothing but these products.
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

    /// Opens lanes for these products; answers those that are new. Orders of them leave the common queue.
    pub(super) fn open(&mut self, held: BTreeSet<Sku>) -> Vec<Sku> {
        let new: Vec<Sku> = held.into_iter().filter(|sku| !self.lanes.contains_key(sku)).collect();
        self.lanes.extend(new.iter().map(|sku| (sku.clone(), VecDeque::new())));
        for waiter in std::mem::take(&mut self.main) {
            self.push(waiter);
        }
        new
    }

    /// Answers those of a lane whose time is over, so that they take no place of others; counts them.
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

    /// Closes a lane in which nobody waits; false when somebody does.
    pub(super) fn close_lane(&mut self, sku: &Sku) -> bool {
        let is_empty = self.lanes.get(sku).is_none_or(VecDeque::is_empty);
        if is_empty {
            self.lanes.remove(sku);
        }
        is_empty
    }

    /// Held products.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }
}
