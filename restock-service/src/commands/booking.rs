//! Books goods as a receipt, with the event that reports it, in the caller's transaction.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{FactoryId, InvalidCode, Quantity, ReceiptId, RequestId, Sku};
use jaego_contracts::stock;
use jaego_contracts::stock::StockReceived;
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_postbox::outbox;

use crate::store::receipts::ReceiptRow;
use crate::store::{self, unreadable};

/// Goods to book for a request whose row is locked.
pub(super) struct Goods<'a> {
    pub(super) request_id: RequestId,
    pub(super) sku: &'a Sku,
    pub(super) quantity: Quantity,
    pub(super) factory_id: &'a FactoryId,
    /// False for goods of another product, which do not count toward the request.
    pub(super) counts: bool,
    /// The callback that reported them, if any.
    pub(super) callback: Option<FromCallback<'a>>,
    /// The operator who booked them, if any.
    pub(super) hand: Option<Hand<'a>>,
    /// Trace that the event continues.
    pub(super) trace: TraceContext,
    pub(super) at: DateTime<Utc>,
}

/// Origin of goods that a callback reported.
pub(super) struct FromCallback<'a> {
    /// Id of the token.
    pub(super) jti: &'a str,
    /// The factory's name for the delivery.
    pub(super) delivery_id: Option<&'a str>,
}

/// Origin of goods that an operator booked.
pub(super) struct Hand<'a> {
    pub(super) actor: &'a str,
    pub(super) reason: &'a str,
}

impl Goods<'_> {
    /// The receipt and the event that reports it.
    pub(super) fn receipt(&self, id: ReceiptId, source: &str) -> (ReceiptRow, OutgoingEvent) {
        let receipt = ReceiptRow {
            id: id.0,
            request_id: self.request_id.0,
            sku: self.sku.to_string(),
            quantity: self.quantity.get(),
            factory_id: self.factory_id.to_string(),
            delivery_id: self.callback.as_ref().and_then(|from| from.delivery_id).map(str::to_owned),
            jti: self.callback.as_ref().map(|from| from.jti.to_owned()),
            received_at: self.at,
            traceparent: self.trace.to_string(),
            actor: self.hand.as_ref().map(|hand| hand.actor.to_owned()),
            reason: self.hand.as_ref().map(|hand| hand.reason.to_owned()),
        };
        let received = StockReceived {
            receipt_id: id,
            request_id: self.request_id,
            sku: self.sku.clone(),
            quantity: self.quantity,
            factory_id: self.factory_id.clone(),
            received_at: self.at,
        };
        (receipt, event(&received, source, self.trace))
    }
}

fn event(received: &StockReceived, source: &str, trace: TraceContext) -> OutgoingEvent {
    OutgoingEvent::new(&stock::RECEIVED, source, &received.receipt_id.to_string(), trace, received)
}

/// The event of a receipt that was booked before, to be published again.
pub(super) fn receipt_event(receipt: &ReceiptRow, source: &str) -> Result<OutgoingEvent, StoreError> {
    let received = StockReceived {
        receipt_id: ReceiptId(receipt.id),
        request_id: RequestId(receipt.request_id),
        sku: receipt.sku.parse().map_err(|error: InvalidCode| unreadable(error))?,
        quantity: Quantity::try_from(receipt.quantity).map_err(unreadable)?,
        factory_id: receipt.factory_id.parse().map_err(|error: InvalidCode| unreadable(error))?,
        received_at: receipt.received_at,
    };
    Ok(event(&received, source, TraceContext::continue_from(Some(&receipt.traceparent))))
}

/// Books goods for an operator. The caller wakes the outbox after the commit.
pub(super) async fn book(
    connection: &mut AsyncPgConnection,
    goods: &Goods<'_>,
    source: &str,
) -> Result<ReceiptRow, StoreError> {
    let (receipt, event) = goods.receipt(ReceiptId::generate(), source);
    store::receipts::insert(connection, std::slice::from_ref(&receipt)).await?;
    if goods.counts {
        store::requests::add_received(connection, goods.request_id, goods.quantity.get()).await?;
    }
    outbox::append(connection, [event]).await?;
    Ok(receipt)
}
