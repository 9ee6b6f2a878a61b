//! The recorded history of an order or of replenishments, as a timeline.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::{OrderId, RequestId};
use jaego_service::timeline;
use jaego_service::timeline::{
    NextStep, Timeline, TimelineDetail, TimelineItem, TimelineKind, TimelineLine, TimelineNext, TimelineSubject,
};
use uuid::Uuid;

use super::Context;
use super::write::SOURCE;
use crate::domain::order::OrderStatus;
use crate::domain::replenishment::Status;
use crate::domain::stock::Cause;
use crate::store::orders::{self, OrderView};
use crate::store::replenishments::{self as replenishment_store, ReplenishmentRow};
use crate::store::stock::MovementRow;
use crate::store::timeline::{self as store, AppliedRow};
use crate::store::{StoreError, corrupt};

/// An order, its ledger entries, and the replenishments that it caused or waits for. None if there is no such order.
pub async fn of_order(context: &Context, id: OrderId) -> Result<Option<Timeline>, StoreError> {
    let mut connection = context.pool.get().await?;
    let Some(view) = orders::get(&mut connection, id).await? else { return Ok(None) };
    let later = store::other_entries(&mut connection, &[id.0]).await?;
    let sold = Sold::of(&view, &later)?;
    let lines_sold = sold.at_once.values().filter(|units| **units > 0).count();
    let mut entries = store::sale_entries(&mut connection, id, view.order.created_at, lines_sold).await?;
    entries.extend(later);

    let mut record = Record::default();
    record.taken(&view, &sold)?;
    record.items.extend(entries.iter().map(moved));
    record.fulfilled(&view, &sold, &entries);
    for action in timeline::actions(&mut connection, &[id.0]).await? {
        record.items.push(action.step(SOURCE, TimelineKind::OrderCancelled, TimelineSubject::order(id.0)));
    }
    record.replenishments(&mut connection, &view.all_replenishments()).await?;
    Ok(Some(record.into_timeline()))
}

/// Replenishments, their receipts, and the effect of those on stock.
pub async fn of_requests(context: &Context, ids: &[RequestId]) -> Result<Timeline, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let mut connection = context.pool.get().await?;
    let mut record = Record::default();
    let receipts = record.replenishments(&mut connection, &ids).await?;
    let receipts: Vec<Uuid> = receipts.iter().map(|receipt| receipt.receipt_id).collect();
    let entries = store::other_entries(&mut connection, &receipts).await?;
    record.items.extend(entries.iter().map(moved));
    Ok(record.into_timeline())
}

/// How an order's units were taken. Only the current number is stored, so the rest is derived from the ledger.
struct Sold {
    /// Units taken when the order was placed, by product.
    at_once: BTreeMap<String, i64>,
    /// Units taken later, when there was stock, of all products.
    later: i64,
    ordered: i64,
    is_cancelled: bool,
}

impl Sold {
    fn of(view: &OrderView, later: &[MovementRow]) -> Result<Self, StoreError> {
        let units = |sku: &str, cause: Cause| -> i64 {
            later.iter().filter(|entry| entry.sku == sku && entry.cause == cause.name()).map(|entry| entry.delta).sum()
        };
        let is_cancelled = status_of(view)? == OrderStatus::Cancelled;
        let mut sold = Self { at_once: BTreeMap::new(), later: 0, ordered: 0, is_cancelled };
        for line in &view.lines {
            let later = -units(&line.sku, Cause::BackorderFill);
            // A cancelled order gave back everything it had.
            let all = if is_cancelled { units(&line.sku, Cause::Cancellation) } else { line.filled };
            sold.at_once.insert(line.sku.clone(), all - later);
            sold.later += later;
            sold.ordered += line.quantity;
        }
        Ok(sold)
    }

    fn at_once(&self) -> i64 {
        self.at_once.values().sum()
    }
}

fn status_of(view: &OrderView) -> Result<OrderStatus, StoreError> {
    OrderStatus::of_name(&view.order.status).ok_or_else(|| corrupt("an order's status"))
}

