//! The worker behind the queues takes waiting orders batch by batch. Each locked product has a lane with its own
//! task.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jaego_contracts::ids::Sku;
use jaego_pg::Pool;
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
use crate::store::{StoreError, product_states};

/// Maximum lanes that use the database at once; further lanes take turns.
const LANES_AT_WORK_MAX: usize = 4;
/// Connections of the intake: one for the main queue, one to settle lost batches, and one for each active lane.
pub const CONNECTIONS: usize = 2 + LANES_AT_WORK_MAX;

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
                .with_description("Products whose orders wait separately, because another transaction has locked their rows")
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

    /// Moves the orders of these products, whose rows are locked by another transaction, to lanes of their own.
    pub(super) fn open_lanes(self: &Arc<Self>, held: BTreeSet<Sku>) {
        let new = self.queues().open(held);
        for sku in new {
            tracing::info!(%sku, "another transaction has locked the row of a product; its orders wait separately");
            let desk = self.clone();
            self.tasks.spawn(async move { desk.run_lane(sku).await });
        }
        self.count_lanes();
    }

    fn count_lanes(&self) {
        self.metrics.lanes.record(self.queues().lanes() as u64, &[]);
    }

    /// Runs until the row is unlocked and the lane is empty. If the lane were closed while the row is still locked,
    /// the product's next order would block all others until the lock is detected again.
    async fn run_lane(self: Arc<Self>, sku: Sku) {
        loop {
            let Ok(turn) = self.lanes_at_work.acquire().await else { return };
            let is_free = self.wait_until_free(&sku).await;
            let is_held = matches!(is_free, Err(StoreError::Busy(_))) && !self.queues().is_closed();
            match is_free {
                Ok(()) => {
                    let waiters = self.take(Some(&sku));
                    round::run(&self, Some(&sku), waiters, &mut Memory::default()).await;
                }
                Err(StoreError::Busy(_)) => {
                    let late = self.queues().drop_late(&sku);
                    self.metrics.dropped.add(late, &[KeyValue::new("reason", "late")]);
                }
                Err(error) => {
                    let problem = Problem::from(error);
                    for waiter in self.take(Some(&sku)) {
                        waiter.answer(Reply::Err(problem.clone()));
                    }
                }
            }
            drop(turn);
            if !is_held && self.queues().close_lane(&sku) {
                return self.count_lanes();
            }
        }
    }

    /// Waits for this product only, so that an order of several products locks none of the others during the wait.
    async fn wait_until_free(&self, sku: &Sku) -> Result<(), StoreError> {
        let waiting = async {
            let connection = self.pool.get().await?;
            product_states::wait_until_free(&connection, sku).await
        };
        let away = |_| StoreError::Unavailable("no answer in time".to_owned());
        tokio::time::timeout(self.wait_max, waiting).await.unwrap_or_else(|elapsed| Err(away(elapsed)))
    }
}

pub struct IntakeWorker {
    desk: Arc<Desk>,
}

impl IntakeWorker {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// Takes batches until `stop`, then the orders that are still queued.
    pub async fn run(self, stop: CancellationToken) {
        let desk = self.desk;
        let mut memory = Memory::default();
        loop {
            let waiters = desk.take(None);
            if !waiters.is_empty() {
                let begun = Instant::now();
                desk.metrics.batch_size.record(waiters.len() as u64, &[]);
                round::run(&desk, None, waiters, &mut memory).await;
                desk.metrics.batch_duration.record(begun.elapsed().as_secs_f64(), &[]);
            } else if desk.queues().is_closed() && desk.tasks.is_empty() {
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
