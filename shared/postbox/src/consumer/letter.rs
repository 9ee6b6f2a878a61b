//! Messages as they come from the broker.

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

/// Somebody has sent it back from outside; what this service sends back does not come through the broker.
pub(super) fn is_redriven(delivery: &Delivery) -> bool {
    delivery.exchange.as_str() == REDRIVE
}

/// The message's id; one without is named by its body, the same each time it is delivered.
pub(super) fn message_id(delivery: &Delivery) -> String {
    let by_body = || format!("sha256:{}", hex::encode(Sha256::digest(&delivery.data)));
    delivery.properties.message_id().as_ref().map_or_else(by_body, |id| storable(id.as_str()))
}

/// PostgreSQL knows no NUL in a text; whoever sent one must not block a queue with it.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// The headers of a message that is to be handled, with which it is kept if that fails: they tell whether it
/// was handed out before, when it may have failed already.
pub(super) fn handled_headers(delivery: &Delivery) -> Map<String, Value> {
    let mut headers = headers(delivery);
    headers.remove(REDELIVERED_HEADER);
    if delivery.redelivered {
        headers.insert(REDELIVERED_HEADER.to_owned(), json!("true"));
    }
    headers
}

/// The message's text and number headers, the broker's own left out, and with them its properties.
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
