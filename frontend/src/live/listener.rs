//! Consumes every event, on an exclusive queue that is deleted with its connection.

use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use jaego_amqp::connection;
use jaego_amqp::connection::Backoff;
use jaego_amqp::health::{BrokerHealth, CONNECTION};
use jaego_amqp::settings::Broker;
use jaego_contracts::topology::{EVENTS, LIVE_KEYS, LIVE_QUEUES};
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Connection, Consumer};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;

/// Maximum messages that wait at the broker while this process is slow; then the oldest is dropped, which delays no
/// other program.
const QUEUE_LENGTH_MAX: i32 = 10_000;

pub struct Listener {
    /// Name of this program at the broker.
    pub name: &'static str,
    pub amqp: Broker,
    /// Receives the state of the connection.
    pub health: BrokerHealth,
    pub hub: Hub,
}

impl Listener {
    /// Consumes events until `stop`, and reconnects when the connection is lost.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let session = async {
                let link = connection::connect(&self.amqp, self.name, "live events").await?;
                let ended = self.session(&link, &stop).await;
                self.hub.set_online(false);
                connection::close(link, &self.amqp).await;
                ended
            };
            if let Err(error) = session.await {
                self.health.fail(CONNECTION, &format!("{error:#}"));
                tracing::warn!(
                    error = format!("{error:#}"),
                    "live events lost the connection to the broker; reconnecting"
                );
                backoff.reset_if_steady(begun);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }

    /// Consumes events until the connection is lost or `stop`.
    async fn session(&self, link: &Connection, stop: &CancellationToken) -> anyhow::Result<()> {
        let limit = Duration::from_millis(self.amqp.timeout_ms);
        let mut consumer = timeout(limit, self.consume(link)).await.context("the broker did not answer in time")??;
        self.health.pass(CONNECTION);
        self.hub.set_online(true);
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = consumer.next() => next.context("the broker ended the consumer")?.context("delivery failed")?,
            };
            self.hub.publish(delivery.routing_key.as_str(), &delivery.data);
        }
    }

    async fn consume(&self, link: &Connection) -> anyhow::Result<Consumer> {
        let channel = link.create_channel().await.context("cannot open a channel")?;
        let queue = format!("{LIVE_QUEUES}{:032x}", rand::random::<u128>());
        let mut arguments = FieldTable::default();
        // Explicit, because a virtual host may declare quorum queues by default, which cannot be exclusive.
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("classic")));
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(QUEUE_LENGTH_MAX));
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), options, arguments).await.context("cannot declare a queue")?;
        for key in LIVE_KEYS {
            let bound = channel.queue_bind(
                queue.as_str().into(),
                EVENTS.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.with_context(|| format!("cannot bind to {EVENTS}"))?;
        }
        // No acknowledgements: losing these messages is acceptable.
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(queue.as_str().into(), self.name.into(), options, FieldTable::default());
        consumer.await.context("cannot consume")
    }
}
