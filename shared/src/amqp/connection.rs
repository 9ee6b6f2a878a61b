//! Connections with a bound on every wait. Nothing here recovers: who uses a connection rebuilds it.

use std::time::Duration;

use anyhow::Context;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::settings::Amqp;

/// Connects as the service's own user; `purpose` shows in the broker's list of connections.
pub async fn connect(settings: &Amqp, service: &str, purpose: &str) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(format!("{service}: {purpose}").into());
    let mut uri: lapin::uri::AMQPUri =
        settings.url.expose_secret().parse().map_err(|_| anyhow::anyhow!("amqp.url cannot be read"))?;
    uri.query.heartbeat.get_or_insert(5);
    uri.query.connection_timeout.get_or_insert(settings.timeout_ms);
    timeout(limit(settings), Connection::connect_uri(uri, properties))
        .await
        .context("the broker did not answer in time")?
        .context("cannot connect to the broker")
}

/// A channel on which every publication is confirmed.
pub async fn confirming_channel(connection: &Connection, settings: &Amqp) -> anyhow::Result<Channel> {
    timeout(limit(settings), async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok::<_, lapin::Error>(channel)
    })
    .await
    .context("the broker did not open a channel in time")?
    .context("cannot open a channel")
}

/// Says goodbye, if the other side still listens.
pub async fn close(connection: Connection, settings: &Amqp) {
    if connection.status().connected() {
        // A connection that cannot be closed is dropped: the broker requeues what is unacknowledged.
        drop(timeout(limit(settings), connection.close(200, "bye".into())).await);
    }
}

fn limit(settings: &Amqp) -> Duration {
    Duration::from_millis(settings.timeout_ms)
}

/// Waits between tries: 100 ms doubling to 5 s, each with up to half of it at random.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// After a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Before the next try.
    pub async fn wait(&mut self) {
        let full = (100_u64 << self.tries.min(6)).min(5_000);
        self.tries += 1;
        let jittered = full / 2 + rand::random_range(0..=full / 2);
        tokio::time::sleep(Duration::from_millis(jittered)).await;
    }
}
