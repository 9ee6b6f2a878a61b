//! Timeline of production requests.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use jaego_contracts::ids::RequestId;
use jaego_contracts::topology::PRODUCTION_REQUESTS;
use jaego_pg::StoreError;
use jaego_service::timeline;
use jaego_service::timeline::{
    NextStep, Timeline, TimelineDetail, TimelineItem, TimelineKind, TimelineNext, TimelineSubject,
};
use uuid::Uuid;

use super::Context;
use super::announce::SOURCE;
use super::look_up::obstacle;
use crate::domain::{Factory, OutcomeKind, Status};
use crate::store::timeline::{self as store, AttemptRow, ReceiptRow, RequestRow};
use crate::store::{corrupt, factories, gates};

/// Requests with all calls to factories, outcomes, receipts and dead letters.
pub async fn of_requests(context: &Context, ids: &[RequestId]) -> Result<Timeline, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let mut connection = context.pool.get().await?;
    let requests = store::requests(&mut connection, &ids).await?;
    let attempts = store::attempts(&mut connection, &ids).await?;
    let receipts = store::receipts(&mut connection, &ids).await?;
    let events: Vec<String> = requests.iter().map(|row| row.event_id.clone()).collect();
    let (letters, waiting) = timeline::letters(&mut connection, SOURCE, &PRODUCTION_REQUESTS, &events).await?;
    let names: Vec<&str> = requests.iter().map(|row| row.factory_id.as_str()).collect();
    let breakers = gates::breakers(&mut connection, &names).await?;
    let known = factories::find_all(&mut connection, &names).await?;
    let known: HashMap<&str, &Factory> = known.iter().map(|factory| (factory.id.as_str(), factory)).collect();

    let (mut items, mut next) = (Vec::new(), waiting);
    for row in &requests {
        items.extend(steps_of(row)?);
        let factory = known.get(row.factory_id.as_str()).copied();
        let in_the_way = factory.and_then(|factory| obstacle(factory, &breakers));
        next.extend(next_of(row, factory, in_the_way)?);
    }
    items.extend(attempts.iter().map(|attempt| attempted(attempt, &requests)));
    items.extend(received(&receipts, &requests));
    items.extend(letters);
    for action in timeline::actions(&mut connection, &ids).await? {
        let subject = TimelineSubject::production_request(action.subject);
        items.push(action.step(SOURCE, TimelineKind::OperatorActed, subject));
    }
    Ok(Timeline::new(items, next))
}

fn step(row: &RequestRow, kind: TimelineKind, at: DateTime<Utc>) -> TimelineItem {
    TimelineItem::new(SOURCE, kind, at, TimelineSubject::production_request(row.id)).of(&row.sku, row.quantity)
}

fn steps_of(row: &RequestRow) -> Result<Vec<TimelineItem>, StoreError> {
    let detail = TimelineDetail {
        status: Some(row.status.clone()),
        reason: Some(row.reason.clone()),
        factory_id: Some(row.factory_id.clone()),
        fallback_from: row.fallback_from.clone(),
        requested_at: Some(row.requested_at),
        received: Some(row.received),
        ..TimelineDetail::default()
    };
    let mut steps = vec![step(row, TimelineKind::ProductionRequested, row.created_at).with(detail)];
    if let Some(at) = row.accepted_at {
        let detail = TimelineDetail {
            factory_id: row.accepted_by.clone(),
            factory_job_id: row.factory_job_id.clone(),
            ..TimelineDetail::default()
        };
        steps.push(step(row, TimelineKind::ProductionAccepted, at).with(detail));
    }
    if let (Some(outcome), Some(at)) = (&row.last_outcome, row.outcome_at) {
        let kind = match OutcomeKind::of_name(outcome).ok_or_else(|| corrupt("last_outcome", outcome))? {
            // The acceptance is stored with its own time, and so is each accepted call.
            OutcomeKind::Accepted => None,
            OutcomeKind::DeadLettered => Some(TimelineKind::ProductionDeadLettered),
            OutcomeKind::Refused => Some(TimelineKind::ProductionRefused),
            OutcomeKind::Cancelled => Some(TimelineKind::ProductionCancelled),
            OutcomeKind::Overdue => Some(TimelineKind::ProductionOverdue),
        };
        let detail = TimelineDetail { reason: row.outcome_reason.clone(), ..TimelineDetail::default() };
        steps.extend(kind.map(|kind| step(row, kind, at).with(detail)));
    }
    Ok(steps.into_iter().map(|step| step.traced(&row.traceparent)).collect())
}

