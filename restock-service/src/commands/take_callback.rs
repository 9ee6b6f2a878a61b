//! Takes one authentic callback: the decision, its rows and its event, in one transaction.

use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use sha2::{Digest, Sha256};
use shared::db::StoreError;
use shared::ids::{Quantity, QuarantineId, ReceiptId, RequestId};
use shared::trace::TraceContext;

use super::booking::{self, FromCallback, Goods};
use super::{Context, now};
pub(crate) use crate::domain::decision::Reason;
use crate::domain::decision::{Decision, FirstOutcome, RequestState, decide};
pub(crate) use crate::domain::delivery::{Claim, ClaimedCount, CountFault, Delivery, Fault, Order};
use crate::domain::judgement::Status;
use crate::domain::policy::Policy;
use crate::store;
use crate::store::deliveries::{Booked, NewDelivery};
use crate::store::quarantine::QuarantineRow;
use crate::store::requests::LockedRequest;

/// What the command works with.
pub(crate) struct CallbackTaker {
    pub(crate) context: Context,
    pub(crate) policy: Policy,
}

/// An authentic callback, from an address that may send it.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    /// Its token's id.
    pub(crate) jti: String,
    /// The request that the token was made for.
    pub(crate) request_id: RequestId,
    /// What the token says was asked for.
    pub(crate) order: Order,
    /// Whether the token's time was over when it came.
    pub(crate) is_expired: bool,
    /// What the body says.
    pub(crate) claim: Claim,
    /// The body with no token in it.
    pub(crate) body: String,
    /// The trace of the HTTP request.
    pub(crate) trace: TraceContext,
    /// Whether the sender gave that trace; one that did not continues the production request's.
    pub(crate) has_own_trace: bool,
}

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Booked, now or before.
    Received {
        /// What was booked.
        booked: Booked,
        /// Whether that was before.
        again: bool,
    },
    /// Kept for a person, now or before. What is wrong with the delivery itself, if anything is, is in
    /// the delivery.
    Quarantined {
        /// Why.
        reason: Reason,
        /// Whether that was before.
        again: bool,
    },
    /// Not kept: too much of its token is.
    Refused,
}

impl CallbackTaker {
    /// Takes the callback; answers when that is durable.
    pub(crate) async fn take(&self, callback: &Callback) -> Result<(Answer, Delivery), StoreError> {
        let delivery = callback.claim.against(&callback.order, callback.is_expired);
        let mut connection = self.context.pool.get().await?;
        let answer = connection
            .transaction(async |connection| {
                let taking = Taking::load(connection, callback, &delivery).await?;
                let decision = decide(&taking.state, &delivery, self.policy);
                taking.save(connection, decision, self.context.source).await
            })
            .await?;
        if matches!(answer, Answer::Received { again: false, .. }) {
            self.context.outbox.wake();
        }
        Ok((answer, delivery))
    }
}

/// A callback while its request is locked.
struct Taking<'a> {
    callback: &'a Callback,
    delivery: &'a Delivery,
    fingerprint: Vec<u8>,
    request: LockedRequest,
    state: RequestState,
    /// What was booked for the first delivery with this identity.
    booked: Option<Booked>,
    now: DateTime<Utc>,
}

impl<'a> Taking<'a> {
    async fn load(
        connection: &mut AsyncPgConnection,
        callback: &'a Callback,
        delivery: &'a Delivery,
    ) -> Result<Self, StoreError> {
        let fingerprint = Sha256::digest(callback.claim.identity(delivery).as_bytes()).to_vec();
        // First the lock: what is read after it cannot change any more.
        let request = store::requests::lock(connection, callback.request_id, &callback.order).await?;
        let delivery_id = callback.claim.delivery_id.as_deref();
        let first = store::deliveries::find_first(connection, &callback.jti, delivery_id).await?;
        let (entries, quarantined) = store::quarantine::of_token(connection, &callback.jti, &fingerprint).await?;
        let (first, booked) = first.map_or((None, None), |(first, booked)| (Some(first), booked));
        let state = RequestState {
            quantity: callback.order.quantity.get(),
            received: request.received,
            is_cancelled: request.cancelled_at.is_some(),
            first,
            quarantined,
            quarantine_entries: entries,
        };
        Ok(Self { callback, delivery, fingerprint, request, state, booked, now: now() })
    }

