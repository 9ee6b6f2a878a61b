//! The contracts between Jaego's programs: identifiers, the events on the broker (CloudEvents 1.0 in structured JSON,
//! one file per message family), its topology, the callback token and
//! the credentials of operators.
//!
//! A published version is never changed: a new shape gets a new version beside the old one.

#![warn(missing_docs)]

pub mod asyncapi;
pub mod callback;
pub mod callback_body;
pub mod cursor;
pub mod definitions;
pub mod factory;
pub mod ids;
pub mod issued;
pub mod order;
pub mod production;
pub mod replenishment;
pub mod stock;
pub mod topology;
pub mod trace;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::EventId;
use crate::trace::TraceContext;

/// Media type of every event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Longest id or type of an event, in bytes: the limit of AMQP short strings.
const NAME_BYTES_MAX: usize = 255;

/// A type of event: its versioned name, its routing key, and whether it must have a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub struct EventKind {
    /// Versioned type name, such as `jaego.stock.received.v1`.
    pub name: &'static str,
    /// Routing key on the exchange `jaego.events`.
    pub routing_key: &'static str,
    /// If true, publishing with no queue bound is an error: the event is kept and the error reported.
    pub subscriber_required: bool,
}

/// An event to be published, complete except for its position in the outbox.
#[derive(Debug, Clone)]
pub struct OutgoingEvent {
    /// Identity of the event; a redrive does not change it.
    pub id: EventId,
    /// Type of the event.
    pub kind: &'static EventKind,
    /// Trace that the event belongs to.
    pub trace: TraceContext,
    /// The CloudEvent as JSON.
    pub body: Vec<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
struct Envelope<'a, T> {
    specversion: &'static str,
    id: EventId,
    source: &'a str,
    r#type: &'static str,
    subject: &'a str,
    time: DateTime<Utc>,
    datacontenttype: &'static str,
    traceparent: String,
    data: &'a T,
}

impl OutgoingEvent {
    /// Creates an event of `kind` about `subject` (an id), sent by the service `source`.
    pub fn new(
        kind: &'static EventKind,
        source: &str,
        subject: &str,
        trace: TraceContext,
        data: &impl Serialize,
    ) -> Self {
        let id = EventId::generate();
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source: &format!("/jaego/{source}"),
            r#type: kind.name,
            subject,
            time: Utc::now(),
            datacontenttype: "application/json",
            traceparent: trace.to_string(),
            data,
        };
        // Contract types contain only texts, numbers and times, so serializing them to memory cannot fail.
        let body = serde_json::to_vec(&envelope).unwrap_or_default();
        Self { id, kind, trace, body }
    }
}

/// An event as received from the broker.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedEvent {
    specversion: String,
    /// Event id, 1 to 255 bytes without control characters.
    pub id: String,
    /// Versioned type name, 1 to 255 bytes without control characters.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sender's trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// The payload, not yet decoded.
    pub data: Value,
    /// The whole event as received, for passing it on unchanged.
    #[serde(skip)]
    pub raw: Vec<u8>,
    /// True when an operator has redriven the event: it was a dead letter before.
    #[serde(skip)]
    pub is_redriven: bool,
}

/// Reason why a message cannot be decoded; such a message is dead-lettered at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a CloudEvent, or the data does not match the type.
    #[error("undecodable: {0}")]
    Undecodable(String),
    /// The consumer of the queue does not know the type, or not in this version.
    #[error("unknown type or version: {0}")]
    UnknownType(String),
}

impl DecodeError {
    /// Returns the description of the error.
    pub fn text(&self) -> &str {
        match self {
            Self::Undecodable(text) | Self::UnknownType(text) => text,
        }
    }

    /// Returns the reason that the dead letter gets.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::UnknownType(_) => "unknown-type",
        }
    }
}

impl ReceivedEvent {
    /// Parses and checks the envelope; the data is not decoded yet.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let mut event: Self =
            serde_json::from_slice(body).map_err(|error| DecodeError::Undecodable(error.to_string()))?;
        body.clone_into(&mut event.raw);
        if event.specversion != "1.0" {
            return Err(DecodeError::Undecodable(format!("specversion {:?}", event.specversion)));
        }
        for (name, text) in [("id", &event.id), ("type", &event.kind)] {
            if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(DecodeError::Undecodable(format!(
                    "{name}: must be 1 to 255 bytes without control characters"
                )));
            }
        }
        Ok(event)
    }

    /// Decodes the data for a queue that carries one type; any other is `UnknownType`.
    pub fn decode<T: DeserializeOwned>(&self, kind: &EventKind) -> Result<T, DecodeError> {
        if self.kind == kind.name { self.data_as() } else { Err(DecodeError::UnknownType(self.kind.clone())) }
    }

    /// Decodes the data as one of several types with the same shape, and returns which one it was.
    pub fn decode_any<T: DeserializeOwned>(
        &self,
        kinds: &[&'static EventKind],
    ) -> Result<(&'static EventKind, T), DecodeError> {
        let kind = kinds.iter().find(|kind| kind.name == self.kind);
        let kind = kind.ok_or_else(|| DecodeError::UnknownType(self.kind.clone()))?;
        Ok((kind, self.data_as()?))
    }

    fn data_as<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        T::deserialize(&self.data).map_err(|error| DecodeError::Undecodable(error.to_string()))
    }

    /// Returns the trace context for handling this event: a child of the sender's, or a new trace when there is none.
    pub fn trace(&self) -> TraceContext {
        TraceContext::continue_from(self.traceparent.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(id: &str, kind: &str) -> Result<ReceivedEvent, DecodeError> {
        ReceivedEvent::parse(json!({"specversion": "1.0", "id": id, "type": kind, "data": {}}).to_string().as_bytes())
    }

    #[test]
    fn names_that_cannot_be_kept_or_sent_on_are_undecodable() {
        assert!(parse("1", "jaego.stock.received.v1").is_ok());
        let long = "x".repeat(256);
        for (id, kind) in [("", "t"), ("1", ""), (long.as_str(), "t"), ("1", long.as_str()), ("1", "a\0b"), ("\n", "t")]
        {
            assert!(matches!(parse(id, kind), Err(DecodeError::Undecodable(_))), "{id:?} {kind:?}");
        }
    }
}
