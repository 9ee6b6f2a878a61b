//! The relay: publishes the outbox with pipelined publisher confirms, and deletes what is confirmed.
//!
//! Stretches of rows are claimed for a time, not locked while the broker is spoken to, so several
//! replicas can relay one outbox; a replica that dies leaves its claims to run out. An event may be published
//! twice then: consumers are idempotent by business identity.

mod backlog;
mod pipeline;
mod position;
mod publish;
mod rows;
mod subscribers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::Connection;
use opentelemetry::metrics::Counter;
use tokio_util::sync::CancellationToken;

use self::backlog::Backlog;
use self::publish::{Channels, Outcome};
use self::subscribers::Subscribers;
use crate::amqp::connection::{self, Backoff};
use crate::amqp::health::{BrokerHealth, CONNECTION};
use crate::db::{Pool, StoreError};
use crate::outbox::Outbox;
use crate::settings::{Broker, Outbox as OutboxSettings};

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
    pub amqp: Broker,
    /// Outbox settings.
    pub settings: OutboxSettings,
}

/// A relay at work.
struct Work {
    relay: Relay,
    published: Counter<u64>,
    failed: Counter<u64>,
    /// Messages that this process has published.
    published_so_far: AtomicU64,
}

/// One connection's worth of relaying.
struct Session<'a> {
    link: &'a Connection,
    channels: Channels,
    subscribers: Subscribers<'a>,
}

impl Session<'_> {
    /// The broker has closed a channel, and only that.
    fn is_refused(&self) -> bool {
        !self.channels.are_open() && self.link.status().connected()
    }
}

impl Relay {
    /// Runs until `stop`; then publishes what is there once more, if the broker lets it.
    pub async fn run(self, stop: CancellationToken) {
        let meter = opentelemetry::global::meter("jaego");
        let work = Work {
            relay: self,
            published: meter
                .u64_counter("jaego_outbox_published")
                .with_description("Messages confirmed by the broker")
                .build(),
            failed: meter
                .u64_counter("jaego_outbox_publish_failures")
                .with_description("Messages not confirmed, to be published again")
                .build(),
            published_so_far: AtomicU64::new(0),
        };
        let backlog = Backlog::new(&work.relay.pool, &work.relay.outbox);
        let so_far = || i64::try_from(work.published_so_far.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        futures::join!(work.run(&stop), backlog.run(so_far, &stop));
    }
}

impl Work {
    async fn run(&self, stop: &CancellationToken) {
        let Relay { name, broker, amqp, .. } = &self.relay;
        let mut backoff = Backoff::default();
        // Rows still to be published one by one, after the broker has closed a channel because of one.
        let mut singly = 0;
        while !stop.is_cancelled() {
            let begun = tokio::time::Instant::now();
            let session = async {
                let link = connection::connect(amqp, name, "relay").await?;
                let ended = self.session(&link, &mut singly, stop).await;
                connection::close(link, amqp).await;
                ended
            };
            if let Err(error) = session.await {
                broker.fail(CONNECTION, &format!("{error:#}"));
                tracing::warn!(error = format!("{error:#}"), "relay lost the broker; connecting again");
                backoff.reset_if_steady(begun);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }

    async fn session(&self, link: &Connection, singly: &mut usize, stop: &CancellationToken) -> anyhow::Result<()> {
        let Relay { name, broker, amqp, .. } = &self.relay;
        let channels = Channels::open(link, amqp).await?;
        let mut session = Session { link, channels, subscribers: Subscribers::new(name, link, self.limit(), broker) };
        loop {
            let stopping = stop.is_cancelled();
            let ended = if link.status().blocked() {
                // What is published now would only wait in this process, and again with every attempt.
                broker.fail(CONNECTION, "the broker takes no messages now: it is short of memory or disk");
                Ok(Ended::Idle)
            } else if *singly > 0 {
                self.relay_one(&session, singly).await
            } else {
                self.relay_windows(&session, singly, stop).await
            };
            match ended {
                Ok(Ended::Busy) => continue,
                Ok(Ended::Idle) => {}
                Err(Failure::Store(error)) => tracing::warn!(%error, "relay cannot use the outbox"),
                Err(Failure::Broker(_)) if link.status().blocked() => continue,
                Err(Failure::Channel(error)) => {
                    broker.fail(CONNECTION, &format!("{error:#}"));
                    tracing::warn!(error = format!("{error:#}"), "the broker closed the relay's channel");
                    session.channels = Channels::open(link, amqp).await?;
                    continue;
                }
                Err(Failure::Broker(error)) => return Err(error),
            }
            if stopping {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.relay.outbox.rung() => {}
                () = tokio::time::sleep(self.poll()) => {}
            }
        }
    }

    /// One row alone: when the broker closes the channel now, it is known because of which.
    async fn relay_one(&self, session: &Session<'_>, singly: &mut usize) -> Result<Ended, Failure> {
        let claimed = self.claim(0, 1).await?;
        if claimed.is_empty() {
            *singly = 0;
            return Ok(Ended::Busy);
        }
        *singly -= 1;
        let mut rows = self.publish(session, claimed).await;
        let mut refused = None;
        for (_, outcome) in rows.iter_mut().filter(|_| session.is_refused()) {
            if let Outcome::Unsent(error) = outcome {
                refused = Some(anyhow::anyhow!("cannot publish: {error}"));
                *outcome = Outcome::Refused(std::mem::take(error));
            }
        }
        self.settle(session, &mut rows, false).await?;
        match refused {
            Some(error) => Err(Failure::Channel(error)),
            None => Ok(Ended::Busy),
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.relay.amqp.timeout_ms)
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(self.relay.settings.poll_ms)
    }
}

/// How some relaying ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// There is more to do at once.
    Busy,
    /// There is nothing to do for now.
    Idle,
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
