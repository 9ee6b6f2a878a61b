//! The relay: publishes the outbox with pipelined publisher confirms, and deletes what is confirmed.
//!
//! Rows are claimed for a time, not locked while the broker is spoken to, so several replicas can
//! relay one outbox; a replica that dies leaves its claims to run out. An event may be published
//! twice then: consumers are idempotent by business identity.

mod publish;
mod rows;
mod subscribers;

use std::time::{Duration, Instant};

use futures::future::join_all;
use lapin::{Channel, Connection};
use opentelemetry::metrics::{Counter, Gauge};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::publish::{Outcome, publish};
use self::rows::Row;
use self::subscribers::Subscribers;
use crate::amqp::connection::{self, Backoff};
use crate::amqp::health::{BrokerHealth, CONNECTION};
use crate::amqp::topology::Queue;
use crate::db::{Pool, StoreError};
use crate::outbox::Outbox;
use crate::settings::{Amqp, Outbox as OutboxSettings};

/// A claim lasts this many times the longest wait for the broker: a window that takes longer failed.
/// (Publishing, opening a channel, looking at the queues of the window.)
const CLAIM_TIMEOUTS: u64 = 4;
/// How often the whole outbox is counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What the relay needs.
pub struct Relay {
    /// The service's name on the broker.
    pub name: &'static str,
    /// The database with the outbox.
    pub pool: Pool,
    /// The bell.
    pub outbox: Outbox,
    /// Told how the broker is.
    pub broker: BrokerHealth,
    /// Broker settings.
    pub amqp: Amqp,
    /// Outbox settings.
    pub settings: OutboxSettings,
}

struct Metrics {
    published: Counter<u64>,
    failed: Counter<u64>,
    pending: Gauge<i64>,
    oldest_s: Gauge<f64>,
}

/// One connection's worth of relaying.
struct Session<'a> {
    link: &'a Connection,
    channel: Channel,
    subscribers: Subscribers<'a>,
}

