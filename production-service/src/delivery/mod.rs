//! Delivery worker: woken by notifications and by the clock, it claims due requests and calls their factories, many
//! concurrently. No transaction is open during a call.

mod factory_client;
mod outbound;
mod retry_after;
mod secrets;
mod tallies;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jaego_amqp::connection::Backoff;
use jaego_contracts::ids::FactoryId;
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_telemetry::EnterSpan as _;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use factory_client::FactoryClient;

use crate::commands::Context;
use crate::commands::callback_url::CallbackUrls;
use crate::commands::claim_requests::{Call, Caller, Claimed, Lease, claim_requests, next_due};
use crate::commands::give_up_waiting::{Exhausted, give_up_waiting};
use crate::commands::leave_calls::leave_calls;
use crate::commands::own_in_flight::{Held, InFlight};
use crate::commands::reclaim_lost::reclaim_lost;
use crate::commands::record_attempts::{CallEnd, Ended, Health, record_apart};
use crate::commands::recorder::{Recorder, Unrecorded};
use crate::settings::{Delivery, Settings};
use tallies::Tallies;

/// Time for which recording a result is retried. After that the call is no longer in flight, and is lost when its
/// lease expires.
const RECORD_FOR: Duration = Duration::from_secs(30);
/// The last try may begin one backoff late (5 s at most), and takes time itself.
const RECORD_LAST_TRY: Duration = Duration::from_secs(15);
/// Interval at which an idle worker looks for work that other replicas have left.
const IDLE: Duration = Duration::from_secs(15);
/// Minimum time beyond a factory's timeout, whatever is configured: no call is lost while the factory may still
/// answer in time.
const LEASE_SLACK: Duration = Duration::from_secs(1);

/// A result that is never recorded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Lost(String);

/// Calls factories until stopped.
pub struct Worker {
    context: Context,
    callback_urls: CallbackUrls,
    client: FactoryClient,
    settings: Delivery,
    drain: Duration,
    own_in_flight: InFlight,
    tallies: Tallies,
    /// Factories whose waiting requests are being given up.
    giving_up: Mutex<HashSet<FactoryId>>,
    metrics: Metrics,
}

struct Metrics {
    attempts: Counter<u64>,
    duration: Histogram<f64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("jaego");
        Self {
            attempts: meter
                .u64_counter("jaego_production_attempts")
                .with_description("Calls to factories, by outcome")
                .build(),
            duration: meter
                .f64_histogram("jaego_production_attempt_duration")
                .with_unit("s")
                .with_description("Duration of calls to factories, by outcome")
                .build(),
        }
    }
}

/// Result of [`Worker::look`].
struct Found {
    claimed: Claimed,
    /// There may be more work as soon as this process has free places.
    is_full: bool,
    /// Delay until the next look without a notification.
    look_in: Duration,
}

impl Worker {
    pub fn new(context: Context, callback_urls: CallbackUrls, client: FactoryClient, settings: &Settings) -> Self {
        let drain = Duration::from_millis(settings.common.shutdown.drain_ms);
        let settings = settings.delivery.clone();
        let (own_in_flight, tallies) = (InFlight::default(), Tallies::default());
        let giving_up = Mutex::default();
        Self {
            context,
            callback_urls,
            client,
            settings,
            drain,
            own_in_flight,
            tallies,
            giving_up,
            metrics: Metrics::new(),
        }
    }

