//! Background work on dead letters: sends redrives, counts dead letters and deletes old ones.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diesel_async::AsyncConnection;
use jaego_contracts::topology::Queue;
use jaego_pg::StoreError;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Gauge;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::redrives::Sending;
use super::{DeadLetters, letters, redrives};

/// Pause after a database error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Interval between regular counts, and the delay of a count after this process has changed dead letters.
const COUNT_EVERY: Duration = Duration::from_secs(15);
const COUNT_AGAIN: Duration = Duration::from_secs(1);
/// Interval at which old dead letters are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

struct Metrics {
    waiting: Gauge<i64>,
    redriving: Gauge<i64>,
    oldest_s: Gauge<f64>,
}

impl DeadLetters {
    /// Runs until `stop`.
    pub async fn run(self, queues: Vec<&'static Queue>, stop: CancellationToken) {
        let meter = opentelemetry::global::meter("jaego");
        let metrics = Metrics {
            waiting: meter
                .i64_gauge("jaego_dead_letters_waiting")
                .with_description("Dead letters that wait for an operator, by queue")
                .build(),
            redriving: meter
                .i64_gauge("jaego_dead_letters_redriving")
                .with_description("Dead letters that were sent back and are not handled yet, by queue")
                .build(),
            oldest_s: meter
                .f64_gauge("jaego_dead_letters_oldest_seconds")
                .with_description("Age of the oldest waiting dead letter, by queue")
                .build(),
        };
        let now = Instant::now();
        let (mut count_at, mut prune_at, mut send_at) = (now, now, now);
        let mut last_grown = Uuid::nil();
        while !stop.is_cancelled() {
            if Instant::now() >= count_at {
                self.logged("count", self.count(&queues, &metrics).await);
                count_at = Instant::now() + COUNT_EVERY;
            }
            if Instant::now() >= prune_at {
                self.logged("prune", self.prune().await);
                prune_at = Instant::now() + PRUNE_EVERY;
            }
            if Instant::now() >= send_at {
                let wait = match self.logged("redrive", self.send_due(&mut last_grown).await) {
                    Some(Sending::Sent) => continue,
                    Some(Sending::Wait(wait)) => wait,
                    None => AFTER_ERROR,
                };
                send_at = Instant::now() + wait;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.ordered.notified() => send_at = Instant::now(),
                () = self.changed.notified() => count_at = count_at.min(Instant::now() + COUNT_AGAIN),
                () = tokio::time::sleep_until(count_at.min(send_at).into()) => {}
            }
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: the letters' own work")]
    fn logged<T>(&self, work: &'static str, result: Result<T, StoreError>) -> Option<T> {
        result
            .inspect_err(|error| tracing::warn!(%error, work, "background work on dead letters failed; retrying"))
            .ok()
    }

    async fn send_due(&self, last_grown: &mut Uuid) -> Result<Sending, StoreError> {
        let mut connection = self.pool.get().await?;
        // Jobs grow in turns: one that cannot grow now, because a dead letter is locked, delays no other.
        let has_grown = match redrives::growing(&mut connection, *last_grown).await? {
            Some(job) => {
                *last_grown = job;
                let grown = connection.transaction(async |connection| redrives::add_some(connection, job).await).await;
                self.logged("add to a redrive", grown)
            }
            None => Some(false),
        };
        let sent = connection.transaction(async |connection| redrives::send_some(connection).await).await?;
        if matches!(sent, Sending::Sent) {
            self.notify_retries();
        }
        Ok(match (has_grown, sent) {
            (Some(true), _) => Sending::Sent,
            (None, Sending::Wait(wait)) => Sending::Wait(wait.min(AFTER_ERROR)),
            (_, sent) => sent,
        })
    }

    async fn count(&self, queues: &[&'static Queue], metrics: &Metrics) -> Result<(), StoreError> {
        let depths = letters::depths(&mut *self.pool.get().await?).await?;
        self.waiting.store(depths.iter().map(|depth| depth.count).sum(), Ordering::Relaxed);
        for queue in queues {
            let depth = depths.iter().find(|depth| depth.queue == queue.name);
            let label = [KeyValue::new("queue", queue.name)];
            metrics.waiting.record(depth.map_or(0, |depth| depth.count), &label);
            metrics.redriving.record(depth.map_or(0, |depth| depth.redriving), &label);
            metrics.oldest_s.record(depth.map_or(0.0, |depth| depth.oldest_s), &label);
        }
        Ok(())
    }

    async fn prune(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.get().await?;
        while letters::prune(&mut connection, self.settings.retention_days.into()).await? {}
        Ok(())
    }
}
