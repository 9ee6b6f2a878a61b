//! The worker behind the queues takes waiting orders batch by batch. The lanes of held products have tasks of their own
//! once these are free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jaego_contracts::ids::Sku;
use jaego_pg::{Pipeline, Pool, within};
use jaego_web::problem::Problem;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::queues::{Lane, Queues, Reply, Taken, Waiter};
use super::round::{self, Memory};
use super::{Decided, OrderRequest, Render, overloaded, stopped};
use crate::commands::{Answered, Context};
use crate::settings::Intake as IntakeSettings;
use crate::store::StoreError;
use crate::store::product_states::{self, HeldVersion};

/// Maximum lanes that use the database at once; further lanes take turns.
const LANES_AT_WORK_MAX: usize = 4;
/// Connections of the intake: one for the main queue, one to settle lost batches, one to look at the lanes, and one for
/// each active lane.
pub const CONNECTIONS: usize = 3 + LANES_AT_WORK_MAX;
/// Interval between two looks at the lanes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Maximum lanes that one look covers; further lanes take turns.
const LOOK_MAX: usize = 1_000;

/// The queues and everything a batch needs.
pub(super) struct Desk {
    pub(super) context: Context,
    pub(super) pool: Pool,
    pub(super) render: Arc<dyn Render>,
    pub(super) batch_max: usize,
    pub(super) wait_max: Duration,
    pub(super) metrics: Metrics,
    queues: Mutex<Queues>,
    arrived: Notify,
    lanes_opened: Notify,
    /// Tasks of lanes, and of batches whose database answer was lost.
    pub(super) tasks: TaskTracker,
    lanes_at_work: Semaphore,
}

pub(super) struct Metrics {
    pub(super) batch_size: Histogram<u64>,
    pub(super) batch_duration: Histogram<f64>,
    pub(super) decided: Counter<u64>,
    pub(super) batches: Counter<u64>,
    dropped: Counter<u64>,
    lanes: Gauge<u64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("jaego");
        Self {
            batch_size: meter
                .u64_histogram("jaego_intake_batch_size")
                .with_description("Orders decided together")
                .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0])
                .build(),
            batch_duration: meter
                .f64_histogram("jaego_intake_batch_duration")
                .with_unit("s")
                .with_description("Time from taking a batch of orders to its commit")
                .build(),
            decided: meter.u64_counter("jaego_orders_decided").with_description("Orders by status").build(),
            batches: meter
                .u64_counter("jaego_intake_batches")
                .with_description(
                    "Batches of orders by state of their products: known (cached), read (one more round trip), changed by \
                     others since they were cached (repeated)",
                )
                .build(),
            dropped: meter
                .u64_counter("jaego_intake_dropped")
                .with_description(
                    "Orders dropped without a decision: gone (the client disconnected), late (they waited too long)",
                )
                .build(),
            lanes: meter
                .u64_gauge("jaego_intake_lanes")
                .with_description("Products whose orders wait separately, because another transaction holds their rows")
                .build(),
        }
    }
}

impl Desk {
    pub(super) fn new(context: Context, pool: Pool, settings: &IntakeSettings, render: Arc<dyn Render>) -> Self {
        Self {
            context,
            pool,
            render,
            batch_max: settings.batch_max,
            wait_max: Duration::from_millis(settings.wait_max_ms),
            metrics: Metrics::new(),
            queues: Mutex::new(Queues::new(settings.lane_max)),
            arrived: Notify::new(),
            lanes_opened: Notify::new(),
            tasks: TaskTracker::new(),
            lanes_at_work: Semaphore::new(LANES_AT_WORK_MAX),
        }
    }