impl Relay {
    /// Runs until `stop`; then publishes what is there once more, if the broker lets it.
    pub async fn run(self, stop: CancellationToken) {
        let meter = opentelemetry::global::meter("jaego");
        let metrics = Metrics {
            published: meter
                .u64_counter("jaego_outbox_published")
                .with_description("Messages confirmed by the broker")
                .build(),
            failed: meter
                .u64_counter("jaego_outbox_publish_failures")
                .with_description("Messages not confirmed, to be published again")
                .build(),
            pending: meter
                .i64_gauge("jaego_outbox_pending")
                .with_description("Messages waiting for the broker")
                .build(),
            oldest_s: meter
                .f64_gauge("jaego_outbox_oldest_seconds")
                .with_description("Age of the oldest waiting message")
                .build(),
        };
        let mut backoff = Backoff::default();
        // Rows still to be published one by one, after the broker has closed a channel because of one.
        let mut singly = 0;
        while !stop.is_cancelled() {
            let begun = tokio::time::Instant::now();
            // Without a broker the backlog is still counted: its bound must hold.
            self.count(&metrics).await;
            let session = async {
                let link = connection::connect(&self.amqp, self.name, "relay").await?;
                let ended = self.session(&link, &metrics, &mut singly, &stop).await;
                connection::close(link, &self.amqp).await;
                ended
            };
            if let Err(error) = session.await {
                self.broker.fail(CONNECTION, &format!("{error:#}"));
                tracing::warn!(error = format!("{error:#}"), "relay lost the broker; connecting again");
                backoff.reset_if_steady(begun);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }

    async fn session(
        &self,
        link: &Connection,
        metrics: &Metrics,
        singly: &mut usize,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let channel = connection::confirming_channel(link, &self.amqp).await?;
        let subscribers = Subscribers::new(self.name, link, self.limit(), &self.broker);
        let mut session = Session { link, channel, subscribers };
        let mut counted_at = Instant::now();
        loop {
            let stopping = stop.is_cancelled();
            let published = if link.status().blocked() {
                // What is published now would only wait in this process, and again with every attempt.
                self.broker.fail(CONNECTION, "the broker takes no messages now: it is short of memory or disk");
                0
            } else {
                session.subscribers.look_now_and_then().await?;
                match self.publish_window(&mut session, metrics, singly).await {
                    Ok(published) => {
                        self.broker.pass(CONNECTION);
                        published
                    }
                    Err(Failure::Store(error)) => {
                        tracing::warn!(%error, "relay cannot read the outbox");
                        0
                    }
                    Err(Failure::Broker(_)) if link.status().blocked() => continue,
                    Err(Failure::Channel(error)) => {
                        self.broker.fail(CONNECTION, &format!("{error:#}"));
                        tracing::warn!(error = format!("{error:#}"), "the broker closed the relay's channel");
                        session.channel = connection::confirming_channel(link, &self.amqp).await?;
                        continue;
                    }
                    Err(Failure::Broker(error)) => return Err(error),
                }
            };
            if counted_at.elapsed() >= COUNT_EVERY {
                self.count(metrics).await;
                counted_at = Instant::now();
            }
            if published > 0 {
                continue;
            }
            if stopping {
                return Ok(());
            }
            if !session.channel.status().connected() {
                anyhow::bail!("the channel is closed");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.outbox.rung() => {}
                () = tokio::time::sleep(Duration::from_millis(self.settings.poll_ms)) => {}
            }
        }
    }

    /// Publishes up to one window of rows. Answers how many were confirmed.
    async fn publish_window(
        &self,
        session: &mut Session<'_>,
        metrics: &Metrics,
        singly: &mut usize,
    ) -> Result<u64, Failure> {
        let limit = if *singly > 0 { 1 } else { self.settings.window };
        let rows = rows::claim(&self.pool, limit, CLAIM_TIMEOUTS * self.amqp.timeout_ms).await?;
        if rows.is_empty() {
            *singly = 0;
            return Ok(0);
        }
        let sends = rows.iter().map(|row| {
            let (channel, doubt) = (&session.channel, session.subscribers.doubt(row));
            async move {
                match doubt {
                    Some(error) => Outcome::Held(error),
                    None => timeout(self.limit(), publish(channel, row))
                        .await
                        .unwrap_or_else(|_| Outcome::Unsent("the broker did not confirm in time".to_owned())),
                }
            }
        });
        let mut outcomes = join_all(sends).await;
        self.look_after(&mut session.subscribers, &rows, &mut outcomes).await;
        let failure = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Unsent(error) => Some(anyhow::anyhow!("cannot publish: {error}")),
            _ => None,
        });
        let is_refused = !session.channel.status().connected() && session.link.status().connected();
        match (&failure, outcomes.as_mut_slice()) {
            (Some(error), [alone]) if is_refused => *alone = Outcome::Refused(error.to_string()),
            _ => {}
        }
        *singly = match (&failure, *singly) {
            (Some(_), 0) if is_refused => rows.len(),
            (_, left) => left.saturating_sub(1),
        };
        tell(&rows, &outcomes);
        let (confirmed, failed) = rows::settle(&self.pool, &rows, &outcomes).await?;
        metrics.published.add(confirmed, &[]);
        metrics.failed.add(failed, &[]);
        match failure {
            None => Ok(confirmed),
            Some(error) if is_refused => Err(Failure::Channel(error)),
            Some(error) => Err(Failure::Broker(error)),
        }
    }

    /// A confirmed event counts only when each of its queues is there.
    async fn look_after(&self, subscribers: &mut Subscribers<'_>, rows: &[Row], outcomes: &mut [Outcome]) {
        let mut queues: Vec<&'static Queue> = Vec::new();
        for (row, _) in rows.iter().zip(&*outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Confirmed)) {
            queues.extend(Subscribers::of(row));
        }
        queues.sort_unstable_by_key(|queue| queue.name);
        queues.dedup_by_key(|queue| queue.name);
        let looked = subscribers.look(&queues).await;
        for (row, outcome) in rows.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Confirmed)) {
            match (&looked, subscribers.doubt(row)) {
                (Err(error), _) if Subscribers::of(row).next().is_some() => {
                    *outcome = Outcome::Unsent(format!("{error:#}"));
                }
                (Ok(()), Some(error)) => *outcome = Outcome::Held(error),
                _ => {}
            }
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.amqp.timeout_ms)
    }

    async fn count(&self, metrics: &Metrics) {
        if let Ok(backlog) = rows::backlog(&self.pool).await {
            self.outbox.set_pending(backlog.pending);
            metrics.pending.record(backlog.pending, &[]);
            metrics.oldest_s.record(backlog.oldest_s, &[]);
        }
    }
}

/// Each message that the broker refuses is told; that the link failed is told once, by the session.
fn tell(rows: &[Row], outcomes: &[Outcome]) {
    for (row, outcome) in rows.iter().zip(outcomes) {
        if let Outcome::Refused(error) | Outcome::Held(error) = outcome {
            tracing::warn!(
                message_id = row.message_id,
                exchange = row.exchange,
                routing_key = row.routing_key,
                error,
                "not published; kept"
            );
        }
    }
}

enum Failure {
    Store(StoreError),
    /// The broker has closed the channel, and only that: it does not want one of the messages.
    Channel(anyhow::Error),
    Broker(anyhow::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
