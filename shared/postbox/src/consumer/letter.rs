//! Conversion of deliveries from the broker into the form in which they are stored.

use jaego_contracts::topology::REDRIVE;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::properties;
use crate::dead_letters::REDELIVERED_HEADER;
use crate::dead_letters::intake::DeadMessage;

pub(super) fn dead_message(delivery: &Delivery) -> DeadMessage {
    let mut headers = headers(delivery);
    DeadMessage {
        message_id: message_id(delivery),
        content_type: properties::take_content_type(&mut headers).unwrap_or_default(),
        headers,
        body: delivery.data.clone(),
        is_redelivered: delivery.redelivered,
    }
}

/// True for a message that was redriven through the broker from outside; the service's own redrives bypass the
/// broker.
pub(super) fn is_redriven(delivery: &Delivery) -> bool {
    delivery.exchange.as_str() == REDRIVE
}

/// The message's id. A message without one is identified by the digest of its body, which is the same on every
/// delivery.
pub(super) fn message_id(delivery: &Delivery) -> String {
    let by_body = || format!("sha256:{}", hex::encode(Sha256::digest(&delivery.data)));
    delivery.properties.message_id().as_ref().map_or_else(by_body, |id| storable(id.as_str()))
}

/// Replaces NUL, which PostgreSQL cannot store in text: a message that contains one must not block its queue.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Headers to store with a message if its handling fails. They record whether it was delivered before, because then
/// it may already have failed.
pub(super) fn handled_headers(delivery: &Delivery) -> Map<String, Value> {
    let mut headers = headers(delivery);
    headers.remove(REDELIVERED_HEADER);
    if delivery.redelivered {
        headers.insert(REDELIVERED_HEADER.to_owned(), json!("true"));
    }
    headers
}

/// Text and number headers of the message, together with its properties. Headers of other types, such as the broker's
/// `x-death`, are left out.
fn headers(delivery: &Delivery) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value) in delivery.properties.headers().iter().flat_map(FieldTable::inner) {
        let value = match value {
            AMQPValue::LongString(text) => Value::String(storable(&String::from_utf8_lossy(text.as_bytes()))),
            AMQPValue::ShortString(text) => Value::String(storable(text.as_str())),
            AMQPValue::LongLongInt(number) => json!(number),
            AMQPValue::LongInt(number) => json!(number),
            _ => continue,
        };
        headers.insert(storable(name.as_str()), value);
    }
    properties::keep(&delivery.properties, &mut headers, storable);
    headers
}