#[derive(Default)]
struct Record {
    items: Vec<TimelineItem>,
    next: Vec<TimelineNext>,
}

impl Record {
    fn into_timeline(self) -> Timeline {
        Timeline::new(self.items, self.next)
    }

    fn taken(&mut self, view: &OrderView, sold: &Sold) -> Result<(), StoreError> {
        let subject = || TimelineSubject::order(view.order.id);
        let kind = match status_of(view)? {
            OrderStatus::Rejected => TimelineKind::OrderRejected,
            _ if sold.at_once() == sold.ordered => TimelineKind::OrderConfirmed,
            _ => TimelineKind::OrderBackordered,
        };
        let lines = view.lines.iter().map(|line| TimelineLine {
            sku: line.sku.clone(),
            quantity: line.quantity,
            filled: sold.at_once.get(&line.sku).copied().unwrap_or_default(),
        });
        let detail = TimelineDetail {
            status: Some(view.order.status.clone()),
            lines: Some(lines.collect()),
            request_ids: Some(view.all_replenishments()),
            ..TimelineDetail::default()
        };
        let taken = TimelineItem::new(SOURCE, kind, view.order.created_at, subject()).with(detail);
        self.items.push(taken.traced(&view.order.traceparent));
        let waiting = view.lines.iter().filter(|line| line.waiting > 0 && !sold.is_cancelled);
        // The expected date is given with each replenishment.
        let next = |sku: &str, units| TimelineNext::new(SOURCE, NextStep::Goods, None, subject()).of(sku, units);
        self.next.extend(waiting.map(|line| next(&line.sku, line.waiting)));
        Ok(())
    }

    /// Adds the fulfilment, which may have been followed by a cancellation.
    fn fulfilled(&mut self, view: &OrderView, sold: &Sold, entries: &[MovementRow]) {
        let fills = entries.iter().filter(|entry| entry.cause == Cause::BackorderFill.name());
        let last = fills.map(|entry| entry.at).max().filter(|_| sold.at_once() + sold.later == sold.ordered);
        if let Some(at) = last {
            let subject = TimelineSubject::order(view.order.id);
            self.items.push(TimelineItem::new(SOURCE, TimelineKind::OrderFulfilled, at, subject));
        }
    }

    /// Adds these replenishments with their recorded history. Returns their receipts.
    async fn replenishments(
        &mut self,
        connection: &mut AsyncPgConnection,
        ids: &[Uuid],
    ) -> Result<Vec<AppliedRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = store::replenishments(connection, ids).await?;
        let now = Utc::now();
        let open = replenishment_store::open_of(connection, ids).await?;
        let etas: HashMap<Uuid, DateTime<Utc>> =
            open.iter().filter_map(|one| Some((one.id, one.due().filter(|due| *due > now)?))).collect();
        for row in &rows {
            let order_ids = store::orders_behind(connection, row).await?;
            self.items.extend(decided(row, order_ids));
            self.items.extend(ended(row)?);
            self.next.extend(next_of(row, etas.get(&row.id).copied())?);
        }
        for action in timeline::actions(connection, ids).await? {
            let subject = TimelineSubject::replenishment(action.subject);
            self.items.push(action.step(SOURCE, TimelineKind::OperatorActed, subject));
        }
        let receipts = store::receipts(connection, ids).await?;
        self.items.extend(receipts.iter().map(applied));
        Ok(receipts)
    }
}

fn moved(entry: &MovementRow) -> TimelineItem {
    let detail = TimelineDetail {
        cause: Some(entry.cause.clone()),
        before: Some(entry.before),
        after: Some(entry.after),
        actor: Some(entry.actor.clone()),
        reason: entry.note.clone(),
        ..TimelineDetail::default()
    };
    let subject = TimelineSubject::movement(entry.id);
    TimelineItem::new(SOURCE, TimelineKind::StockMoved, entry.at, subject).of(&entry.sku, entry.delta).with(detail)
}