fn attempted(attempt: &AttemptRow, requests: &[RequestRow]) -> TimelineItem {
    let subject = TimelineSubject::production_request(attempt.request_id);
    let detail = TimelineDetail {
        number: Some(attempt.number),
        factory_id: Some(attempt.factory_id.clone()),
        outcome: attempt.outcome.clone(),
        http_status: attempt.status,
        error: attempt.error.clone(),
        answer: attempt.answer.clone(),
        ..TimelineDetail::default()
    };
    let request = requests.iter().find(|row| row.id == attempt.request_id);
    TimelineItem {
        sku: request.map(|row| row.sku.clone()),
        quantity: request.map(|row| row.quantity),
        trace_id: Some(attempt.trace_id.clone()),
        duration_ms: attempt.duration_ms,
        ..TimelineItem::new(SOURCE, TimelineKind::ProductionAttempted, attempt.started_at, subject).with(detail)
    }
}

/// Newest first; the running total is computed backwards from the units received in all.
fn received(receipts: &[ReceiptRow], requests: &[RequestRow]) -> Vec<TimelineItem> {
    let mut came: HashMap<Uuid, i64> = requests.iter().map(|row| (row.id, row.received)).collect();
    let receipt = |row: &ReceiptRow| {
        let request = requests.iter().find(|request| request.id == row.request_id);
        let sku = row.sku.as_ref().or(request.map(|request| &request.sku));
        // Goods of another product do not count.
        let counts = request.is_some_and(|request| Some(&request.sku) == sku);
        let by_then = came.get_mut(&row.request_id).filter(|_| counts).map(|left| {
            *left -= row.quantity;
            *left + row.quantity
        });
        let detail =
            TimelineDetail { request_id: Some(row.request_id), received: by_then, ..TimelineDetail::default() };
        let subject = TimelineSubject::receipt(row.id);
        TimelineItem {
            sku: sku.cloned(),
            quantity: Some(row.quantity),
            ..TimelineItem::new(SOURCE, TimelineKind::ProductionReceived, row.received_at, subject).with(detail)
        }
    };
    receipts.iter().map(receipt).collect()
}

fn next_of(
    row: &RequestRow,
    factory: Option<&Factory>,
    in_the_way: Option<&'static str>,
) -> Result<Vec<TimelineNext>, StoreError> {
    let detail = TimelineDetail {
        status: Some(row.status.clone()),
        factory_id: Some(row.factory_id.clone()),
        ..TimelineDetail::default()
    };
    let next = |what, at, units| {
        let subject = TimelineSubject::production_request(row.id);
        TimelineNext::new(SOURCE, what, at, subject).of(&row.sku, units).with(detail.clone())
    };
    let status: Status = row.status.parse().map_err(|error| corrupt("status", error))?;
    Ok(match status {
        Status::Requested | Status::Retrying => {
            let waiting_for = in_the_way.map(ToOwned::to_owned);
            let detail = TimelineDetail { waiting_for, ..detail.clone() };
            vec![next(NextStep::NextAttempt, row.next_attempt_at, row.quantity).with(detail)]
        }
        Status::Sending => vec![next(NextStep::Answer, row.lease_until, row.quantity)],
        Status::Accepted | Status::PartlyReceived => {
            let open = row.quantity - row.received;
            let accepted_at = row.last_accepted_at.or(row.accepted_at).unwrap_or(row.updated_at);
            let due = |after: TimeDelta| accepted_at.checked_add_signed(after);
            let goods = factory.and_then(|factory| due(TimeDelta::from_std(factory.expected_after()).ok()?));
            // There is no estimate for goods that are late.
            let now = Utc::now();
            let mut steps = vec![next(NextStep::Goods, goods.filter(|at| *at > now), open)];
            if row.overdue {
                steps.push(next(NextStep::Decision, None, open));
            } else if let Some(at) = factory.and_then(|factory| due(TimeDelta::from_std(factory.overdue_after()).ok()?))
            {
                steps.push(next(NextStep::Overdue, Some(at), open));
            }
            steps
        }
        // A dead letter has entries of its own.
        Status::DeadLettered | Status::Received | Status::Refused | Status::Cancelled => Vec::new(),
    })
}
