//! Saves a change of a request together with the events that announce it.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::production;
use jaego_contracts::production::ProductionOutcome;
use jaego_contracts::topology;
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_postbox::dead_letters;
use jaego_postbox::dead_letters::{Death, End, Message};
use jaego_postbox::outbox;

use super::record_attempts::answered_status;
use crate::domain::{Announcement, OutcomeKind, Request, RequestChange, Status};
use crate::store::changes::{self, Acceptance, Changed};
use crate::store::new_requests::NewRequest;
use crate::store::requests::{self, StoredRequest};

/// Source name in this service's events.
pub(super) const SOURCE: &str = "production-service";

/// A change of a locked request, to be saved.
pub(super) struct Saving<'a> {
    /// The request before the change.
    pub stored: &'a StoredRequest,
    pub change: &'a RequestChange,
    /// The accepted call that caused the change, if any.
    pub acceptance: Option<&'a Acceptance>,
    /// Trace of the cause.
    pub trace: TraceContext,
    /// Recorded in the dead letter, if the change makes one.
    pub last_error: &'a str,
}

/// Saves `change` of a locked request. `last_error` is recorded in the dead letter, if the change makes one.
pub(super) async fn save(
    connection: &mut AsyncPgConnection,
    stored: &StoredRequest,
    change: &RequestChange,
    trace: TraceContext,
    last_error: &str,
) -> Result<(), StoreError> {
    save_all(connection, &[Saving { stored, change, acceptance: None, trace, last_error }]).await
}

/// Saves changes of distinct locked requests; events are published in the same order.
pub(super) async fn save_all(connection: &mut AsyncPgConnection, all: &[Saving<'_>]) -> Result<(), StoreError> {
    let changed: Vec<Changed<'_>> = all
        .iter()
        .map(|one| Changed { state: &one.stored.state, change: one.change, acceptance: one.acceptance })
        .collect();
    changes::apply(connection, &changed).await?;
    let mut events = Vec::with_capacity(all.len());
    for Saving { stored, change, trace, last_error, .. } in all {
        // Dead letters are rare, so each is looked up individually.
        if let Some(end) = end_of_letter(change.status).filter(|_| stored.state.has_died) {
            let (message_id, _) = requests::original_event(connection, stored.state.id).await?;
            dead_letters::resolve(connection, &topology::PRODUCTION_REQUESTS, &message_id, end).await?;
        }
        let Some(announcement) = &change.announcement else { continue };
        let after = stored.state.after(change);
        events.push(event(&after, announcement, Utc::now(), *trace));
        if announcement.outcome == OutcomeKind::DeadLettered {
            // The original message under its own id, so that a redrive sends the request again.
            let (message_id, body) = requests::original_event(connection, after.id).await?;
            let message = Message::of_event(message_id, &stored.traceparent, body);
            let death = Death {
                http_status: answered_status(last_error),
                factory_id: Some(after.factory_id.to_string()),
                ..Death::new(&announcement.reason, last_error, after.attempt_count - after.attempts_before_schedule)
            };
            dead_letters::keep(connection, &topology::PRODUCTION_REQUESTS, message, death, false).await?;
        }
    }
    outbox::append(connection, events).await
}

/// Publishes the outcomes of new requests, each in the trace of its message, in order.
pub(super) async fn arrivals(
    connection: &mut AsyncPgConnection,
    new: &[NewRequest],
    traces: &[TraceContext],
) -> Result<(), StoreError> {
    let announced = |(one, trace): (&NewRequest, &TraceContext)| {
        Some(event(&one.state, one.change.announcement.as_ref()?, Utc::now(), *trace))
    };
    let events: Vec<OutgoingEvent> = new.iter().zip(traces).filter_map(announced).collect();
    outbox::append(connection, events).await
}

/// Publishes the last outcomes of requests again, under their original revisions.
pub(super) async fn again(
    connection: &mut AsyncPgConnection,
    standing: &[(&StoredRequest, TraceContext)],
) -> Result<(), StoreError> {
    let event = |(stored, trace): &(&StoredRequest, TraceContext)| {
        let reason = stored.outcome_reason.clone().unwrap_or_default();
        let announcement = Announcement { outcome: stored.state.standing()?, reason };
        Some(event(&stored.state, &announcement, stored.updated_at, *trace))
    };
    let events: Vec<OutgoingEvent> = standing.iter().filter_map(event).collect();
    outbox::append(connection, events).await
}

/// Final state of the dead letter of a request in this status. None: it is waiting, or a redrive is in progress.
pub(super) fn end_of_letter(status: Status) -> Option<End> {
    let end = if status == Status::Cancelled { End::Discarded } else { End::Processed };
    (!status.is_before_acceptance()).then_some(end)
}

/// The trace that a request belongs to.
pub(super) fn trace_of(stored: &StoredRequest) -> TraceContext {
    TraceContext::continue_from(Some(&stored.traceparent))
}

fn event(request: &Request, announcement: &Announcement, at: DateTime<Utc>, trace: TraceContext) -> OutgoingEvent {
    let kind = match announcement.outcome {
        OutcomeKind::Accepted => &production::ACCEPTED,
        OutcomeKind::DeadLettered => &production::DEAD_LETTERED,
        OutcomeKind::Refused => &production::REFUSED,
        OutcomeKind::Cancelled => &production::CANCELLED,
        OutcomeKind::Overdue => &production::OVERDUE,
    };
    let data = ProductionOutcome {
        request_id: request.id,
        sku: request.sku.clone(),
        quantity: request.quantity,
        factory_id: request.factory_id.clone(),
        revision: request.revision,
        at,
        reason: announcement.reason.clone(),
    };
    OutgoingEvent::new(kind, SOURCE, &request.id.to_string(), trace, &data)
}
