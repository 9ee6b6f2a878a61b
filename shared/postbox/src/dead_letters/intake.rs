//! Moves messages that the broker gave up from `<queue>.dlq` into the table. A message is acknowledged only after it
//! has been stored.

use diesel_async::AsyncConnection;
use jaego_contracts::ReceivedEvent;
use jaego_contracts::topology::Queue;
use jaego_pg::StoreError;
use serde_json::{Map, Value};

use super::letters::{self, Death, NewDeadLetter};
use super::{DeadLetters, REDELIVERED_HEADER};

/// A message as it was delivered from `<queue>.dlq`.
pub(crate) struct DeadMessage {
    pub(crate) message_id: String,
    pub(crate) content_type: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Vec<u8>,
    /// The broker had delivered it before.
    pub(crate) is_redelivered: bool,
}

impl DeadLetters {
    /// Stores a dead message of `queue`.
    pub(crate) async fn take_in(&self, queue: &Queue, message: DeadMessage) -> Result<(), StoreError> {
        let death = death(&message);
        let letter = NewDeadLetter {
            queue: queue.name,
            is_redelivered: message.is_redelivered || message.headers.contains_key(REDELIVERED_HEADER),
            message_id: message.message_id,
            content_type: message.content_type,
            headers: message.headers,
            body: message.body,
            death,
            is_redriven: false,
        };
        let mut connection = self.pool.get().await?;
        connection.transaction(async |connection| letters::keep(connection, letter).await).await?;
        self.note_change();
        Ok(())
    }
}

/// The previous release published the messages that it gave up through the broker, with the reason in headers.
fn death(message: &DeadMessage) -> Death {
    let text = |name: &str| message.headers.get(name).and_then(Value::as_str);
    let attempts = message.headers.get("x-jaego-attempts").and_then(Value::as_i64).unwrap_or(1);
    let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
    if let Some(reason) = text("x-jaego-reason") {
        return Death::new(reason, text("x-jaego-error").unwrap_or_default(), attempts);
    }
    match (ReceivedEvent::parse(&message.body), text("x-first-death-reason")) {
        (Err(error), _) => Death::new(error.reason(), error.text(), attempts),
        (Ok(_), Some(why)) => Death::new(&why.replace('_', "-"), &format!("the broker gave up on it: {why}"), attempts),
        (Ok(_), None) => Death::new("unknown", "it came without a reason", attempts),
    }
}
