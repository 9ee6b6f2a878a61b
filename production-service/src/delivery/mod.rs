//! The delivery worker: by signal and by clock it claims due requests and calls their factories, many
//! at a time. No transaction is open while a factory is spoken to.

mod factory_client;
mod in_hand;
mod outbound;
mod retry_after;
mod secrets;
mod tallies;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use shared::amqp::connection::Backoff;
use shared::db::StoreError;
use shared::trace::TraceContext;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use factory_client::FactoryClient;

use crate::commands::callback_url::CallbackUrls;
use crate::commands::claim_requests::{Call, Caller, Claimed, Lease, claim_requests};
use crate::commands::give_up_waiting::{Hopeless, give_up_waiting};
use crate::commands::leave_calls::leave_calls;
use crate::commands::reclaim_lost::reclaim_lost;
use crate::commands::record_attempt::{CallEnd, Health, record_attempt};
use crate::commands::{CommandError, Context};
use crate::settings::{Delivery, Settings};
use in_hand::InHand;
use tallies::Tallies;

/// The end of a call is tried to be recorded for so long; after that it is no longer in hand, and lost when
/// its lease has run out.
const RECORD_FOR: Duration = Duration::from_secs(30);
/// The last try may begin a pause late (5 s at most), and takes time itself.
const RECORD_LAST_TRY: Duration = Duration::from_secs(15);
/// Whatever is set: no call is lost while the factory may still answer in time.
const LEASE_SLACK: Duration = Duration::from_secs(1);

/// Calls factories until it is stopped.
#[derive(Clone)]
pub struct Worker {
    context: Context,
    callback_urls: CallbackUrls,
    client: FactoryClient,
    settings: Arc<Delivery>,
    drain: Duration,
    in_hand: InHand,
    tallies: Tallies,
    metrics: Metrics,
}

#[derive(Clone)]
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
                .with_description("How long calls to factories took, by outcome")
                .build(),
        }
    }
}

impl Worker {
    /// With all that it needs; nothing runs yet.
    pub fn new(context: Context, callback_urls: CallbackUrls, client: FactoryClient, settings: &Settings) -> Self {
        let drain = Duration::from_millis(settings.common.shutdown.drain_ms);
        let settings = Arc::new(settings.delivery.clone());
        let (in_hand, tallies) = (InHand::default(), Tallies::default());
        Self { context, callback_urls, client, settings, drain, in_hand, tallies, metrics: Metrics::new() }
    }

    /// Works until `stop`; then ends the calls that are under way, or leaves them to others when that takes longer
    /// than this process has.
    pub async fn run(self, stop: CancellationToken) {
        let mut calls = JoinSet::new();
        while !stop.is_cancelled() {
            let free = self.settings.concurrency.saturating_sub(calls.len());
            let claimed = if free > 0 { self.claim(free).await } else { Claimed::default() };
            let claimed_any = !claimed.calls.is_empty();
            for call in claimed.calls {
                let held = self.in_hand.hold(call.request_id(), call.number(), call.factory.id.clone());
                let delivery = self.clone().deliver(call);
                calls.spawn(async move {
                    delivery.await;
                    drop(held);
                });
            }
            for hopeless in claimed.hopeless {
                calls.spawn(self.clone().give_up(hopeless));
            }
            if claimed_any {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.context.due.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(self.settings.poll_ms)) => {}
                Some(ended) = calls.join_next() => report(ended),
            }
            while let Some(ended) = calls.try_join_next() {
                report(ended);
            }
        }
        let all_ended = async {
            while let Some(ended) = calls.join_next().await {
                report(ended);
            }
        };
        // A tenth is left to say so.
        if tokio::time::timeout(self.drain.mul_f64(0.9), all_ended).await.is_err() {
            let held = self.in_hand.all();
            calls.shutdown().await;
            tracing::warn!(count = held.len(), "calls to factories were given up at the end of shutdown.drain_ms");
            if let Err(error) = leave_calls(&self.context, &held).await {
                tracing::warn!(%error, "calls that were given up count as lost when their leases run out");
            }
        }
    }

    /// What to do now; nothing when the store is away: the clock asks again.
    async fn claim(&self, free: usize) -> Claimed {
        match reclaim_lost(&self.context, &self.in_hand.all()).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!(count, "calls to factories were lost; they are made again");
                let lost = u64::try_from(count).unwrap_or_default();
                self.metrics.attempts.add(lost, &[KeyValue::new("outcome", "unknown")]);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot look for lost calls");
                return Claimed::default();
            }
        }
        let (tallies, in_hand) = (self.tallies.take(), self.in_hand.by_factory());
        let caller = Caller {
            free: u32::try_from(free).unwrap_or(u32::MAX),
            of_one_factory_max: u32::try_from(self.settings.concurrency.div_ceil(2)).unwrap_or(u32::MAX),
            in_hand: &in_hand,
            tallies: &tallies,
        };
        let claimed = claim_requests(&self.context, &self.callback_urls, lease(self.settings.lease_ms), &caller).await;
        match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                self.tallies.put_back(tallies);
                match error {
                    CommandError::Store(error) => tracing::warn!(%error, "cannot look for due requests"),
                    CommandError::Rejected(error) => tracing::error!(%error, "cannot call factories"),
                }
                Claimed::default()
            }
        }
    }

    /// Beside the calls: a long queue of one factory keeps no other one waiting.
    async fn give_up(self, hopeless: Hopeless) {
        match give_up_waiting(&self.context, &hopeless).await {
            Ok(0) => {}
            Ok(count) => {
                let (factory_id, error) = (&hopeless.factory, &hopeless.error);
                tracing::warn!(count, %factory_id, error, "requests that waited for a factory are given up");
            }
            Err(error) => tracing::warn!(%error, "cannot give up requests; they wait on"),
        }
    }

    async fn deliver(self, call: Call) {
        let span = tracing::info_span!("attempt", request_id = %call.request_id(), number = call.number(), factory_id = %call.factory.id);
        let trace = TraceContext::continue_from(Some(&call.traceparent)).enter(&span);
        async {
            let ended = self.client.call(&call, trace).await;
            self.measure(&ended);
            // Before the end is recorded: whoever sees it recorded tells the breaker, too.
            self.tallies.count(&call.factory.id, (ended.health() == Health::Ill).then(|| ended.in_words()));
            if let Err(error) = self.record(&call, &ended, trace).await {
                tracing::error!(%error, "the end of a call was not recorded; it counts as lost when its lease runs out");
            }
        }
        .instrument(span)
        .await;
    }

    /// A store that is away for a moment must not make the factory get the request twice.
    async fn record(&self, call: &Call, ended: &CallEnd, trace: TraceContext) -> Result<(), StoreError> {
        let give_up_at = Instant::now() + RECORD_FOR;
        let mut backoff = Backoff::default();
        loop {
            match record_attempt(&self.context, call, ended, trace).await {
                Err(error) if error.is_unavailable() && Instant::now() < give_up_at => backoff.wait().await,
                result => return result,
            }
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

/// Other replicas leave a call alone for so long. 0: until its end can no longer be recorded.
fn lease(lease_ms: u32) -> Lease {
    match lease_ms {
        0 => Lease { at_least: Duration::ZERO, beyond_timeout: RECORD_FOR + RECORD_LAST_TRY },
        _ => Lease { at_least: Duration::from_millis(lease_ms.into()), beyond_timeout: LEASE_SLACK },
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a call to a factory broke; it counts as lost when its lease runs out");
    }
}