    async fn save(
        &self,
        connection: &mut AsyncPgConnection,
        decision: Decision,
        source: &str,
    ) -> Result<Answer, StoreError> {
        match decision {
            Decision::Receive { quantity, excess, completes } => {
                let booked = self.book(connection, quantity, excess, completes, source).await?;
                Ok(Answer::Received { booked, again: false })
            }
            Decision::Duplicate => {
                let booked = self.booked.ok_or_else(|| store::unreadable("a received delivery has no receipt"))?;
                Ok(Answer::Received { booked, again: true })
            }
            Decision::Quarantine(reason) => {
                let count = self.callback.claim.count.read().ok();
                self.quarantine(connection, reason, count.map(Quantity::get)).await?;
                if self.state.first.is_none() {
                    self.keep_first(connection, FirstOutcome::Quarantined(reason), None).await?;
                }
                Ok(Answer::Quarantined { reason, again: false })
            }
            Decision::AlreadyQuarantined(reason) => Ok(Answer::Quarantined { reason, again: true }),
            Decision::Refuse => Ok(Answer::Refused),
        }
    }

    async fn book(
        &self,
        connection: &mut AsyncPgConnection,
        quantity: Quantity,
        excess: i64,
        completes: bool,
        source: &str,
    ) -> Result<Booked, StoreError> {
        let Callback { jti, request_id, order, claim, .. } = self.callback;
        let goods = Goods {
            request_id: *request_id,
            sku: &order.sku,
            quantity,
            factory_id: &order.factory_id,
            counts: true,
            callback: Some(FromCallback { jti, delivery_id: claim.delivery_id.as_deref() }),
            hand: None,
            trace: self.trace(),
            at: self.now,
        };
        let receipt_id = ReceiptId(booking::book(connection, &goods, source).await?.id);
        let booked = Booked { receipt_id, quantity: quantity.get(), quarantined: excess };
        self.keep_first(connection, FirstOutcome::Received { completed: completes }, Some(booked)).await?;
        if excess > 0 {
            self.quarantine(connection, Reason::OverDelivery, Some(excess)).await?;
        }
        Ok(booked)
    }

    async fn keep_first(
        &self,
        connection: &mut AsyncPgConnection,
        outcome: FirstOutcome,
        booked: Option<Booked>,
    ) -> Result<(), StoreError> {
        // A delivery told wrongly may be told again rightly: it does not use up its identity.
        let Ok(count) = self.delivery.content else { return Ok(()) };
        let new = NewDelivery {
            jti: &self.callback.jti,
            delivery_id: self.callback.claim.delivery_id.as_deref(),
            request_id: self.callback.request_id,
            count,
            outcome,
            booked,
            body: &self.callback.body,
            at: self.now,
        };
        store::deliveries::insert(connection, &new).await
    }

    async fn quarantine(
        &self,
        connection: &mut AsyncPgConnection,
        reason: Reason,
        quantity: Option<i64>,
    ) -> Result<(), StoreError> {
        let Callback { jti, request_id, order, claim, body, .. } = self.callback;
        let row = QuarantineRow {
            id: QuarantineId::generate().0,
            status: Status::Waiting.name().to_owned(),
            reason: reason.slug().to_owned(),
            request_id: request_id.0,
            jti: jti.clone(),
            delivery_id: claim.delivery_id.clone(),
            fingerprint: self.fingerprint.clone(),
            sku: order.sku.to_string(),
            factory_id: order.factory_id.to_string(),
            quantity,
            claimed_product: claim.product.clone(),
            claimed_factory: claim.factory.clone(),
            body: body.clone(),
            traceparent: self.trace().to_string(),
            created_at: self.now,
            decided_by: None,
            decided_at: None,
            decision_reason: None,
            receipt_id: None,
        };
        store::quarantine::insert(connection, &row).await
    }

    /// The sender's trace if it has one, else the production request's: a legacy factory ignores ours.
    fn trace(&self) -> TraceContext {
        match &self.request.traceparent {
            Some(parent) if !self.callback.has_own_trace => {
                let span = tracing::info_span!("take_callback", request_id = %self.callback.request_id);
                TraceContext::continue_from(Some(parent)).enter(&span)
            }
            _ => self.callback.trace,
        }
    }
}
