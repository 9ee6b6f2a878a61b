//! A message outside the broker: in the retries, and as a dead letter.

use jaego_contracts::topology::REDRIVE;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Prefix of the header that stores a basic property of the message, for operators who inspect a dead letter.
const PREFIX: &str = "x-jaego-property-";
const CONTENT_TYPE: &str = "x-jaego-property-content-type";
/// Marks a message that the broker had delivered before, so that its death may already be stored.
const REDELIVERED: &str = "x-jaego-redelivered";

type Read = fn(&BasicProperties) -> &Option<ShortString>;

/// Text properties that are stored.
const TEXTS: [(&str, Read); 5] = [
    ("content-encoding", BasicProperties::content_encoding),
    ("correlation-id", BasicProperties::correlation_id),
    ("reply-to", BasicProperties::reply_to),
    ("type", BasicProperties::kind),
    ("app-id", BasicProperties::app_id),
];

/// A message as it is stored.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    /// Its text and number headers, together with its properties.
    pub headers: Map<String, Value>,
    pub body: Vec<u8>,
}

impl Message {
    /// An event that a service stores without having received it again.
    pub fn of_event(id: String, traceparent: &str, body: Vec<u8>) -> Self {
        let headers = [("traceparent", traceparent), (CONTENT_TYPE, jaego_contracts::CONTENT_TYPE)];
        Self { id, headers: headers.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect(), body }
    }

    /// A message of a service's queue, or of a dead-letter queue: only the latter may have been marked as redelivered
    /// by the service itself.
    pub(crate) fn delivered(delivery: &Delivery, is_dead: bool) -> Self {
        let mut headers = headers(delivery);
        if !is_dead {
            headers.remove(REDELIVERED);
        }
        if delivery.redelivered {
            headers.insert(REDELIVERED.to_owned(), json!("true"));
        }
        // A message without an id is identified by the digest of its body, which is the same on every delivery.
        let by_body = || format!("sha256:{}", hex::encode(Sha256::digest(&delivery.data)));
        let id = delivery.properties.message_id().as_ref().map_or_else(by_body, |id| storable(id.as_str()));
        Self { id, headers, body: delivery.data.clone() }
    }

    /// Removes the media type from the headers; empty if the message came without one.
    pub(crate) fn take_content_type(&mut self) -> String {
        let kept = self.headers.remove(CONTENT_TYPE);
        kept.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(crate) fn is_redelivered(&self) -> bool {
        self.headers.contains_key(REDELIVERED)
    }
}

/// True for a message that was redriven through the broker from outside; the service's own redrives bypass the
/// broker.
pub(crate) fn is_redriven(delivery: &Delivery) -> bool {
    delivery.exchange.as_str() == REDRIVE
}

/// Replaces NUL, which PostgreSQL cannot store in text: a message that contains one must not block its queue.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Headers of other types, such as the broker's `x-death`, are left out.
fn headers(delivery: &Delivery) -> Map<String, Value> {
    let mut headers = Map::new();
    let properties = &delivery.properties;
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        let value = match value {
            AMQPValue::LongString(text) => Value::String(storable(&String::from_utf8_lossy(text.as_bytes()))),
            AMQPValue::ShortString(text) => Value::String(storable(text.as_str())),
            AMQPValue::LongLongInt(number) => json!(number),
            AMQPValue::LongInt(number) => json!(number),
            _ => continue,
        };
        headers.insert(storable(name.as_str()), value);
    }
    let content_type = properties.content_type().as_ref().map_or_else(String::new, |text| storable(text.as_str()));
    headers.insert(CONTENT_TYPE.to_owned(), content_type.into());
    for (name, read) in TEXTS {
        if let Some(text) = read(properties) {
            headers.insert(format!("{PREFIX}{name}"), storable(text.as_str()).into());
        }
    }
    if let Some(priority) = properties.priority() {
        headers.insert(format!("{PREFIX}priority"), (*priority).into());
    }
    if let Some(timestamp) = properties.timestamp() {
        headers.insert(format!("{PREFIX}timestamp"), (*timestamp).into());
    }
    headers
}
