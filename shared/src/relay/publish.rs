//! One message to the broker, and what the broker says to it.

use std::time::Duration;

use futures::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::rows::Row;
use crate::amqp::properties;

/// What became of one attempt to publish.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The broker has it, and every queue that must.
    Confirmed,
    /// The broker does not want this message: waits longer each time.
    Refused(String),
    /// A queue that must have it is missing: waits for the queue.
    Held(String),
    /// Nobody knows: the link failed, not the message.
    Unsent(String),
}

/// Publishes a window, in order, each without waiting for the one before, and waits for the confirms as long as
/// `limit`. What `doubt` says of a row holds it.
pub(super) async fn publish_window(
    channel: &Channel,
    rows: Vec<Row>,
    limit: Duration,
    doubt: impl Fn(&Row) -> Option<String>,
) -> Vec<(Row, Outcome)> {
    let deadline = Instant::now() + limit;
    let doubt = &doubt;
    let sends = rows.into_iter().map(|row| async move {
        let outcome = match doubt(&row) {
            Some(error) => Outcome::Held(error),
            None => timeout_at(deadline, publish(channel, &row))
                .await
                .unwrap_or_else(|_| Outcome::Unsent("the broker did not confirm in time".to_owned())),
        };
        (row, outcome)
    });
    join_all(sends).await
}

/// Publishes and waits for the confirm; the caller bounds the wait.
async fn publish(channel: &Channel, row: &Row) -> Outcome {
    let (properties, exchange, key) = match addressed(row) {
        Ok(addressed) => addressed,
        Err(error) => return Outcome::Refused(error),
    };
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmation = async { channel.basic_publish(exchange, key, options, &row.body, properties).await?.await };
    match confirmation.await {
        Err(error) => Outcome::Unsent(error.to_string()),
        Ok(Confirmation::Ack(Some(_))) if row.subscriber_required => {
            Outcome::Held(format!("no queue takes {} on {}", row.routing_key, row.exchange))
        }
        Ok(Confirmation::Ack(_)) => Outcome::Confirmed,
        Ok(Confirmation::Nack(_)) => Outcome::Refused("the broker refused it: a queue is full or down".to_owned()),
        Ok(Confirmation::NotRequested) => Outcome::Unsent("publisher confirms are off".to_owned()),
    }
}

/// What came from outside may be longer than AMQP allows: that is this row's error, nobody else's.
fn addressed(row: &Row) -> Result<(BasicProperties, ShortString, ShortString), String> {
    let short = |text: &str| ShortString::try_new(text).map_err(|error| error.to_string());
    let mut properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(short(&row.message_id)?)
        .with_headers(header_table(&row.headers)?);
    if !row.content_type.is_empty() {
        properties = properties.with_content_type(short(&row.content_type)?);
    }
    let properties = properties::restore(properties, &row.headers)?;
    Ok((properties, short(&row.exchange)?, short(&row.routing_key)?))
}

/// JSON texts and whole numbers as AMQP headers; what was no header is none.
fn header_table(headers: &Value) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    let is_header = |name: &str| !name.starts_with(properties::PREFIX);
    for (name, value) in headers.as_object().into_iter().flatten().filter(|(name, _)| is_header(name)) {
        let value = match value {
            Value::Number(number) => AMQPValue::LongLongInt(number.as_i64().unwrap_or_default()),
            Value::String(text) => AMQPValue::LongString(text.as_str().into()),
            other => AMQPValue::LongString(other.to_string().into()),
        };
        table.insert(ShortString::try_new(name.as_str()).map_err(|error| error.to_string())?, value);
    }
    Ok(table)
}
