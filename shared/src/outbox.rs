//! The transactional outbox: what must be published joins the transaction of the change it tells of.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel::sql_types::{Array, Binary, Bool, Jsonb, Text};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::amqp::topology;
use crate::contracts::{self, OutgoingEvent};
use crate::db::{Statement, StatementSql, StoreError};
use crate::problem::{Problem, ProblemKind};

/// A message on its way to the broker.
#[derive(Debug, Clone)]
pub struct OutgoingMessage {
    /// AMQP `message_id`.
    pub message_id: String,
    /// Exchange.
    pub exchange: &'static str,
    /// Routing key.
    pub routing_key: String,
    /// Media type of the body.
    pub content_type: String,
    /// AMQP headers, texts and whole numbers.
    pub headers: Value,
    /// The body as it is sent.
    pub body: Vec<u8>,
    /// Whether a message that no queue takes is an error.
    pub subscriber_required: bool,
}

impl From<OutgoingEvent> for OutgoingMessage {
    fn from(event: OutgoingEvent) -> Self {
        Self {
            message_id: event.id.to_string(),
            exchange: topology::EVENTS,
            routing_key: event.kind.routing_key.to_owned(),
            content_type: contracts::CONTENT_TYPE.to_owned(),
            headers: json!({"traceparent": event.trace.to_string()}),
            body: event.body,
            subscriber_required: event.kind.subscriber_required,
        }
    }
}

struct Append;
impl StatementSql for Append {
    const SQL: &'static str = "INSERT INTO outbox \
        (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
        SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?)";
}

/// Adds messages in the caller's transaction. Signal [`Outbox::wake`] once it is committed.
pub async fn append(
    connection: &AsyncPgConnection,
    messages: impl IntoIterator<Item = impl Into<OutgoingMessage>>,
) -> Result<(), StoreError> {
    let messages: Vec<OutgoingMessage> = messages.into_iter().map(Into::into).collect();
    if !messages.is_empty() {
        appending(&messages).run(connection).await?;
    }
    Ok(())
}

/// What [`append`] does, to be done together with other statements.
pub fn appending(messages: &[OutgoingMessage]) -> Statement<impl StatementSql + use<>> {
    let column = |pick: fn(&OutgoingMessage) -> String| messages.iter().map(pick).collect::<Vec<_>>();
    let headers: Vec<Value> = messages.iter().map(|message| message.headers.clone()).collect();
    let subscriber_required: Vec<bool> = messages.iter().map(|message| message.subscriber_required).collect();
    Statement::<Append>::new()
        .bind::<Array<Text>, _>(column(|message| message.message_id.clone()))
        .bind::<Array<Text>, _>(column(|message| message.exchange.to_owned()))
        .bind::<Array<Text>, _>(column(|message| message.routing_key.clone()))
        .bind::<Array<Text>, _>(column(|message| message.content_type.clone()))
        .bind::<Array<Jsonb>, _>(headers)
        .bind::<Array<Binary>, _>(messages.iter().map(|message| message.body.clone()).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(subscriber_required)
}

/// The outbox as the rest of the process sees it: a bell for the relay, and how much waits.
#[derive(Clone, Debug)]
pub struct Outbox {
    bell: Arc<Notify>,
    /// For who counts what waits.
    written: Arc<Notify>,
    pending: Arc<AtomicI64>,
    pending_max: i64,
}

impl Outbox {
    /// With the bound from the settings.
    pub fn new(pending_max: i64) -> Self {
        Self {
            bell: Arc::new(Notify::new()),
            written: Arc::new(Notify::new()),
            pending: Arc::new(AtomicI64::new(0)),
            pending_max,
        }
    }

    /// Call after a commit that appended messages.
    pub fn wake(&self) {
        self.bell.notify_one();
        self.written.notify_one();
    }

    /// Refuses new work while too many messages wait for the broker.
    pub fn admit(&self) -> Result<(), Problem> {
        if self.pending() < self.pending_max {
            return Ok(());
        }
        let detail = "Too many events wait for the message broker; send the request again later.";
        Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(5))
    }

    /// Messages that waited when the relay last looked.
    pub fn pending(&self) -> i64 {
        self.pending.load(Ordering::Relaxed)
    }

    pub(crate) fn set_pending(&self, pending: i64) {
        self.pending.store(pending, Ordering::Relaxed);
    }

    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }
}
