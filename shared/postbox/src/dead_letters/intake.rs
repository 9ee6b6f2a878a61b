//! Storing messages that a consumer gives up, and those that the broker gave up (in `<queue>.dlq`).

use diesel_async::AsyncConnection;
use jaego_contracts::ReceivedEvent;
use jaego_contracts::topology::Queue;
use jaego_pg::StoreError;
use serde_json::Value;

use super::DeadLetters;
use super::letters::{self, Death};
use crate::message::Message;

impl DeadLetters {
    /// Fails while the table has no room.
    pub(crate) async fn take_in(
        &self,
        queue: &'static Queue,
        message: Message,
        death: Death,
    ) -> Result<(), StoreError> {
        if !self.has_room() {
            return Err(StoreError::Unavailable("there is no room for more dead letters".to_owned()));
        }
        let mut connection = self.pool.get().await?;
        connection
            .transaction(async move |connection| letters::keep(connection, queue, message, death, false).await)
            .await?;
        self.note_change();
        Ok(())
    }
}

impl Death {
    /// Death of a message that came from a dead-letter queue. The previous release published the messages that it
    /// gave up through the broker, with the reason in headers.
    pub(crate) fn of_rejected(message: &Message) -> Self {
        let text = |name: &str| message.headers.get(name).and_then(Value::as_str);
        let attempts = message.headers.get("x-jaego-attempts").and_then(Value::as_i64).unwrap_or(1);
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        if let Some(reason) = text("x-jaego-reason") {
            return Self::new(reason, text("x-jaego-error").unwrap_or_default(), attempts);
        }
        match (ReceivedEvent::parse(&message.body), text("x-first-death-reason")) {
            (Err(error), _) => Self::new(error.reason(), error.text(), attempts),
            (Ok(_), Some(why)) => {
                Self::new(&why.replace('_', "-"), &format!("the broker gave up on it: {why}"), attempts)
            }
            (Ok(_), None) => Self::new("unknown", "it came without a reason", attempts),
        }
    }
}