fn applied(receipt: &AppliedRow) -> TimelineItem {
    let detail = TimelineDetail {
        request_id: Some(receipt.request_id),
        received_at: Some(receipt.received_at),
        ..TimelineDetail::default()
    };
    let subject = TimelineSubject::receipt(receipt.receipt_id);
    TimelineItem::new(SOURCE, TimelineKind::ReceiptApplied, receipt.applied_at, subject)
        .of(&receipt.sku, receipt.quantity)
        .with(detail)
}

/// The beginning of a replenishment: proposed, ordered, accepted by a factory.
fn decided(row: &ReplenishmentRow, order_ids: Vec<Uuid>) -> Vec<TimelineItem> {
    let detail = TimelineDetail {
        status: Some(row.status.clone()),
        reason: Some(row.reason.clone()),
        explanation: Some(row.explanation.clone()),
        factory_id: Some(row.factory_id.clone()),
        position_before: row.position_before,
        on_order_before: row.on_order_before,
        received: Some(row.received),
        order_ids: Some(order_ids),
        ..TimelineDetail::default()
    };
    let mut steps = Vec::new();
    let proposed_at = Some(row.created_at).filter(|at| row.ordered_at.is_none_or(|ordered_at| *at < ordered_at));
    for (kind, at) in
        [(TimelineKind::ReplenishmentProposed, proposed_at), (TimelineKind::ReplenishmentOrdered, row.ordered_at)]
    {
        let Some(at) = at else { continue };
        let step = step_of(row, kind, at).with(detail.clone());
        steps.push(step.traced(&row.traceparent));
    }
    if let Some(at) = row.accepted_at {
        let factory_id = Some(row.factory_id.clone());
        let detail = TimelineDetail { factory_id, ..TimelineDetail::default() };
        steps.push(step_of(row, TimelineKind::ReplenishmentAccepted, at).with(detail));
    }
    steps
}

/// The last status change of a replenishment, unless it is only proposed or open.
fn ended(row: &ReplenishmentRow) -> Result<Option<TimelineItem>, StoreError> {
    let kind = match row_status(row)? {
        Status::Proposed | Status::Open => return Ok(None),
        Status::Stalled => TimelineKind::ReplenishmentStalled,
        Status::Complete => TimelineKind::ReplenishmentComplete,
        Status::ClosedShort => TimelineKind::ReplenishmentClosedShort,
        Status::Refused => TimelineKind::ReplenishmentRefused,
        Status::Cancelled => TimelineKind::ReplenishmentCancelled,
    };
    let detail = TimelineDetail { received: Some(row.received), ..TimelineDetail::default() };
    // Rows of the previous release only have the time of their last change.
    Ok(Some(step_of(row, kind, row.status_since.unwrap_or(row.updated_at)).with(detail)))
}

fn next_of(row: &ReplenishmentRow, eta: Option<DateTime<Utc>>) -> Result<Option<TimelineNext>, StoreError> {
    let what = match row_status(row)? {
        Status::Proposed | Status::Stalled => NextStep::Decision,
        Status::Open => NextStep::Goods,
        Status::Complete | Status::ClosedShort | Status::Refused | Status::Cancelled => return Ok(None),
    };
    let detail = TimelineDetail {
        status: Some(row.status.clone()),
        factory_id: Some(row.factory_id.clone()),
        ..TimelineDetail::default()
    };
    let next = TimelineNext::new(SOURCE, what, eta, TimelineSubject::replenishment(row.id));
    Ok(Some(next.of(&row.sku, row.quantity - row.received).with(detail)))
}

fn step_of(row: &ReplenishmentRow, kind: TimelineKind, at: DateTime<Utc>) -> TimelineItem {
    TimelineItem::new(SOURCE, kind, at, TimelineSubject::replenishment(row.id)).of(&row.sku, row.quantity)
}

fn row_status(row: &ReplenishmentRow) -> Result<Status, StoreError> {
    Status::of_name(&row.status).ok_or_else(|| corrupt("a replenishment's status"))
}
