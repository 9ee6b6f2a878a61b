//! Queues of waiting orders. There is one main queue, and a separate lane for each product that another transaction
//! holds, so that no other order waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
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
use crate::store::product_states::HeldVersion;

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

/// The queue of an order: None for the main queue, or the held product of a lane.
pub(super) type Lane<'a> = Option<&'a Sku>;

/// The orders of a product that another transaction holds.
#[derive(Default)]
struct HeldProduct {
    orders: VecDeque<Waiter>,
    /// At the last look.
    version: HeldVersion,
    /// True once a look found the product free, until a batch finds it held again.
    is_free: bool,
}

/// All queues of a process.
pub(super) struct Queues {
    main: VecDeque<Waiter>,
    lanes: BTreeMap<Sku, HeldProduct>,
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

    /// The lane of an order. An order of several products waits for one that is held: in the lane of a free one it
    /// would delay the others.
    fn lane_of(&mut self, waiter: &Waiter) -> Option<&mut HeldProduct> {
        let find = |is_free| waiter.skus().find(|sku| self.lanes.get(*sku).is_some_and(|lane| lane.is_free == is_free));
        let sku = find(false).or_else(|| find(true))?;
        self.lanes.get_mut(sku)
    }

    /// Appends an order to its queue; if that is a full lane, answers it at once.
    pub(super) fn push(&mut self, waiter: Waiter) {
        let lane_max = self.lane_max;
        match self.lane_of(&waiter) {
            None => self.main.push_back(waiter),
            Some(lane) if lane.orders.len() < lane_max => lane.orders.push_back(waiter),
            Some(_) => waiter.answer(Err(overloaded())),
        }
    }

    /// Puts orders back at the front of their queues.
    pub(super) fn push_back_first(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters.into_iter().rev() {
            match self.lane_of(&waiter) {
                None => self.main.push_front(waiter),
                Some(lane) => lane.orders.push_front(waiter),
            }
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
            Some(sku) => self.lanes.get_mut(sku).map(|lane| &mut lane.orders),
        }
    }

    /// Opens lanes for these products, which are held, and moves their orders there from the main queue.
    pub(super) fn open(&mut self, held: BTreeMap<Sku, HeldVersion>) {
        for (sku, version) in held {
            let lane = self.lanes.entry(sku).or_default();
            (lane.version, lane.is_free) = (version, false);
        }
        for waiter in std::mem::take(&mut self.main) {
            self.push(waiter);
        }
    }

    /// The next `most` held products after this one.
    pub(super) fn held_after(&self, after: Lane<'_>, most: usize) -> BTreeSet<Sku> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.lanes.range::<Sku, _>((start, Bound::Unbounded)).filter(|(_, lane)| !lane.is_free);
        held.take(most).map(|(sku, _)| sku.clone()).collect()
    }

    /// Applies a look at these products, which found `held` among them. Returns those whose orders can be taken; a lane
    /// without orders is closed when its product is free.
    ///
    /// A product that many short transactions lock one after the other is never found free, but whoever waits for it
    /// gets it. Its version has changed since the last look, so it counts as free.
    pub(super) fn apply_look(&mut self, looked: BTreeSet<Sku>, held: &BTreeMap<Sku, HeldVersion>) -> Vec<Sku> {
        let mut waiters = VecDeque::new();
        let mut free = Vec::new();
        for sku in looked {
            let Some(lane) = self.lanes.get_mut(&sku) else { continue };
            lane.is_free = held.get(&sku).is_none_or(|version| {
                let before = std::mem::replace(&mut lane.version, *version);
                before.zip(*version).is_some_and(|(before, now)| before != now) && !lane.orders.is_empty()
            });
            if lane.is_free {
                waiters.append(&mut lane.orders);
                free.push(sku);
            }
        }
        // Those that also need a product that is still held go to its lane.
        for waiter in waiters {
            self.push(waiter);
        }
        free.retain(|sku| !self.close_if_empty(sku));
        free
    }

    /// Returns true while orders of this lane can be taken.
    pub(super) fn is_free(&self, sku: &Sku) -> bool {
        self.lanes.get(sku).is_some_and(|lane| lane.is_free)
    }

    /// Closes a lane if it is empty. Returns whether it was.
    pub(super) fn close_if_empty(&mut self, sku: &Sku) -> bool {
        let is_empty = self.lanes.get(sku).is_none_or(|lane| lane.orders.is_empty());
        if is_empty {
            self.lanes.remove(sku);
        }
        is_empty
    }

    /// Answers the expired orders of all lanes, which frees their places in the queue. Returns their number.
    pub(super) fn drop_late(&mut self) -> u64 {
        let mut count = 0;
        for lane in self.lanes.values_mut() {
            let (late, waiting): (VecDeque<_>, _) =
                std::mem::take(&mut lane.orders).into_iter().partition(Waiter::is_late);
            lane.orders = waiting;
            count += late.len() as u64;
            for waiter in late {
                waiter.answer(Err(overloaded()));
            }
        }
        if self.is_closed {
            self.lanes.retain(|_, lane| !lane.orders.is_empty());
        }
        count
    }

    /// Number of lanes.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }
}
