//! A queue and its handler.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use jaego_contracts::topology::Queue;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{DecodeError, ReceivedEvent};
use jaego_pg::StoreError;
use jaego_telemetry::EnterSpan as _;
use tracing::Instrument;

use crate::message::storable;

/// Reason why a handler did not handle a message.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Permanent: the message is dead-lettered at once.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// If the store is unavailable, the message waits and no attempt is counted. Other store errors count as
    /// failures.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message is retried, and dead-lettered after the last attempt.
    #[error("{0}")]
    Failed(String),
}

impl From<diesel::result::Error> for HandleError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A failed attempt at a message.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The reason that a dead letter gets, in the words of its first death, so that it stays in its group.
    pub(super) reason: &'static str,
    pub(super) error: String,
}

impl Failure {
    /// True if another attempt cannot succeed.
    pub(super) fn is_final(&self) -> bool {
        self.reason != HANDLER_FAILED
    }
}

const HANDLER_FAILED: &str = "handler-failed";

impl From<HandleError> for Failure {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Decode(error) => Self { reason: error.reason(), error: storable(error.text()) },
            error => Self { reason: HANDLER_FAILED, error: storable(&error.to_string()) },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// All the work that the message asked for is done.
    Done,
    /// The message started work that is still in progress. If it is a redriven dead letter, the code that does the
    /// work reports the outcome, by [`crate::dead_letters::resolve`] or another dead letter.
    Underway,
}

impl From<()> for Handled {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// Behaviour of a handler for events about something that another transaction has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfHeld {
    Wait,
    LeaveOut,
}

/// An event and the trace of its handling.
pub type TracedEvent = (ReceivedEvent, TraceContext);

/// Handles events in order, with the same effect as one by one: all of them or, if it returns an error, none. An event
/// that it leaves out, as [`IfHeld`] allows, is None. Called again for the same event after a failure, a crash or a
/// redrive.
pub type Handler = Arc<
    dyn Fn(Vec<TracedEvent>, IfHeld) -> BoxFuture<'static, Result<Vec<Option<Handled>>, HandleError>> + Send + Sync,
>;

/// A queue and its handler.
#[derive(Clone)]
pub struct Subscription {
    pub queue: &'static Queue,
    /// The field of the events' data that identifies what they lock: events with the same value are handled in
    /// order, others may overtake them.
    subject: &'static str,
    pub(super) takes_batches: bool,
    handler: Handler,
}

impl Subscription {
    /// Wraps an async function that handles one event.
    pub fn new<F, R, H>(queue: &'static Queue, subject: &'static str, handler: F) -> Self
    where
        F: Fn(ReceivedEvent, TraceContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<H, HandleError>> + Send + 'static,
        H: Into<Handled>,
    {
        let one = move |mut events: Vec<TracedEvent>, _| {
            let handling = events.pop().map(|(event, trace)| handler(event, trace));
            async move { Ok(vec![if let Some(handling) = handling { Some(handling.await?.into()) } else { None }]) }
                .boxed()
        };
        Self { queue, subject, takes_batches: false, handler: Arc::new(one) }
    }

    /// Wraps an async function that handles events that arrive together, as described at [`Handler`].
    pub fn in_batches<F, R>(queue: &'static Queue, subject: &'static str, handler: F) -> Self
    where
        F: Fn(Vec<TracedEvent>, IfHeld) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<Option<Handled>>, HandleError>> + Send + 'static,
    {
        let handler = move |events, if_held| handler(events, if_held).boxed();
        Self { queue, subject, takes_batches: true, handler: Arc::new(handler) }
    }

    /// The subject of a message. All unreadable messages share one subject.
    pub(super) fn subject(&self, event: &Result<ReceivedEvent, DecodeError>) -> String {
        let subject = event.as_ref().ok().and_then(|event| event.data.get(self.subject)?.as_str());
        subject.unwrap_or_default().to_owned()
    }

    /// Handles events together, to the end even when the caller is dropped. A handler dropped midway, because the
    /// connection to the broker is cut, would leave its transaction open on a pooled connection, and with it the locks
    /// of its rows.
    pub(super) async fn handle(
        &self,
        events: Vec<ReceivedEvent>,
        if_held: IfHeld,
    ) -> Result<Vec<Option<Handled>>, HandleError> {
        let queue = self.queue.name;
        // The spans last as long as the handling.
        let spans: Vec<_> = events
            .iter()
            .map(|event| tracing::info_span!("consume", queue, event = event.kind, event_id = event.id))
            .collect();
        let around = match spans.as_slice() {
            [only] => only.clone(),
            all => tracing::info_span!("consume_together", queue, events = all.len()),
        };
        let traced = events.into_iter().zip(&spans).map(|(event, span)| {
            let trace = event.trace().enter(span);
            (event, trace)
        });
        let handling = (self.handler)(traced.collect(), if_held).instrument(around);
        let ended = tokio::spawn(handling).await;
        ended.unwrap_or_else(|error| Err(HandleError::Failed(format!("the handler broke: {error}"))))
    }
}
