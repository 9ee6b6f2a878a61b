//! The transactional outbox: an event is written in the transaction of the change that it announces.

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

/// Adds events in the caller's transaction. Call [`Outbox::wake`] once it is committed.
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

/// The statement of [`append`], to be run together with others.
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

pub fn headers(event: &OutgoingEvent) -> Value {
    json!({"traceparent": event.trace.to_string()})
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many events wait for the message broker")]
pub struct OutboxFull;

/// The outbox as the rest of the process sees it: notifies the relay, and knows how many events are pending.
#[derive(Clone, Debug)]
pub struct Outbox {
    signal: Arc<Notify>,
    /// Notifies the backlog counter.
    written: Arc<Notify>,
    pending: Arc<AtomicI64>,
    pending_max: i64,
}

impl Outbox {
    /// `pending_max` is the bound from the settings.
    pub fn new(pending_max: i64) -> Self {
        Self {
            signal: Arc::new(Notify::new()),
            written: Arc::new(Notify::new()),
            pending: Arc::new(AtomicI64::new(0)),
            pending_max,
        }
    }

    /// Call after a commit that appended events.
    pub fn wake(&self) {
        self.signal.notify_one();
        self.written.notify_one();
    }

    /// Refuses new work while too many events wait for the broker.
    pub fn admit(&self) -> Result<(), OutboxFull> {
        if self.pending() < self.pending_max { Ok(()) } else { Err(OutboxFull) }
    }

    /// Number of events that were pending at the relay's last count.
    pub fn pending(&self) -> i64 {
        self.pending.load(Ordering::Relaxed)
    }

    pub(crate) fn set_pending(&self, pending: i64) {
        self.pending.store(pending, Ordering::Relaxed);
    }

    pub(crate) async fn signalled(&self) {
        self.signal.notified().await;
    }

    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }
}
