//! Goods arrived: stock rises by them exactly once, however often and in whatever order it is told.

use diesel_async::AsyncConnection;
use shared::amqp::consumer::HandleError;
use shared::contracts::stock::StockReceived;
use shared::outbox;
use shared::trace::TraceContext;

use super::{Context, write};
use crate::domain::goods::Arrival;
use crate::domain::stock::Cause;
use crate::store::replenishments::{self, AppliedReceipt};
use crate::store::stock::{self, Hand};

/// Applies a receipt, whatever became of its replenishment.
pub async fn receive_goods(context: &Context, receipt: StockReceived, trace: TraceContext) -> Result<(), HandleError> {
    let mut connection = context.pool.get().await.map_err(crate::store::StoreError::from)?;
    connection
        .transaction(async move |connection| {
            let now = write::now();
            let units = receipt.quantity.get();
            let Some(mut shelf) = write::lock_shelf(connection, &receipt.sku, now).await? else {
                return Err(HandleError::Failed(format!("there is no product {}", receipt.sku)));
            };
            let applied = AppliedReceipt {
                receipt_id: receipt.receipt_id.0,
                request_id: receipt.request_id.0,
                sku: receipt.sku.as_str(),
                quantity: units,
                received_at: receipt.received_at,
            };
            if !replenishments::note_receipt(connection, &applied).await? {
                return Ok(());
            }
            // An operator may accept goods for another product than was asked for: they settle nothing.
            let row = replenishments::lock(connection, receipt.request_id).await?;
            if let Some(mut row) = row.filter(|row| row.sku == receipt.sku.as_str()) {
                let mut replenishment = row.replenishment()?;
                replenishment.receive(&mut shelf, units);
                stock::forget_refusals(connection, &receipt.sku).await?;
                row.set(&replenishment, now);
                replenishments::update(connection, &row).await?;
            }
            let incoming = write::IncomingUnits {
                sku: &receipt.sku,
                arrival: Arrival { cause: Cause::Receipt, units, given_up: 0 },
                reference: receipt.receipt_id.to_string(),
                hand: Hand { actor: "factory", at: now, note: None },
                trace,
            };
            let taken = write::take_in(connection, &mut shelf, incoming).await?;
            let mut events = taken.events;
            events.extend(write::fill(connection, &taken.fills, trace).await?);
            Ok(outbox::append(connection, events).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(())
}
