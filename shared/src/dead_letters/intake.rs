//! From the broker into the table: nothing is acknowledged before it is stored.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use serde_json::{Map, Value};

use super::cause::Cause;
use super::letters::{self, NewLetter};
use super::{DeadLetters, REDELIVERED_HEADER};
use crate::amqp::topology::Queue;
use crate::contracts::callback::redact;
use crate::db::StoreError;
use crate::trace::TraceContext;

/// A message as it lies in `<queue>.dlq`.
pub(crate) struct DeadMessage {
    pub(crate) message_id: String,
    pub(crate) content_type: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Vec<u8>,
    /// It was handed out before.
    pub(crate) is_redelivered: bool,
}

impl DeadLetters {
    /// Whether the table has room; what it has none for stays on the broker.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.settings.waiting_max
    }

    /// Keeps a dead message of `queue`. The same death told twice is kept once; another death of the
    /// same message is told on the letter that is there. What was cured while its letter was on its way
    /// is kept as settled: it needs nobody.
    pub(crate) async fn keep(&self, queue: &Queue, message: DeadMessage) -> Result<(), StoreError> {
        let letter = letter(queue, message);
        let mut connection = self.pool.get().await?;
        let hooks = self.hooks.get(queue.name);
        connection
            .transaction(async |connection| {
                let end = match hooks {
                    Some(hooks) => (hooks.standing)(connection, letter.reason.clone(), letter.body.clone()).await?,
                    None => None,
                };
                letters::keep(connection, &letter, end).await
            })
            .await
    }
}

fn letter(queue: &Queue, message: DeadMessage) -> NewLetter {
    let text = |name: &str| message.headers.get(name).and_then(Value::as_str);
    // What the service dead-lettered tells why itself; else the broker did it.
    let (reason, error) = match (text("x-jaego-reason"), text("x-first-death-reason")) {
        (Some(reason), _) => (reason.to_owned(), text("x-jaego-error").unwrap_or_default().to_owned()),
        (None, Some(why)) => (why.replace('_', "-"), format!("the broker gave up on it: {why}")),
        (None, None) => ("unknown".to_owned(), "it came without a reason".to_owned()),
    };
    let error = redact(&error);
    // When the broker did it nobody has told the time, and each delivery looks like another death.
    let is_redelivered =
        text(REDELIVERED_HEADER).is_some() || message.is_redelivered && text("x-jaego-reason").is_none();
    let now = Utc::now();
    let failed_at = text("x-jaego-failed-at").and_then(|at| at.parse::<DateTime<Utc>>().ok()).unwrap_or(now);
    let body = match std::str::from_utf8(&message.body) {
        Ok(body) => redact(body).into_bytes(),
        Err(_) => message.body,
    };
    let traceparent = text("traceparent").and_then(|text| text.parse::<TraceContext>().ok());
    NewLetter {
        queue: queue.name,
        cause: Cause::of(queue.name, &reason, &error),
        attempts: message.headers.get("x-jaego-attempts").and_then(Value::as_i64).unwrap_or(1),
        trace_id: traceparent.map(TraceContext::trace_id),
        message_id: message.message_id,
        content_type: message.content_type,
        reason,
        error,
        headers: message.headers.into_iter().map(|(name, value)| (name, without_tokens(value))).collect(),
        body,
        failed_at,
        is_redelivered,
    }
}

fn without_tokens(value: Value) -> Value {
    match value {
        Value::String(text) => redact(&text).into(),
        other => other,
    }
}
