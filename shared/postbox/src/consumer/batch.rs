//! Messages that arrive together are handled together if the subscription has a batch handler: one transaction and
//! one acknowledgement for all of them.
//!
//! A batch is all or nothing, and never final: when it fails, or one of its messages must be handled separately (it
//! cannot be decoded, it is redriven), its messages are handled one by one, as without a batch. Attempts, retries and
//! dead letters therefore always belong to single messages.

use std::sync::Arc;

use futures::future::BoxFuture;
use jaego_contracts::ReceivedEvent;
use jaego_contracts::trace::TraceContext;
use jaego_telemetry::EnterSpan as _;
use lapin::message::Delivery;
use tracing::Instrument;

use super::letter::is_redriven;
use super::{HandleError, Subscription, to_its_end};

/// An event and the trace of its handling.
pub type TracedEvent = (ReceivedEvent, TraceContext);

/// Handles events of one queue in their order, with the same effect as their handler one by one: all of them, or
/// none.
pub type BatchHandler = Arc<dyn Fn(Vec<TracedEvent>) -> BoxFuture<'static, Result<(), HandleError>> + Send + Sync>;

/// Handles deliveries together; false when they must be handled one by one, and nothing has happened yet.
pub(super) async fn handle_together(subscription: &Subscription, deliveries: &[Delivery]) -> bool {
    let Some(handler) = subscription.batch_handler.as_ref().filter(|_| deliveries.len() > 1) else { return false };
    if deliveries.iter().any(is_redriven) {
        return false;
    }
    let Some(events) = deliveries.iter().map(|one| ReceivedEvent::parse(&one.data).ok()).collect::<Option<Vec<_>>>()
    else {
        return false;
    };
    let queue = subscription.queue.name;
    // The spans last as long as the batch.
    let spans: Vec<_> = events
        .iter()
        .map(|event| tracing::info_span!("consume", queue, event = event.kind, event_id = event.id))
        .collect();
    let traced = events.into_iter().zip(&spans).map(|(event, span)| {
        let trace = event.trace().enter(span);
        (event, trace)
    });
    let together = tracing::info_span!("consume_together", queue, events = deliveries.len());
    match to_its_end(handler(traced.collect()).instrument(together)).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(queue, %error, events = deliveries.len(), "events could not be handled together; handling them one by one");
            false
        }
    }
}
