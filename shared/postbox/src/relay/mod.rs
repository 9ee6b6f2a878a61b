//! The relay: publishes the events in the outbox, and deletes those that the broker has confirmed.
//!
//! One replica leads, the one that holds the lease; another takes over within seconds when it is stopped, dies or
//! loses the broker. The leader reads by id and keeps several windows in flight on one channel; the deletion of
//! confirmed events and the read of the next window share a round trip. A routing key that the broker does not accept
//! (no queue, a queue that is full or hangs, no permission) is held: it is probed at intervals, on a channel of its
//! own, while the events of other keys go on. An event may be published twice: consumers are idempotent by business
//! identity.

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
use self::leader::Leader;
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
        while !stop.is_cancelled() {
            let begun = tokio::time::Instant::now();
            // A replica takes the lease only after it has reached the broker, and releases it before it tries to reach
            // the broker again: another replica may have more luck.
            let connected = tokio::select! {
                link = connection::connect(&self.amqp, self.name, "relay") => link,
                () = self.notify_leader(&leader.lease) => return,
                () = stop.cancelled() => return,
            };
            let ended = match connected {
                Ok(link) => {
                    let ended = self.serve(&link, &mut leader, stop).await;
                    leader.lease.release().await;
                    if ended.is_ok() {
                        connection::close(link, &self.amqp).await;
                    }
                    ended
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                self.broker.fail(CONNECTION, &format!("{error:#}"));
                tracing::warn!(error = format!("{error:#}"), "relay lost the connection to the broker; reconnecting");
                backoff.reset_if_steady(begun);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                    () = self.notify_leader(&leader.lease) => {}
                }
            }
        }
    }

    /// Leads whenever it can take the lease, until `stop`; fails when the connection is lost.
    async fn serve(&self, link: &Link, leader: &mut Leader<'_>, stop: &CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            anyhow::ensure!(link.status().connected(), "the connection is closed");
            if leader.lease.take().await {
                tokio::select! {
                    led = leader.lead(link, stop) => led?,
                    () = self.hear_others() => {}
                }
            } else {
                leader.step_down();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(lease::LOOK_EVERY) => {}
                    () = self.notify_leader(&leader.lease) => {}
                }
            }
        }
        Ok(())
    }

    /// Notifies the leading replica of events committed here; never returns.
    async fn notify_leader(&self, lease: &lease::Lease<'_>) {
        loop {
            self.outbox.signalled().await;
            lease.signal().await;
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
