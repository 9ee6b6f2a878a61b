//! The relay: publishes the outbox, and deletes what the broker has confirmed.
//!
//! One replica leads, the one that holds the lease; another takes over within seconds when it is stopped, dies or
//! loses the broker. The leader reads by id, keeps several windows on their way and deletes them in order; the deletion
//! of one and the reading of the next are one round trip. A routing key that the broker does not take (no queue, a full
//! one, no right) is held: one event of it is tried now and then, and the events of other keys go on. An event may be
//! published twice: consumers are idempotent by business identity.

mod backlog;
mod held;
mod leader;
mod lease;
mod publish;
mod rows;

use std::time::Duration;

use jaego_amqp::connection;
use jaego_amqp::connection::{Backoff, Link};
use jaego_amqp::health::{BrokerHealth, CONNECTION};
use jaego_amqp::settings::Broker;
use jaego_pg::settings::Database;
use jaego_pg::{Pool, listen};
use tokio_util::sync::CancellationToken;

use self::backlog::Backlog;
use self::leader::{Ended, Failure, Leader, Line};
use crate::outbox::Outbox;
use crate::settings::Outbox as OutboxSettings;

/// The channel on which replicas tell the leader that there are events.
const SIGNAL: &str = "jaego_outbox";
/// Longest pause between two tries to hear the other replicas.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// What the relay needs.
pub struct Relay {
    /// The service's name on the broker.
    pub name: &'static str,
    /// The database with the outbox.
    pub pool: Pool,
    /// Where to listen for other replicas.
    pub database: Database,
    /// The bell.
    pub outbox: Outbox,
    /// Told how the broker is.
    pub broker: BrokerHealth,
    /// Broker settings.
    pub amqp: Broker,
    /// Outbox settings.
    pub settings: OutboxSettings,
}

impl Relay {
    /// Runs until `stop`; whoever leads then publishes what is there once more, if the broker lets it.
    pub async fn run(self, stop: CancellationToken) {
        futures::join!(self.relay(&stop), Backlog::new(&self.pool, &self.outbox).run(&stop));
    }

    async fn relay(&self, stop: &CancellationToken) {
        let mut leader = Leader::new(self);
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            if !leader.lease.take().await {
                leader.step_down();
                self.follow(&leader.lease, stop).await;
                continue;
            }
            let begun = tokio::time::Instant::now();
            let led = async {
                let link = connection::connect(&self.amqp, self.name, "relay").await?;
                let ended = tokio::select! {
                    ended = self.lead(&link, &mut leader, stop) => ended,
                    () = self.hear_others() => Ok(()),
                };
                connection::close(link, &self.amqp).await;
                ended
            };
            if let Err(error) = led.await {
                self.broker.fail(CONNECTION, &format!("{error:#}"));
                tracing::warn!(error = format!("{error:#}"), "relay lost the broker; connecting again");
                // Another replica may reach it.
                leader.lease.release().await;
                backoff.reset_if_steady(begun);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
        leader.lease.release().await;
    }

    /// Until the lease is lost, or `stop`; an error when the link is.
    async fn lead(&self, link: &Link, leader: &mut Leader<'_>, stop: &CancellationToken) -> anyhow::Result<()> {
        loop {
            let line = Line { link, channel: connection::confirming_channel(link, &self.amqp).await? };
            match leader.lead(&line, stop).await {
                Ok(Ended::Stopped | Ended::LeaseLost) => return Ok(()),
                Err(Failure::Link(error)) => return Err(error),
                Err(Failure::Channel(error)) => {
                    tracing::warn!(error = format!("{error:#}"), "the broker closed the relay's channel");
                }
                Err(Failure::Store(error)) => {
                    tracing::warn!(%error, "relay cannot use the outbox");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(self.poll()) => {}
                    }
                }
            }
        }
    }

    /// Another replica leads: tells it of what is committed here, until it may be time to take over.
    async fn follow(&self, lease: &lease::Lease<'_>, stop: &CancellationToken) {
        let look_again = tokio::time::sleep(lease::LOOK_EVERY);
        tokio::pin!(look_again);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut look_again => return,
                () = self.outbox.rung() => lease.signal().await,
            }
            tokio::time::sleep(Duration::from_millis(self.settings.pace_ms)).await;
        }
    }

    /// Rings the bell for what is committed by other replicas; never ends. While they cannot be heard, the leader looks
    /// by the clock.
    async fn hear_others(&self) {
        loop {
            let ended = listen(&self.database, self.name, SIGNAL, || self.outbox.wake()).await;
            tracing::warn!(%ended, "relay cannot listen to other replicas; it looks by the clock");
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.amqp.timeout_ms)
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(self.settings.poll_ms)
    }
}
