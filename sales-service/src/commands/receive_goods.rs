//! Goods arrived: a receipt is added to stock exactly once, however often and in whatever order it is delivered.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::Sku;
use jaego_contracts::stock::StockReceived;
use jaego_contracts::trace::TraceContext;
use jaego_postbox::consumer::{HandleError, Handled, IfHeld};
use jaego_postbox::outbox;
use uuid::Uuid;

use super::Context;
use super::stock_change::StockChange;
use crate::domain::goods::Arrival;
use crate::domain::stock::Cause;
use crate::store::StoreError;
use crate::store::replenishments::{self, AppliedReceipt, ReplenishmentRow};

pub type TracedReceipt = (StockReceived, TraceContext);

/// Applies receipts in order, all or none of them, whatever the status of their replenishments. If too many orders
/// are waiting, [`super::hand_out`] hands out the remaining units. With [`IfHeld::LeaveOut`], receipts of products that
/// are locked or unknown, or whose replenishments are locked, are left out.
pub async fn receive_goods(
    context: &Context,
    receipts: Vec<TracedReceipt>,
    if_held: IfHeld,
) -> Result<Vec<Option<Handled>>, HandleError> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let limits = context.limits;
    let (results, has_left) = connection
        .transaction(async move |connection| {
            let skus: BTreeSet<Sku> = receipts.iter().map(|(receipt, _)| receipt.sku.clone()).collect();
            let mut change = match if_held {
                IfHeld::Wait => StockChange::lock(connection, &skus).await?,
                IfHeld::LeaveOut => StockChange::lock_free(connection, &skus).await?,
            };
            let missing = skus.iter().find(|sku| change.state(sku).is_none());
            if let Some(missing) = missing.filter(|_| if_held == IfHeld::Wait) {
                return Err(HandleError::Failed(format!("there is no product {missing}")));
            }
            // A wait for a replenishment would hold all products of the batch.
            let held = match if_held {
                IfHeld::Wait => BTreeSet::new(),
                IfHeld::LeaveOut => {
                    let requests = receipts.iter().map(|(receipt, _)| receipt.request_id).collect();
                    replenishments::lock_free(connection, &requests).await?
                }
            };
            let is_taken = |(receipt, _): &TracedReceipt| {
                change.state(&receipt.sku).is_some() && !held.contains(&receipt.request_id)
            };
            let results = receipts.iter().map(|receipt| is_taken(receipt).then_some(Handled::Done)).collect();
            let taken = receipts.iter().filter(|receipt| is_taken(receipt)).collect();
            let fresh = note(connection, taken).await?;
            let requests = fresh.iter().map(|(receipt, _)| receipt.request_id).collect();
            let rows = replenishments::lock_all(connection, &requests).await?;
            let mut rows: BTreeMap<Uuid, ReplenishmentRow> = rows.into_iter().map(|row| (row.id, row)).collect();
            let mut answered = BTreeSet::new();
            change.find_waiting(connection).await?;
            for (receipt, trace) in fresh {
                let (units, at) = (receipt.quantity.get(), change.at);
                // An operator may accept goods for a product other than the one requested. They do not count for the
                // replenishment.
                if let Some(row) = rows.get_mut(&receipt.request_id.0).filter(|row| row.sku == receipt.sku.as_str())
                    && let Some(state) = change.touch(&receipt.sku, *trace, true)
                {
                    let mut replenishment = row.replenishment()?;
                    replenishment.receive(state, units);
                    row.set(&replenishment, at);
                    answered.insert(row.id);
                }
                let arrival = Arrival { cause: Cause::Receipt, units, given_up: 0 };
                change.take_in(&receipt.sku, arrival, &receipt.receipt_id.to_string(), *trace);
            }
            let answered: Vec<_> = rows.values().filter(|row| answered.contains(&row.id)).collect();
            replenishments::update_received(connection, &answered).await?;
            let saved = change.save(connection, limits, "factory", None).await?;
            outbox::append(connection, saved.events).await?;
            Ok((results, saved.has_left))
        })
        .await?;
    context.outbox.wake();
    if has_left {
        context.hand_out.notify_one();
    }
    Ok(results)
}

/// Records receipts. Returns those that were not applied before, each once, in order.
async fn note<'a>(
    connection: &mut AsyncPgConnection,
    receipts: Vec<&'a TracedReceipt>,
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
    Ok(receipts.into_iter().filter(|(receipt, _)| noted.remove(&receipt.receipt_id.0)).collect())
}
