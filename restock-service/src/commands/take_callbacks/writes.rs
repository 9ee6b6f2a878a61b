//! Rows and events that a batch writes.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use futures::join;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_pg::{Pipeline, StoreError};
use jaego_postbox::outbox;

use super::Callback;
use crate::commands::booking::{FromCallback, Goods};
use crate::domain::batch::{Booked, Known, Outcome};
use crate::domain::decision::{FirstOutcome, Reason};
use crate::domain::delivery::Order;
use crate::store;
use crate::store::deliveries::NewDelivery;
use crate::store::quarantine::{NewEntry, Repetition};
use crate::store::receipts::ReceiptRow;
use crate::store::requests::Held;

/// Rows and events, in the order of arrival.
pub(super) struct Writes<'a> {
    source: &'static str,
    at: DateTime<Utc>,
    new_requests: Vec<(RequestId, &'a Order, i64)>,
    figures: Vec<(RequestId, i64)>,
    receipts: Vec<ReceiptRow>,
    deliveries: Vec<NewDelivery<'a>>,
    entries: Vec<NewEntry<'a>>,
    repetitions: Vec<Repetition<'a>>,
    events: Vec<OutgoingEvent>,
}

impl<'a> Writes<'a> {
    pub(super) fn new(source: &'static str, at: DateTime<Utc>) -> Self {
        Self {
            source,
            at,
            new_requests: Vec::new(),
            figures: Vec::new(),
            receipts: Vec::new(),
            deliveries: Vec::new(),
            entries: Vec::new(),
            repetitions: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Adds the writes of one callback; `traceparent` is that of its request.
    pub(super) fn add(
        &mut self,
        callback: &'a Callback,
        outcome: Outcome,
        traceparent: Option<&str>,
    ) -> Result<(), StoreError> {
        match outcome {
            Outcome::Received { booked, completes } => {
                self.book(callback, booked, traceparent)?;
                self.keep_first(callback, FirstOutcome::Received { completed: completes }, Some(booked));
                if booked.quarantined > 0 {
                    self.quarantine(callback, Reason::OverDelivery, Some(booked.quarantined), traceparent);
                }
            }
            Outcome::Quarantined { reason, is_first } => {
                let count = callback.message.claim.count.read().ok();
                self.quarantine(callback, reason, count.map(Quantity::get), traceparent);
                if is_first {
                    self.keep_first(callback, FirstOutcome::Quarantined(reason), None);
                }
            }
            Outcome::QuarantinedBefore { .. } => self.repetitions.push(Repetition {
                callback_id: callback.id,
                request_id: callback.message.request_id,
                jti: &callback.message.jti,
                has_name: callback.delivery.has_id,
                fingerprint: &callback.fingerprint,
            }),
            Outcome::Duplicate { .. } | Outcome::Refused => {}
        }
        Ok(())
    }

    fn book(&mut self, callback: &'a Callback, booked: Booked, traceparent: Option<&str>) -> Result<(), StoreError> {
        let message = &callback.message;
        let goods = Goods {
            request_id: message.request_id,
            sku: &message.order.sku,
            quantity: Quantity::try_from(booked.quantity).map_err(store::unreadable)?,
            factory_id: &message.order.factory_id,
            counts: true,
            callback: Some(FromCallback { jti: &message.jti, delivery_id: message.claim.delivery_id.as_deref() }),
            hand: None,
            trace: callback.trace(traceparent),
            at: self.at,
        };
        let (receipt, event) = goods.receipt(booked.receipt_id, self.source);
        self.receipts.push(receipt);
        self.events.push(event);
        Ok(())
    }

    /// A faulty delivery may be repeated correctly, so it does not use up its identity.
    fn keep_first(&mut self, callback: &'a Callback, outcome: FirstOutcome, booked: Option<Booked>) {
        let Ok(count) = callback.delivery.content else { return };
        let message = &callback.message;
        let (jti, delivery_id) = (message.jti.as_str(), message.claim.delivery_id.as_deref());
        let (request_id, body) = (message.request_id, message.body.as_str());
        let id = callback.id;
        self.deliveries.push(NewDelivery { id, jti, delivery_id, request_id, count, outcome, booked, body });
    }

    fn quarantine(&mut self, callback: &'a Callback, reason: Reason, quantity: Option<i64>, traceparent: Option<&str>) {
        let message = &callback.message;
        self.entries.push(NewEntry {
            callback_id: callback.id,
            reason,
            request_id: message.request_id,
            jti: &message.jti,
            delivery_id: message.claim.delivery_id.as_deref(),
            fingerprint: &callback.fingerprint,
            order: &message.order,
            quantity,
            claimed_product: message.claim.product.as_deref(),
            claimed_factory: message.claim.factory.as_deref(),
            body: &message.body,
            body_bytes: message.body_bytes.as_deref(),
            trace: callback.trace(traceparent),
            at: self.at,
        });
    }

    /// Adds the figures of the requests after all of these callbacks. A request that is not in `held` is new and
    /// takes its order from its first callback.
    pub(super) fn add_requests(
        &mut self,
        callbacks: impl Iterator<Item = &'a Callback>,
        held: &HashMap<RequestId, Held>,
        known: &Known<'_>,
    ) {
        let mut orders: BTreeMap<RequestId, &'a Order> = BTreeMap::new();
        for callback in callbacks {
            orders.entry(callback.message.request_id).or_insert(&callback.message.order);
        }
        for (id, order) in orders {
            let received = known.requests.get(&id).map_or(0, |progress| progress.received);
            match held.get(&id) {
                None => self.new_requests.push((id, order, received)),
                Some(held) if held.progress.received != received => self.figures.push((id, received)),
                Some(_) => {}
            }
        }
    }

    /// Writes everything and commits. No statement needs the result of an earlier one, only its rows, so all are
    /// pipelined.
    pub(super) async fn write(self, transaction: &Pipeline) -> Result<(), StoreError> {
        let connection = transaction.connection();
        let (requests, figures, receipts, deliveries, entries, repetitions, events, committed) = join!(
            store::requests::insert(connection, &self.new_requests),
            store::requests::write_received(connection, &self.figures),
            store::receipts::insert(connection, &self.receipts),
            store::deliveries::insert(connection, &self.deliveries, self.at),
            store::quarantine::insert(connection, &self.entries),
            store::quarantine::count_again(connection, &self.repetitions, self.at),
            outbox::append(connection, self.events),
            transaction.commit(),
        );
        requests?;
        figures?;
        receipts?;
        deliveries?;
        entries?;
        repetitions?;
        events?;
        Ok(committed?)
    }
}
