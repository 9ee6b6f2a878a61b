//! Queue operations over AMQP, which is up to date: the management API's numbers lag behind by seconds.

use std::time::Duration;

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::{Error, Result};

const TIMEOUT: Duration = Duration::from_secs(15);

/// Number of messages that wait in a queue now, without those that a consumer holds.
pub async fn amqp_depth(url: &str, queue: &str) -> Result<u32> {
    with_channel(url, async |channel| {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.map(|declared| declared.message_count()).map_err(|source| amqp(format!("look at {queue}"), source))
    })
    .await
}

/// Removes the waiting messages of a queue and returns their number.
pub async fn amqp_purge(url: &str, queue: &str) -> Result<u32> {
    with_channel(url, async |channel| {
        let purged = channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await;
        purged.map_err(|source| amqp(format!("purge {queue}"), source))
    })
    .await
}

/// Deletes a queue with its messages and declares it at once, with these arguments. Bindings are lost.
pub async fn amqp_renew(url: &str, queue: &str, arguments: &Value) -> Result<()> {
    let mut table = FieldTable::default();
    for (name, value) in arguments.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(text.as_str().into()),
            other => AMQPValue::LongLongInt(other.as_i64().unwrap_or_default()),
        };
        table.insert(name.as_str().into(), value);
    }
    with_channel(url, async |channel| {
        let deleted = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        deleted.map_err(|source| amqp(format!("delete {queue}"), source))?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), options, table).await;
        declared.map(drop).map_err(|source| amqp(format!("declare {queue}"), source))
    })
    .await
}

async fn with_channel<T>(url: &str, work: impl AsyncFnOnce(&Channel) -> Result<T>) -> Result<T> {
    let all = async {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .map_err(|source| amqp("connect".into(), source))?;
        let channel = connection.create_channel().await.map_err(|source| amqp("open a channel".into(), source))?;
        let answer = work(&channel).await;
        connection.close(200, "done".into()).await.ok();
        answer
    };
    timeout(TIMEOUT, all).await.map_err(|_| Error::Invalid(format!("RabbitMQ took more than {TIMEOUT:?} over AMQP")))?
}

fn amqp(doing: String, source: lapin::Error) -> Error {
    Error::Amqp { doing, source }
}