    pub(super) fn render(&self, request: &OrderRequest, taken: Taken) -> Answered {
        match taken {
            Taken::Confirmed { order, at, is_replay } => {
                Answered { answer: self.render.decided(&Decided { request, order: &order, at }), is_replay }
            }
            Taken::Rendered(answered) => answered,
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, waiter: Waiter) -> Result<(), Problem> {
        let mut queues = self.queues();
        if queues.is_closed() {
            return Err(stopped());
        }
        queues.push(waiter);
        drop(queues);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts orders that were not written back into their queues, ahead of all others.
    pub(super) fn push_back_first(&self, waiters: Vec<Waiter>) {
        waiters.iter().for_each(Waiter::wait_again);
        self.queues().push_back_first(waiters);
        self.arrived.notify_one();
    }

    /// The next batch of a queue.
    fn take(&self, lane: Lane<'_>) -> Vec<Waiter> {
        let waiters = self.queues().take(lane, self.batch_max);
        self.started(waiters)
    }

    /// More orders for a batch whose rows are already locked.
    pub(super) fn take_of(&self, lane: Lane<'_>, skus: &BTreeSet<Sku>, most: usize) -> Vec<Waiter> {
        let waiters = self.queues().take_of(lane, skus, most);
        self.started(waiters)
    }

    fn started(&self, waiters: Vec<Waiter>) -> Vec<Waiter> {
        let mut started = Vec::with_capacity(waiters.len());
        for waiter in waiters {
            match waiter.start() {
                Ok(waiter) => started.push(waiter),
                Err(reason) => self.metrics.dropped.add(1, &[KeyValue::new("reason", reason)]),
            }
        }
        started
    }

    /// Filters orders that were not written: answers the expired ones and returns the others.
    pub(super) fn still_in_time(&self, waiters: Vec<Waiter>) -> Vec<Waiter> {
        let (late, waiting): (Vec<_>, Vec<_>) = waiters.into_iter().partition(Waiter::is_late);
        self.metrics.dropped.add(late.len() as u64, &[KeyValue::new("reason", "late")]);
        for waiter in late {
            waiter.answer(Err(overloaded()));
        }
        waiting
    }

    /// Those of the given products that another transaction holds.
    pub(super) async fn held(&self, skus: &BTreeSet<Sku>) -> Result<BTreeMap<Sku, HeldVersion>, StoreError> {
        let look = async {
            let transaction = Pipeline::new(self.pool.get().await?);
            transaction.single(product_states::held(transaction.connection(), skus)).await
        };
        within(self.wait_max, &self.pool, look).await
    }

    /// Moves the orders of these products, which another transaction holds, to lanes of their own.
    pub(super) fn open_lanes(&self, held: BTreeMap<Sku, HeldVersion>) {
        tracing::info!(skus = ?held.keys(), "another transaction holds these products; their orders wait separately");
        self.queues().open(held);
        self.lanes_opened.notify_one();
    }

    /// Takes the orders of each lane when its product is free. One look covers all lanes: a wait for each would delay
    /// those that are free by those that are not.
    async fn watch_lanes(self: &Arc<Self>) {
        let mut last = None;
        loop {
            let late = self.queues().drop_late();
            self.metrics.dropped.add(late, &[KeyValue::new("reason", "late")]);
            let lanes = self.queues().lanes();
            self.metrics.lanes.record(lanes as u64, &[]);
            if lanes == 0 {
                self.lanes_opened.notified().await;
            }
            let looked = self.queues().held_after(last.as_ref(), LOOK_MAX);
            last = looked.last().filter(|_| looked.len() == LOOK_MAX).cloned();
            if !looked.is_empty() {
                self.look(looked).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(self: &Arc<Self>, looked: BTreeSet<Sku>) {
        match self.held(&looked).await {
            Ok(held) => {
                for sku in self.queues().apply_look(looked, &held) {
                    let desk = self.clone();
                    self.tasks.spawn(async move { desk.run_lane(sku).await });
                }
            }
            // The whole table is locked.
            Err(StoreError::Busy(_)) => {}
            Err(error) => {
                let problem = Problem::from(error);
                for waiter in looked.iter().flat_map(|sku| self.take(Some(sku))) {
                    waiter.answer(Reply::Err(problem.clone()));
                }
            }
        }
    }

    /// Runs until the lane is empty or its product is held again. If it were closed while the product is held, the
    /// next order would block all others until that is detected again.
    async fn run_lane(self: Arc<Self>, sku: Sku) {
        let Ok(_turn) = self.lanes_at_work.acquire().await else { return };
        let mut memory = Memory::default();
        while self.queues().is_free(&sku) {
            let waiters = self.take(Some(&sku));
            round::run(&self, Some(&sku), waiters, &mut memory).await;
            self.queues().close_if_empty(&sku);
        }
    }
}

pub struct IntakeWorker {
    desk: Arc<Desk>,
}

impl IntakeWorker {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// Takes orders until `stop`, then those that are still queued.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.take_batches(stop) => {}
            () = self.desk.watch_lanes() => {}
        }
    }

    async fn take_batches(&self, stop: CancellationToken) {
        let desk = &self.desk;
        let mut memory = Memory::default();
        loop {
            let waiters = desk.take(None);
            if !waiters.is_empty() {
                let begun = Instant::now();
                desk.metrics.batch_size.record(waiters.len() as u64, &[]);
                round::run(desk, None, waiters, &mut memory).await;
                desk.metrics.batch_duration.record(begun.elapsed().as_secs_f64(), &[]);
            } else if desk.queues().is_closed() && desk.queues().lanes() == 0 && desk.tasks.is_empty() {
                return stop.cancelled().await;
            } else {
                tokio::select! {
                    () = desk.arrived.notified() => {}
                    () = stop.cancelled(), if !desk.queues().is_closed() => desk.queues().close(),
                    () = tokio::time::sleep(Duration::from_millis(20)), if desk.queues().is_closed() => {}
                }
            }
        }
    }
}
