//! Goods become a receipt, with the event that tells of it, in the caller's transaction.

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

/// Goods to book, for a request that is locked.
pub(super) struct Goods<'a> {
    /// The request.
    pub(super) request_id: RequestId,
    /// What came.
    pub(super) sku: &'a Sku,
    /// Units.
    pub(super) quantity: Quantity,
    /// Who made them.
    pub(super) factory_id: &'a FactoryId,
    /// Whether they count toward the request; goods of another product do not.
    pub(super) counts: bool,
    /// The callback that told of them, if one did.
    pub(super) callback: Option<FromCallback<'a>>,
    /// The operator who booked them, if one did.
    pub(super) hand: Option<Hand<'a>>,
    /// The trace that goes on with the event.
    pub(super) trace: TraceContext,
    /// When.
    pub(super) at: DateTime<Utc>,
}

/// Where goods are known from.
pub(super) struct FromCallback<'a> {
    /// Its token's id.
    pub(super) jti: &'a str,
    /// The factory's name for the delivery.
    pub(super) delivery_id: Option<&'a str>,
}

/// Who booked goods that no callback booked.
pub(super) struct Hand<'a> {
    /// The operator.
    pub(super) actor: &'a str,
    /// Why.
    pub(super) reason: &'a str,
}

impl Goods<'_> {
    /// The receipt, and the event that tells of it.
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

/// The event that told of a receipt, once more.
pub(super) fn told(receipt: &ReceiptRow, source: &str) -> Result<OutgoingEvent, StoreError> {
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

/// Books an operator's goods; wake the outbox after the commit.
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
