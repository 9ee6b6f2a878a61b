//! The relay: publishes the events in the outbox, and deletes those that the broker has confirmed.
//!
//! One replica leads, the one that holds the lease; another takes over within seconds when it is stopped, dies or
//! loses the broker. The leader reads by id, keeps several windows in flight and deletes them in order; the deletion
//! of one window and the read of the next share a round trip. A routing key that the broker does not accept (no
//! queue, a full queue, no permission) is held: it is probed with one event at intervals, while the events of other
//! keys go on. An event may be published twice: consumers are idempotent by business identity.

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

/// PostgreSQL channel on which replicas notify the leader of new events.
const SIGNAL: &str = "jaego_outbox";
/// Pause before another attempt to listen to the other replicas.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

pub struct Relay {
    /// The service's name on the broker.
    pub name: &'static str,
    pub pool: Pool,
    /// Database whose notifications from other replicas are listened to.
    pub database: Database,
    /// Notifies the relay of events committed in this process.
    pub outbox: Outbox,
    /// Receives the health of the connection and of each routing key.
    pub broker: BrokerHealth,
    pub amqp: Broker,
    pub settings: OutboxSettings,
}

impl Relay {
    /// Runs until `stop`. The leader then publishes the events that are still there once more, if the broker accepts
    /// them.
    pub async fn run(self, stop: CancellationToken) {
        futures::join!(self.relay(&stop), Backlog::new(&self.pool, &self.outbox).run(&stop));
    }

    async fn relay(&self, stop: &CancellationToken) {
        let mut leader = Leader::new(self);
        let mut backoff = Backoff::default();
        let mut failures = 0;
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
                tracing::warn!(error = format!("{error:#}"), "relay lost the connection to the broker; reconnecting");
                // Another replica may reach the broker.
                leader.lease.release().await;
                backoff.reset_if_steady(begun);
                failures = if begun.elapsed() > lease::LOOK_EVERY * 2 { 1 } else { failures + 1 };
                // .. so this one leaves it the time to notice that it may lead.
                let pause = if failures > 1 { lease::LOOK_EVERY + Duration::from_secs(1) } else { Duration::ZERO };
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = async { tokio::join!(backoff.wait(), tokio::time::sleep(pause)) } => {}
                }
            }
        }
        leader.lease.release().await;
    }

    /// Leads until the lease is lost, or until `stop`; fails when the connection is lost.
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

    /// Notifies the leading replica of events committed here, until it may be time to take over.
    async fn follow(&self, lease: &lease::Lease<'_>, stop: &CancellationToken) {
        let look_again = tokio::time::sleep(lease::LOOK_EVERY);
        tokio::pin!(look_again);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut look_again => return,
                () = self.outbox.signalled() => lease.signal().await,
            }
            tokio::time::sleep(Duration::from_millis(self.settings.pace_ms)).await;
        }
    }

    /// Wakes the relay for events committed by other replicas; never returns. While their notifications cannot be
    /// received, the leader polls.
    async fn hear_others(&self) {
        loop {
            let ended = listen(&self.database, self.name, SIGNAL, || self.outbox.wake()).await;
            tracing::warn!(%ended, "relay cannot listen for notifications of other replicas; it polls");
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