    /// Runs until `stop`, then waits for the calls in flight; those that take longer than the drain time are left to
    /// other processes.
    pub async fn run(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        let (recorder, recording) = Recorder::new(worker.context.clone(), worker.settings.concurrency);
        let mut recording = tokio::spawn(recording.run());
        let mut calls = JoinSet::new();
        let mut lost_looked_for_at = None;
        while !stop.is_cancelled() {
            while let Some(ended) = calls.try_join_next() {
                report(ended);
            }
            let found = worker.look(calls.len(), &mut lost_looked_for_at).await;
            for call in found.claimed.calls {
                let held = worker.own_in_flight.hold(call.request_id(), call.number(), call.factory.id.clone());
                calls.spawn(Arc::clone(&worker).deliver(call, held, recorder.clone()));
            }
            worker.give_up_exhausted(found.claimed.exhausted, &mut calls);
            worker.wait(&mut calls, found.is_full, found.look_in, &stop).await;
        }
        drop(recorder);
        let all_ended = async {
            while let Some(ended) = calls.join_next().await {
                report(ended);
            }
        };
        // The remaining tenth is for releasing the calls.
        if tokio::time::timeout(worker.drain.mul_f64(0.9), all_ended).await.is_err() {
            let held = worker.own_in_flight.all();
            calls.shutdown().await;
            // Results that wait to be recorded must not lead to another call.
            if tokio::time::timeout(worker.drain.mul_f64(0.05), &mut recording).await.is_err() {
                recording.abort();
            }
            tracing::warn!(count = held.len(), "calls to factories were aborted at the end of shutdown.drain_ms");
            if let Err(error) = leave_calls(&worker.context, &held).await {
                tracing::warn!(%error, "aborted calls count as lost when their leases expire");
            }
        }
    }

