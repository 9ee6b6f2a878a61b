//! The transactional outbox: what must be published joins the transaction of the change it tells of.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel::sql_types::{Array, Binary, Bool, Jsonb, Text};
use diesel_async::AsyncPgConnection;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::topology;
use jaego_pg::{Statement, StatementSql, StoreError};
use serde_json::{Value, json};
use tokio::sync::Notify;

struct Append;
impl StatementSql for Append {
    const SQL: &'static str = "INSERT INTO outbox \
        (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
        SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?)";
}

/// Adds events in the caller's transaction. Signal [`Outbox::wake`] once it is committed.
pub async fn append(
    connection: &AsyncPgConnection,
    events: impl IntoIterator<Item = OutgoingEvent>,
) -> Result<(), StoreError> {
    let events: Vec<OutgoingEvent> = events.into_iter().collect();
    if !events.is_empty() {
        appending(&events).run(connection).await?;
    }
    Ok(())
}

/// What [`append`] does, to be done together with other statements.
pub fn appending(events: &[OutgoingEvent]) -> Statement<impl StatementSql + use<>> {
    let column = |pick: fn(&OutgoingEvent) -> String| events.iter().map(pick).collect::<Vec<_>>();
    Statement::<Append>::new()
        .bind::<Array<Text>, _>(column(|event| event.id.to_string()))
        .bind::<Array<Text>, _>(column(|_| topology::EVENTS.to_owned()))
        .bind::<Array<Text>, _>(column(|event| event.kind.routing_key.to_owned()))
        .bind::<Array<Text>, _>(column(|_| jaego_contracts::CONTENT_TYPE.to_owned()))
        .bind::<Array<Jsonb>, _>(events.iter().map(headers).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(events.iter().map(|event| event.body.clone()).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(events.iter().map(|event| event.kind.subscriber_required).collect::<Vec<_>>())
}

/// The AMQP headers of an event.
pub fn headers(event: &OutgoingEvent) -> Value {
    json!({"traceparent": event.trace.to_string()})
}

/// Too many messages wait for the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many events wait for the message broker")]
pub struct OutboxFull;

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
    pub fn admit(&self) -> Result<(), OutboxFull> {
        if self.pending() < self.pending_max { Ok(()) } else { Err(OutboxFull) }
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
