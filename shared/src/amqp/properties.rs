//! What a message brings beside id, headers and body: its content type and the other basic properties. Off the
//! broker they are kept among its headers, under names of their own, so that it goes on as it came.

use lapin::BasicProperties;
use lapin::types::ShortString;
use serde_json::{Map, Value};

/// Before the name of each kept property.
pub(crate) const PREFIX: &str = "x-jaego-property-";
const CONTENT_TYPE: &str = "x-jaego-property-content-type";

type Read = fn(&BasicProperties) -> &Option<ShortString>;
type Write = fn(BasicProperties, ShortString) -> BasicProperties;

/// Texts that are kept. Not the sender's user (the broker wants the publisher's own), nor the expiration: what
/// was kept for a person must not expire.
const TEXTS: [(&str, Read, Write); 5] = [
    ("content-encoding", BasicProperties::content_encoding, BasicProperties::with_content_encoding),
    ("correlation-id", BasicProperties::correlation_id, BasicProperties::with_correlation_id),
    ("reply-to", BasicProperties::reply_to, BasicProperties::with_reply_to),
    ("type", BasicProperties::kind, BasicProperties::with_type),
    ("app-id", BasicProperties::app_id, BasicProperties::with_app_id),
];

/// Adds the properties to `headers`; `storable` makes a text one that the database takes.
pub(super) fn keep(properties: &BasicProperties, headers: &mut Map<String, Value>, storable: fn(&str) -> String) {
    let content_type = properties.content_type().as_ref().map_or_else(String::new, |text| storable(text.as_str()));
    headers.insert(CONTENT_TYPE.to_owned(), content_type.into());
    for (name, read, _) in TEXTS {
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
}

/// The content type that came, empty if none did; None when the message is our own.
pub(super) fn take_content_type(headers: &mut Map<String, Value>) -> Option<String> {
    headers.remove(CONTENT_TYPE)?.as_str().map(ToOwned::to_owned)
}

/// Sets what was kept among `headers` again.
pub(crate) fn restore(mut properties: BasicProperties, headers: &Value) -> Result<BasicProperties, String> {
    for (name, _, write) in TEXTS {
        if let Some(text) = headers[format!("{PREFIX}{name}")].as_str() {
            properties = write(properties, ShortString::try_new(text).map_err(|error| error.to_string())?);
        }
    }
    let number = |name: &str| headers[format!("{PREFIX}{name}")].as_u64();
    if let Some(priority) = number("priority").and_then(|priority| u8::try_from(priority).ok()) {
        properties = properties.with_priority(priority);
    }
    if let Some(timestamp) = number("timestamp") {
        properties = properties.with_timestamp(timestamp);
    }
    Ok(properties)
}
