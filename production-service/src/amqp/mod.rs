//! Decodes each message into a command.

use std::sync::Arc;

use jaego_contracts::topology::{PRODUCTION_REPLENISHMENTS_CLOSED, PRODUCTION_REQUESTS, PRODUCTION_STOCK_RECEIVED};
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{DecodeError, ReceivedEvent, production, replenishment, stock};
use jaego_postbox::consumer::{HandleError, IfHeld, Subscription, TracedEvent};
use jaego_postbox::dead_letters::Hooks;

use crate::commands::Context;
use crate::commands::book_receipt::book_receipt;
use crate::commands::close_request::close_request;
use crate::commands::discard_request::{discard_request, lock_for_letter};
use crate::commands::keep_requests::{Message, keep_requests};

/// Queues of this service and their handlers.
pub fn subscriptions(context: &Context) -> [Subscription; 3] {
    let keeping = context.clone();
    let on_requested = move |events: Vec<TracedEvent>, if_held: IfHeld| {
        let context = keeping.clone();
        async move {
            let read = |(event, trace): TracedEvent| message_of(event, trace);
            let messages = events.into_iter().map(read).collect::<Result<Vec<_>, DecodeError>>()?;
            Ok(keep_requests(&context, messages, if_held).await?)
        }
    };
    [
        Subscription::in_batches(&PRODUCTION_REQUESTS, "request_id", on_requested),
        Subscription::new(&PRODUCTION_REPLENISHMENTS_CLOSED, "request_id", with(context, on_closed)),
        Subscription::new(&PRODUCTION_STOCK_RECEIVED, "request_id", with(context, on_received)),
    ]
}

/// Discarding the dead letter of a production request cancels the request, even one whose message failed before it
/// was stored. A body that cannot be read as a request is ignored.
pub fn letters_of_requests() -> Hooks {
    Hooks {
        lock: Arc::new(|connection, body| {
            Box::pin(async move {
                let Some(message) = asked_for(&body) else { return Ok(()) };
                lock_for_letter(connection, message.requested.request_id).await
            })
        }),
        discarded: Arc::new(|connection, body| {
            Box::pin(async move {
                let Some(message) = asked_for(&body) else { return Ok(()) };
                discard_request(connection, message).await
            })
        }),
    }
}

fn asked_for(body: &[u8]) -> Option<Message> {
    let event = ReceivedEvent::parse(body).ok()?;
    let trace = event.trace();
    message_of(event, trace).ok()
}

fn message_of(event: ReceivedEvent, trace: TraceContext) -> Result<Message, DecodeError> {
    let requested = event.decode(&production::REQUESTED)?;
    Ok(Message { requested, is_redriven: event.is_redriven, event_id: event.id, event: event.raw, trace })
}

fn with<F, R>(context: &Context, handler: F) -> impl Fn(ReceivedEvent, TraceContext) -> R + Send + Sync + 'static
where
    F: Fn(Context, ReceivedEvent, TraceContext) -> R + Send + Sync + 'static,
{
    let context = context.clone();
    move |event, trace| handler(context.clone(), event, trace)
}

async fn on_closed(context: Context, event: ReceivedEvent, _: TraceContext) -> Result<(), HandleError> {
    Ok(close_request(&context, event.decode(&replenishment::CLOSED)?).await?)
}

async fn on_received(context: Context, event: ReceivedEvent, _: TraceContext) -> Result<(), HandleError> {
    Ok(book_receipt(&context, event.decode(&stock::RECEIVED)?).await?)
}
