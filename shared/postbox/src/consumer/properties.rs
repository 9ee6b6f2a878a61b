//! Content type and other basic properties of a message. Outside the broker they are stored among its headers, under
//! names of their own, for operators who inspect a dead letter.

use lapin::BasicProperties;
use lapin::types::ShortString;
use serde_json::{Map, Value};

/// Prefix of the header that stores a property.
const PREFIX: &str = "x-jaego-property-";
const CONTENT_TYPE: &str = "x-jaego-property-content-type";

type Read = fn(&BasicProperties) -> &Option<ShortString>;

/// Text properties that are stored.
const TEXTS: [(&str, Read); 5] = [
    ("content-encoding", BasicProperties::content_encoding),
    ("correlation-id", BasicProperties::correlation_id),
    ("reply-to", BasicProperties::reply_to),
    ("type", BasicProperties::kind),
    ("app-id", BasicProperties::app_id),
];

/// Adds the properties to `headers`; `storable` replaces what the database cannot store in text.
pub(super) fn keep(properties: &BasicProperties, headers: &mut Map<String, Value>, storable: fn(&str) -> String) {
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
}

/// Removes the content type: empty if the message came without one, None when the message is our own.
pub(super) fn take_content_type(headers: &mut Map<String, Value>) -> Option<String> {
    headers.remove(CONTENT_TYPE)?.as_str().map(ToOwned::to_owned)
}
