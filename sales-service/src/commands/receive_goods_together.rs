//! Receipts that arrived together: what [`super::receive_goods`] does for one, for many in one transaction, set by set.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use shared::amqp::consumer::HandleError;
use shared::contracts::OutgoingEvent;
use shared::contracts::stock::StockReceived;
use shared::ids::{RequestId, Sku};
use shared::outbox;
use shared::trace::TraceContext;
use uuid::Uuid;

use super::{Context, write};
use crate::domain::goods::{self, Arrival, Fill, Source, WaitingLine};
use crate::domain::shelf::{NewReplenishment, Shelf};
use crate::domain::stock::{Cause, Movement};
use crate::store::StoreError;
use crate::store::orders;
use crate::store::replenishments::{self, AppliedReceipt, ReplenishmentRow};
use crate::store::shelves::{self, Loaded};
use crate::store::stock::{self, Hand};

/// A receipt and the trace that it belongs to.
pub type TracedReceipt = (StockReceived, TraceContext);

/// Applies receipts in their order, as one by one; all of them or none. An error, too, when one of them needs what is
/// only looked up for a single receipt: then they are applied one by one.
pub async fn receive_goods_together(context: &Context, receipts: Vec<TracedReceipt>) -> Result<(), HandleError> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    connection.transaction(async move |connection| apply(connection, &receipts).await).await?;
    context.outbox.wake();
    Ok(())
}

async fn apply(connection: &mut AsyncPgConnection, receipts: &[TracedReceipt]) -> Result<(), HandleError> {
    let now = write::now();
    let skus: BTreeSet<Sku> = receipts.iter().map(|(receipt, _)| receipt.sku.clone()).collect();
    let Loaded { shelves, .. } = shelves::lock(connection, &skus, now).await?;
    if let Some(missing) = skus.iter().find(|sku| !shelves.contains_key(*sku)) {
        return Err(HandleError::Failed(format!("there is no product {missing}")));
    }
    // Goods may end the pause, and whether they do is read anew for each of them.
    if shelves.values().any(|shelf| shelf.is_paused) {
        return Err(HandleError::Failed("replenishment of one of the products is paused".to_owned()));
    }
    let fresh = note(connection, receipts).await?;
    let requests = fresh.iter().map(|(receipt, _)| receipt.request_id).collect();
    let rows = replenishments::lock_all(connection, &requests).await?;
    let waiting = waiting_lines(connection, &fresh, &shelves).await?;
    let mut applying =
        Applying { shelves, rows: rows.into_iter().map(|row| (row.id, row)).collect(), waiting, ..Applying::default() };
    for (receipt, trace) in fresh {
        applying.receive(receipt, *trace, now)?;
    }
    applying.write(connection, Hand { actor: "factory", at: now, note: None }).await
}

/// Notes receipts; answers those that were not applied before, each once, in their order.
async fn note<'a>(
    connection: &mut AsyncPgConnection,
    receipts: &'a [TracedReceipt],
) -> Result<Vec<&'a TracedReceipt>, StoreError> {
    let applied: Vec<AppliedReceipt<'_>> = receipts
        .iter()
        .map(|(receipt, _)| AppliedReceipt {
            receipt_id: receipt.receipt_id.0,
            request_id: receipt.request_id.0,
            sku: receipt.sku.as_str(),
            quantity: receipt.quantity.get(),
            received_at: receipt.received_at,
        })
        .collect();
    let mut noted: BTreeSet<Uuid> = replenishments::note_receipts(connection, &applied).await?.into_iter().collect();
    Ok(receipts.iter().filter(|(receipt, _)| noted.remove(&receipt.receipt_id.0)).collect())
}

/// Who waits for these products, as far as the goods reach.
async fn waiting_lines(
    connection: &mut AsyncPgConnection,
    fresh: &[&TracedReceipt],
    shelves: &BTreeMap<Sku, Shelf>,
) -> Result<BTreeMap<Sku, Vec<WaitingLine>>, StoreError> {
    let mut waiting = BTreeMap::new();
    for (sku, shelf) in shelves {
        let units = |(receipt, _): &&TracedReceipt| if receipt.sku == *sku { receipt.quantity.get() } else { 0 };
        let units: i64 = fresh.iter().map(units).sum();
        let lines = if shelf.figures.backordered > 0 && units > 0 {
            orders::waiting_lines(connection, sku, units).await?
        } else {
            Vec::new()
        };
        waiting.insert(sku.clone(), lines);
    }
    Ok(waiting)
}

