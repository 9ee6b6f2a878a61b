//! Messages to the broker, and what the broker says to them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::rows::Row;
use crate::amqp::{connection, properties};
use crate::settings::Broker;

/// Where messages are published. The client hands a message that the broker returns to whichever confirm comes next
/// on its channel. Returns are usual for events that nobody needs to have subscribed, so the others have a channel of
/// their own, on which a return means that something is wrong.
pub(super) struct Channels {
    needed: Channel,
    optional: Channel,
}

impl Channels {
    pub(super) async fn open(link: &Connection, settings: &Broker) -> anyhow::Result<Self> {
        let needed = connection::confirming_channel(link, settings).await?;
        let optional = connection::confirming_channel(link, settings).await?;
        Ok(Self { needed, optional })
    }

    pub(super) fn are_open(&self) -> bool {
        self.needed.status().connected() && self.optional.status().connected()
    }

    fn of(&self, row: &Row) -> &Channel {
        if row.subscriber_required { &self.needed } else { &self.optional }
    }
}

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
    channels: &Channels,
    rows: Vec<Row>,
    limit: Duration,
    doubt: impl Fn(&Row) -> Option<String>,
) -> Vec<(Row, Outcome)> {
    let deadline = Instant::now() + limit;
    let doubt = &doubt;
    let sends = rows.into_iter().map(|row| async move {
        let (outcome, returned) = match doubt(&row) {
            Some(error) => (Outcome::Held(error), None),
            None => timeout_at(deadline, publish(channels.of(&row), &row))
                .await
                .unwrap_or_else(|_| (Outcome::Unsent("the broker did not confirm in time".to_owned()), None)),
        };
        ((row, outcome), returned)
    });
    let (mut rows, returned): (Vec<_>, Vec<Option<Returned>>) = join_all(sends).await.into_iter().unzip();
    let returned: Vec<Returned> = returned.into_iter().flatten().collect();
    if !returned.is_empty() {
        hold_returned(&mut rows, returned);
    }
    rows
}

/// The id of a message that came back with a confirm, perhaps with that of another message.
struct Returned(Option<String>);

/// Holds those that were returned. When one is of another window, nobody knows which of this one's stand in its place:
/// all of them are published again, which consumers bear.
fn hold_returned(rows: &mut [(Row, Outcome)], returned: Vec<Returned>) {
    let own: BTreeSet<String> = rows.iter().map(|(row, _)| row.message_id.clone()).collect();
    let returned: Option<BTreeSet<String>> =
        returned.into_iter().map(|Returned(id)| id.filter(|id| own.contains(id))).collect();
    for (row, outcome) in rows.iter_mut().filter(|(row, _)| row.subscriber_required) {
        let is_returned = returned.as_ref().is_none_or(|ids| ids.contains(&row.message_id));
        if is_returned && matches!(outcome, Outcome::Confirmed) {
            *outcome = Outcome::Held(format!("no queue takes {} on {}", row.routing_key, row.exchange));
        }
    }
}

/// Publishes and waits for the confirm; the caller bounds the wait. What came back counts for events that must have a
/// subscriber.
async fn publish(channel: &Channel, row: &Row) -> (Outcome, Option<Returned>) {
    let (properties, exchange, key) = match addressed(row) {
        Ok(addressed) => addressed,
        Err(error) => return (Outcome::Refused(error), None),
    };
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmation = async { channel.basic_publish(exchange, key, options, &row.body, properties).await?.await };
    let outcome = match confirmation.await {
        Err(error) => Outcome::Unsent(error.to_string()),
        Ok(Confirmation::Ack(returned)) => {
            let id = |properties: &BasicProperties| properties.message_id().as_ref().map(ToString::to_string);
            let returned = returned.filter(|_| row.subscriber_required);
            return (Outcome::Confirmed, returned.map(|message| Returned(id(&message.delivery.properties))));
        }
        Ok(Confirmation::Nack(_)) => Outcome::Refused("the broker refused it: a queue is full or down".to_owned()),
        Ok(Confirmation::NotRequested) => Outcome::Unsent("publisher confirms are off".to_owned()),
    };
    (outcome, None)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that were confirmed, the last of which nobody need subscribe; which of them are held when these came back.
    fn held(returned: &[Option<&str>]) -> Vec<bool> {
        let row = |(id, (name, subscriber_required)): (i64, (&str, bool))| Row {
            claim_id: 1,
            id,
            message_id: name.to_owned(),
            exchange: "e".to_owned(),
            routing_key: "k".to_owned(),
            content_type: String::new(),
            headers: Value::Null,
            body: Vec::new(),
            subscriber_required,
            attempts: 0,
        };
        let rows = (1..).zip([("a", true), ("b", true), ("c", false)]);
        let mut rows: Vec<_> = rows.map(|named| (row(named), Outcome::Confirmed)).collect();
        hold_returned(&mut rows, returned.iter().map(|id| Returned(id.map(str::to_owned))).collect());
        rows.iter().map(|(_, outcome)| matches!(outcome, Outcome::Held(_))).collect()
    }

    #[test]
    fn what_came_back_is_held_whichever_confirm_it_came_with() {
        assert_eq!(held(&[Some("b")]), [false, true, false]);
        assert_eq!(held(&[Some("b"), Some("a")]), [true, true, false]);
    }

    #[test]
    fn all_that_need_a_subscriber_are_held_when_nobody_knows_what_came_back() {
        assert_eq!(held(&[Some("of another window")]), [true, true, false]);
        assert_eq!(held(&[Some("a"), None]), [true, true, false]);
    }
}
