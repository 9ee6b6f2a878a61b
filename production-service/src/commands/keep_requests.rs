//! Stores incoming production requests, each once by its id.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::{RequestId, Sku};
use jaego_contracts::production::ProductionRequested;
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_postbox::consumer::{Handled, IfHeld};

use super::announce::{self, Saving};
use super::{Context, first_of_each};
use crate::domain::{Arrival, Request, Status};
use crate::store::new_requests::{self, NewRequest, Origin};
use crate::store::{arrivals, factories, lock_free_requests, lock_requests, requests};

/// Message that asks for production.
pub struct Message {
    pub requested: ProductionRequested,
    /// The message was dead-lettered before, and an operator redrove it.
    pub is_redriven: bool,
    pub event_id: String,
    /// The event, byte for byte.
    pub event: Vec<u8>,
    /// Trace of the event.
    pub trace: TraceContext,
}

/// Stores new requests. A known request restarts if it is a redriven dead letter; otherwise its last outcome is
/// published again, because the sender has not received it. All or nothing, except for those that `if_held` leaves
/// out; returns how each message was handled.
pub async fn keep_requests(
    context: &Context,
    messages: Vec<Message>,
    if_held: IfHeld,
) -> Result<Vec<Option<Handled>>, StoreError> {
    let mut connection = context.pool.get().await?;
    let count = messages.len();
    let handled = connection
        .transaction(async move |connection| {
            let ids: Vec<RequestId> = messages.iter().map(|message| message.requested.request_id).collect();
            let mut handled = vec![Some(Handled::Done); count];
            let mut left: Vec<(usize, Message)> = messages.into_iter().enumerate().collect();
            match if_held {
                IfHeld::Wait => lock_requests(connection, &ids).await?,
                IfHeld::LeaveOut => {
                    let free = lock_free_requests(connection, &ids).await?;
                    for (place, _) in left.extract_if(.., |(_, message)| !free.contains(&message.requested.request_id))
                    {
                        handled[place] = None;
                    }
                }
            }
            while !left.is_empty() {
                let (now, later) = first_of_each(left, |(_, message)| message.requested.request_id);
                left = later;
                for place in keep(connection, now).await? {
                    handled[place] = Some(Handled::Underway);
                }
            }
            Ok::<_, StoreError>(handled)
        })
        .await?;
    context.wake_after_commit();
    Ok(handled)
}

/// Handles messages about distinct requests; returns the positions of those whose work is still in progress.
async fn keep(connection: &mut AsyncPgConnection, all: Vec<(usize, Message)>) -> Result<Vec<usize>, StoreError> {
    let ids: Vec<RequestId> = all.iter().map(|(_, message)| message.requested.request_id).collect();
    let stored = requests::lock_all(connection, &ids).await?;
    let mut again = Vec::new();
    let mut standing = Vec::new();
    let mut underway = Vec::new();
    let mut new = Vec::new();
    for (place, message) in all {
        let Some(stored) = stored.get(&message.requested.request_id) else {
            new.push(message);
            continue;
        };
        if !message.is_redriven {
            standing.push((stored, message.trace));
            continue;
        }
        // The result of a redrive is known only after the factory has answered, however often the message is
        // delivered.
        if stored.state.has_died && stored.state.status.is_before_acceptance() {
            underway.push(place);
        }
        if let Some(change) = stored.state.redrive() {
            again.push((stored, change, message.trace));
        }
    }
    let saving: Vec<Saving<'_>> = again
        .iter()
        .map(|(stored, change, trace)| Saving { stored, change, acceptance: None, trace: *trace, last_error: "" })
        .collect();
    announce::save_all(connection, &saving).await?;
    announce::again(connection, &standing).await?;
    keep_new(connection, new, None).await?;
    Ok(underway)
}

/// Stores new, distinct requests in the caller's transaction, which holds their locks. With `given_up` (the reason),
/// a request is stored as cancelled unless all its goods have arrived anyway.
pub(super) async fn keep_new(
    connection: &mut AsyncPgConnection,
    messages: Vec<Message>,
    given_up: Option<&str>,
) -> Result<(), StoreError> {
    if messages.is_empty() {
        return Ok(());
    }
    let asked: Vec<&ProductionRequested> = messages.iter().map(|message| &message.requested).collect();
    let ids: Vec<RequestId> = asked.iter().map(|asked| asked.request_id).collect();
    let known = factories::known(connection, asked.iter().map(|asked| asked.factory_id.to_string()).collect()).await?;
    let closed = arrivals::take_closings(connection, &ids).await?;
    let skus: Vec<(RequestId, &Sku)> = asked.iter().map(|asked| (asked.request_id, &asked.sku)).collect();
    let received = arrivals::received_units(connection, &skus).await?;
    let (new, traces): (Vec<NewRequest>, Vec<TraceContext>) = messages
        .into_iter()
        .map(|message| {
            let id = message.requested.request_id;
            let received = received.get(&id).copied().unwrap_or_default();
            let given_up = given_up.filter(|_| received < message.requested.quantity.get());
            let arrival = Arrival {
                factory_known: known.contains(message.requested.factory_id.as_str()),
                received,
                closed: closed.get(&id).map(String::as_str).or(given_up),
            };
            let trace = message.trace;
            (arrived(message, arrival), trace)
        })
        .unzip();
    new_requests::insert(connection, &new).await?;
    announce::arrivals(connection, &new, &traces).await
}

fn arrived(message: Message, arrival: Arrival<'_>) -> NewRequest {
    let Message { requested, event_id, event, trace, .. } = message;
    let new = Request {
        id: requested.request_id,
        sku: requested.sku,
        factory_id: requested.factory_id,
        fallback_from: None,
        quantity: requested.quantity,
        received: 0,
        status: Status::Requested,
        attempt_count: 0,
        attempts_before_schedule: 0,
        outcome_unknown: false,
        has_died: false,
        was_accepted: false,
        overdue: false,
        revision: 0,
    };
    let change = new.arrive(arrival);
    let origin = Origin {
        reason: requested.reason,
        requested_at: requested.requested_at,
        traceparent: trace.to_string(),
        event_id,
        event,
    };
    NewRequest { state: new.after(&change), change, origin }
}
