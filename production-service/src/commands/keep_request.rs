//! A production request came: it is kept once, by its id.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use shared::amqp::consumer::Handled;
use shared::contracts::production::ProductionRequested;
use shared::db::StoreError;
use shared::trace::TraceContext;

use super::{Context, announce};
use crate::domain::{Arrival, Request, Status};
use crate::store::requests::Origin;
use crate::store::{arrivals, factories, lock_request, requests};

/// The message that asks for production.
pub struct Message {
    /// What it asks for.
    pub requested: ProductionRequested,
    /// Its event's id.
    pub event_id: String,
    /// The event, byte for byte.
    pub event: Vec<u8>,
    /// The trace it belongs to.
    pub trace: TraceContext,
}

/// Keeps a new request; a known one begins again if it is a dead letter, and is left alone otherwise.
pub async fn keep_request(context: &Context, message: Message) -> Result<Handled, StoreError> {
    let mut connection = context.pool.get().await?;
    let handled = connection
        .transaction(async move |connection| {
            let id = message.requested.request_id;
            lock_request(connection, id).await?;
            if let Some(stored) = requests::lock(connection, id).await? {
                if let Some(change) = stored.state.arrive_again() {
                    announce::save(connection, &stored, &change, message.trace, "").await?;
                }
                // Whether a redrive helped is known when the factory has answered, and not before,
                // however often its message comes.
                let is_underway = stored.state.has_died && stored.state.status.is_before_acceptance();
                return Ok(if is_underway { Handled::Underway } else { Handled::Done });
            }
            keep_new(connection, message, None).await?;
            Ok::<_, StoreError>(Handled::Done)
        })
        .await?;
    context.committed();
    Ok(handled)
}

/// Keeps a request that is not there yet, in the caller's transaction, which holds its lock. Given up already
/// (`given_up`: why), it is kept as cancelled, unless all its goods came nevertheless.
pub(super) async fn keep_new(
    connection: &mut AsyncPgConnection,
    message: Message,
    given_up: Option<&str>,
) -> Result<(), StoreError> {
    let Message { requested, event_id, event, trace } = message;
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
    let factory = factories::find(connection, &new.factory_id).await?;
    let closed = arrivals::take_closing(connection, new.id).await?;
    let received = arrivals::received_units(connection, new.id, &new.sku).await?;
    let given_up = given_up.filter(|_| received < new.quantity.get());
    let closed = closed.as_deref().or(given_up);
    let change = new.arrive(Arrival { factory_known: factory.is_some(), received, closed });
    let origin = Origin {
        reason: requested.reason,
        requested_at: requested.requested_at,
        traceparent: trace.to_string(),
        event_id,
        event,
    };
    let stored = requests::insert(connection, &new, &origin).await?;
    announce::save(connection, &stored, &change, trace, "").await
}
