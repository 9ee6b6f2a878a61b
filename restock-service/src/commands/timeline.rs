//! The recorded history of production requests, as a timeline.

use jaego_contracts::ids::RequestId;
use jaego_pg::{Pool, StoreError};
use jaego_service::timeline::{
    NextStep, Timeline, TimelineDetail, TimelineItem, TimelineKind, TimelineNext, TimelineSubject,
};
use uuid::Uuid;

use crate::domain::judgement::Status;
use crate::store::quarantine::QuarantineRow;
use crate::store::receipts::ReceiptRow;
use crate::store::timeline::{self as store, RequestRow};

/// Requests as they became known here, their receipts, and their quarantine entries with decisions.
pub(crate) async fn of_requests(pool: &Pool, service: &'static str, ids: &[RequestId]) -> Result<Timeline, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let mut connection = pool.get().await?;
    let requests = store::requests(&mut connection, &ids).await?;
    let receipts = store::receipts(&mut connection, &ids).await?;
    let kept = store::quarantine(&mut connection, &ids).await?;

    let steps = Steps { service };
    let mut items: Vec<TimelineItem> = requests.iter().flat_map(|row| steps.of_request(row)).collect();
    items.extend(receipts.iter().map(|row| steps.booked(row)));
    let mut next = Vec::new();
    for (row, traceparent) in &kept {
        items.push(steps.kept(row).traced(traceparent));
        match row.read_status()? {
            Status::Waiting => next.push(steps.to_judge(row)),
            Status::Accepted => items.extend(steps.judged(row, TimelineKind::QuarantineAccepted)),
            Status::Discarded => items.extend(steps.judged(row, TimelineKind::QuarantineDiscarded)),
        }
    }
    next.extend(requests.iter().filter_map(|row| steps.open(row)));
    Ok(Timeline::new(items, next))
}

/// Maps rows to steps of this service.
struct Steps {
    service: &'static str,
}

impl Steps {
    fn of_request(&self, row: &RequestRow) -> Vec<TimelineItem> {
        let step = |kind, at| {
            let subject = TimelineSubject::production_request(row.id);
            TimelineItem::new(self.service, kind, at, subject).of(&row.sku, row.quantity)
        };
        let detail = TimelineDetail {
            factory_id: Some(row.factory_id.clone()),
            requested_at: row.requested_at,
            received: Some(row.received),
            ..TimelineDetail::default()
        };
        let known = step(TimelineKind::RestockExpected, row.created_at).with(detail);
        // There is no trace while only a callback has reported the request.
        let known = known.traced(row.traceparent.as_deref().unwrap_or_default());
        let called_off = row.cancelled_at.map(|at| step(TimelineKind::RestockCalledOff, at));
        [known].into_iter().chain(called_off).collect()
    }

    fn booked(&self, row: &ReceiptRow) -> TimelineItem {
        let detail = TimelineDetail {
            request_id: Some(row.request_id),
            factory_id: Some(row.factory_id.clone()),
            delivery_id: row.delivery_id.clone(),
            actor: row.actor.clone(),
            reason: row.reason.clone(),
            ..TimelineDetail::default()
        };
        let subject = TimelineSubject::receipt(row.id);
        TimelineItem::new(self.service, TimelineKind::ReceiptBooked, row.received_at, subject)
            .of(&row.sku, row.quantity)
            .with(detail)
            .traced(&row.traceparent)
    }

    fn kept(&self, row: &QuarantineRow) -> TimelineItem {
        let detail = TimelineDetail { status: Some(row.status.clone()), ..about(row) };
        let subject = TimelineSubject::quarantine_entry(row.id);
        TimelineItem::new(self.service, TimelineKind::QuarantineKept, row.created_at, subject)
            .of(&row.sku, row.quantity)
            .with(detail)
    }

    fn judged(&self, row: &QuarantineRow, kind: TimelineKind) -> Option<TimelineItem> {
        let detail = TimelineDetail {
            actor: row.decided_by.clone(),
            reason: row.decision_reason.clone(),
            receipt_id: row.receipt_id,
            request_id: Some(row.request_id),
            ..TimelineDetail::default()
        };
        let subject = TimelineSubject::quarantine_entry(row.id);
        let step = |at| TimelineItem::new(self.service, kind, at, subject).of(&row.sku, row.quantity).with(detail);
        row.decided_at.map(step)
    }

    fn to_judge(&self, row: &QuarantineRow) -> TimelineNext {
        let subject = TimelineSubject::quarantine_entry(row.id);
        TimelineNext::new(self.service, NextStep::Decision, None, subject).of(&row.sku, row.quantity).with(about(row))
    }

    /// Goods that are still due; this service does not know when they will arrive.
    fn open(&self, row: &RequestRow) -> Option<TimelineNext> {
        let open = row.quantity - row.received;
        let subject = TimelineSubject::production_request(row.id);
        let next = || TimelineNext::new(self.service, NextStep::Goods, None, subject).of(&row.sku, open);
        (open > 0 && row.cancelled_at.is_none()).then(next)
    }
}

fn about(row: &QuarantineRow) -> TimelineDetail {
    TimelineDetail {
        reason: Some(row.reason.clone()),
        request_id: Some(row.request_id),
        delivery_id: row.delivery_id.clone(),
        claimed_sku: row.claimed_product.clone(),
        ..TimelineDetail::default()
    }
}