/// What the receipts so far have made of the locked rows.
#[derive(Default)]
struct Applying {
    shelves: BTreeMap<Sku, Shelf>,
    rows: BTreeMap<Uuid, ReplenishmentRow>,
    waiting: BTreeMap<Sku, Vec<WaitingLine>>,
    movements: Vec<Movement<String>>,
    fills: BTreeMap<i64, (Fill, TraceContext)>,
    decided: Vec<(NewReplenishment, TraceContext)>,
    /// Replenishments that got goods.
    answered: BTreeSet<Uuid>,
    /// Products of which a factory has shown that it works.
    delivered: BTreeSet<Sku>,
    /// Products with new figures, and the last receipt's trace.
    changed: BTreeMap<Sku, TraceContext>,
}

impl Applying {
    fn receive(&mut self, receipt: &StockReceived, trace: TraceContext, now: DateTime<Utc>) -> Result<(), StoreError> {
        let (sku, units) = (&receipt.sku, receipt.quantity.get());
        let (Some(shelf), Some(waiting)) = (self.shelves.get_mut(sku), self.waiting.get_mut(sku)) else {
            return Ok(());
        };
        // An operator may accept goods for another product than was asked for: they settle nothing.
        if let Some(row) = self.rows.get_mut(&receipt.request_id.0).filter(|row| row.sku == sku.as_str()) {
            let mut replenishment = row.replenishment()?;
            replenishment.receive(shelf, units);
            row.set(&replenishment, now);
            self.answered.insert(row.id);
            self.delivered.insert(sku.clone());
        }
        let arrival = Arrival { cause: Cause::Receipt, units, given_up: 0 };
        let taken = goods::take_in(sku, &mut shelf.figures, arrival, waiting);
        self.movements.extend(taken.movements.into_iter().map(|entry| Movement {
            reference: match entry.reference {
                Source::Incoming => receipt.receipt_id.to_string(),
                Source::Order(id) => id.to_string(),
            },
            sku: entry.sku,
            cause: entry.cause,
            delta: entry.delta,
            before: entry.before,
        }));
        // Lines are filled from the first to the last.
        let mut lines = waiting.iter_mut();
        for fill in taken.fills {
            if let Some(line) = lines.find(|line| line.line_id == fill.line_id) {
                line.waiting -= fill.units;
            }
            let units = self.fills.get(&fill.line_id).map_or(0, |(before, _)| before.units) + fill.units;
            self.fills.insert(fill.line_id, (Fill { units, ..fill }, trace));
        }
        waiting.retain(|line| line.waiting > 0);
        self.decided.extend(shelf.replenish(sku, false, &mut RequestId::generate).map(|new| (new, trace)));
        self.changed.insert(sku.clone(), trace);
        Ok(())
    }

    async fn write(self, connection: &mut AsyncPgConnection, hand: Hand<'_>) -> Result<(), HandleError> {
        let answered: Vec<&ReplenishmentRow> =
            self.rows.values().filter(|row| self.answered.contains(&row.id)).collect();
        stock::forget_refusals_of(connection, &self.delivered).await?;
        replenishments::update_received(connection, &answered).await?;
        stock::insert_movements(connection, &self.movements, hand, String::clone).await?;
        let decided: Vec<_> = self.decided.iter().map(|(new, trace)| (new, *trace)).collect();
        let mut events = write::write_replenishments(connection, &decided, hand.at).await?;
        let changed: Vec<_> = self
            .changed
            .iter()
            .filter_map(|(sku, trace)| Some((sku, self.shelves.get(sku)?.figures, *trace)))
            .collect();
        let figures: Vec<_> = changed.iter().map(|(sku, figures, _)| (*sku, *figures)).collect();
        stock::write_figures(connection, &figures).await?;
        events.extend(changed.iter().map(|(sku, figures, trace)| write::stock_changed(sku, figures, hand.at, *trace)));
        events.extend(fill(connection, self.fills).await?);
        Ok(outbox::append(connection, events).await?)
    }
}

/// Gives waiting orders their units; an order is told in the trace of the receipt that filled it up.
async fn fill(
    connection: &mut AsyncPgConnection,
    fills: BTreeMap<i64, (Fill, TraceContext)>,
) -> Result<Vec<OutgoingEvent>, StoreError> {
    let Some((_, trace)) = fills.values().next_back().copied() else { return Ok(Vec::new()) };
    let fills: Vec<Fill> = fills.into_values().map(|(fill, _)| fill).collect();
    write::fill(connection, &fills, trace).await
}