    /// Waits until something may have become due, a place is free, or it is time for the next look.
    async fn wait(&self, calls: &mut JoinSet<()>, is_full: bool, look_in: Duration, stop: &CancellationToken) {
        let clock = tokio::time::sleep(look_in);
        tokio::pin!(clock);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.context.due.notified() => return,
                () = &mut clock => return,
                Some(ended) = calls.join_next() => {
                    report(ended);
                    // Otherwise the recorder has already notified, or the finished task has freed no place.
                    if is_full {
                        return;
                    }
                }
            }
        }
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(self.settings.poll_ms)
    }

    /// Claims work while `under_way` tasks run; finds nothing when the store is unavailable, and the next poll tries
    /// again.
    async fn look(&self, under_way: usize, lost_looked_for_at: &mut Option<Instant>) -> Found {
        // Paced by the clock: the end of one call does not make another one lost.
        if lost_looked_for_at.is_none_or(|at| at.elapsed() >= self.poll()) {
            if !self.reclaim().await {
                return Found { claimed: Claimed::default(), is_full: false, look_in: self.poll() };
            }
            *lost_looked_for_at = Some(Instant::now());
        }
        let free = self.settings.concurrency.saturating_sub(under_way);
        let claimed = if free > 0 { self.claim(free).await } else { Claimed::default() };
        let is_full = claimed.calls.len() >= free;
        let look_in = if claimed.calls.is_empty() && !is_full { self.look_in().await } else { self.poll() };
        Found { claimed, is_full, look_in }
    }

    /// Time until something is due. Due requests that are held back, by their factory or by a lock, are looked for at
    /// each poll.
    async fn look_in(&self) -> Duration {
        match next_due(&self.context).await {
            Ok(None) => IDLE,
            Ok(Some(due)) if due.is_zero() => self.poll(),
            Ok(Some(due)) => due.min(IDLE),
            Err(_) => self.poll(),
        }
    }

    /// Reclaims calls whose process is gone; false when the store is unavailable.
    async fn reclaim(&self) -> bool {
        match reclaim_lost(&self.context, &self.own_in_flight.all()).await {
            Ok(0) => true,
            Ok(count) => {
                tracing::warn!(count, "calls to factories were lost; they are repeated");
                let lost = u64::try_from(count).unwrap_or_default();
                self.metrics.attempts.add(lost, &[KeyValue::new("outcome", "unknown")]);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot look for lost calls");
                false
            }
        }
    }

    async fn claim(&self, free: usize) -> Claimed {
        let (tallies, own_in_flight) = (self.tallies.take(), self.own_in_flight.by_factory());
        let caller = Caller {
            free: u32::try_from(free).unwrap_or(u32::MAX),
            of_one_factory_max: u32::try_from(self.settings.concurrency.div_ceil(2)).unwrap_or(u32::MAX),
            own_in_flight: &own_in_flight,
            tallies: &tallies,
        };
        let claimed = claim_requests(&self.context, &self.callback_urls, lease(self.settings.lease_ms), &caller).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for due requests");
            Claimed::default()
        })
    }

    /// Runs beside the calls, so that a long queue of one factory does not delay the others. Each look finds the same
    /// requests until they are given up, so a factory has at most one such task, with one connection.
    fn give_up_exhausted(self: &Arc<Self>, exhausted: Vec<Exhausted>, calls: &mut JoinSet<()>) {
        for exhausted in exhausted {
            if self.lock_giving_up().insert(exhausted.factory.clone()) {
                let worker = Arc::clone(self);
                calls.spawn(async move {
                    worker.give_up(&exhausted).await;
                    worker.lock_giving_up().remove(&exhausted.factory);
                });
            }
        }
    }

    fn lock_giving_up(&self) -> MutexGuard<'_, HashSet<FactoryId>> {
        self.giving_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn give_up(&self, exhausted: &Exhausted) {
        match give_up_waiting(&self.context, exhausted).await {
            Ok(0) => {}
            Ok(count) => {
                let (factory_id, error) = (&exhausted.factory, &exhausted.error);
                tracing::warn!(count, %factory_id, error, "requests that waited too long for a factory were given up");
            }
            Err(error) => tracing::warn!(%error, "cannot give up requests; they keep waiting"),
        }
    }

    async fn deliver(self: Arc<Self>, call: Call, held: Held, recorder: Recorder) {
        let span = tracing::info_span!("attempt", request_id = %call.request_id(), number = call.number(), factory_id = %call.factory.id);
        let trace = TraceContext::continue_from(Some(&call.traceparent)).enter(&span);
        async {
            let end = match self.callback_urls.sign(&call.callback) {
                Ok(url) => self.client.call(&call, &url, trace).await,
                Err(error) => CallEnd::not_made(error.to_string()),
            };
            self.measure(&end);
            // Counted before the result is recorded, so that a claim that sees the record updates the breaker as
            // well.
            self.tallies.count(&call.factory.id, (end.health() == Health::Ill).then(|| end.in_words()));
            if let Err(error) = self.record(Ended { call, end, trace, held }, &recorder).await {
                tracing::error!(%error, "the end of a call was not recorded; it counts as lost when its lease expires");
            }
        }
        .instrument(span)
        .await;
    }

    /// Records a result, in a batch or separately. A store that is unavailable for a moment, or a request that is locked
    /// for as long as a statement may wait, must not make the factory receive the request twice.
    async fn record(&self, ended: Ended, recorder: &Recorder) -> Result<(), Lost> {
        let give_up_at = Instant::now() + RECORD_FOR;
        let mut backoff = Backoff::default();
        let mut ended = Box::new(ended);
        loop {
            let (back, why) = match recorder.record(ended).await {
                Some(Ok(())) => return Ok(()),
                Some(Err(handed_back)) => handed_back,
                None => return Err(Lost("its recorder failed".to_owned())),
            };
            let why = match why {
                Unrecorded::Unavailable(why) => why,
                Unrecorded::Apart => match record_apart(&self.context, &back).await {
                    Err(error @ (StoreError::Unavailable(_) | StoreError::Busy(_))) => error.to_string(),
                    recorded => {
                        drop(back);
                        // The place is free only now that `back` is dropped.
                        self.context.due.notify_one();
                        return recorded.map_err(|error| Lost(error.to_string()));
                    }
                },
            };
            if Instant::now() >= give_up_at {
                return Err(Lost(why));
            }
            backoff.wait().await;
            ended = back;
        }
    }

    fn measure(&self, ended: &CallEnd) {
        let outcome = ended.verdict().as_str();
        let labels = [KeyValue::new("outcome", outcome)];
        self.metrics.attempts.add(1, &labels);
        self.metrics.duration.record(ended.duration.as_secs_f64(), &labels);
        tracing::info!(outcome, status = ended.ending.status(), error = ended.error, "factory called");
    }
}

/// Time for which other replicas leave a call alone. 0: until its result can no longer be recorded.
fn lease(lease_ms: u32) -> Lease {
    match lease_ms {
        0 => Lease { at_least: Duration::ZERO, beyond_timeout: RECORD_FOR + RECORD_LAST_TRY },
        _ => Lease { at_least: Duration::from_millis(lease_ms.into()), beyond_timeout: LEASE_SLACK },
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a call to a factory panicked; it counts as lost when its lease expires");
    }
}
