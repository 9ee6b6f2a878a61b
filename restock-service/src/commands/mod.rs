//! What the service does: each command loads, lets `domain` decide, and saves with its events in one
//! transaction.

pub(crate) mod apply_factory;
pub(crate) mod book_by_hand;
mod booking;
pub(crate) mod check_source;
pub(crate) mod judge_quarantined;
pub(crate) mod keep_request;
pub(crate) mod list_quarantine;
pub(crate) mod list_receipts;
pub(crate) mod take_callback;

use chrono::{DateTime, SubsecRound, Utc};
use diesel_async::AsyncPgConnection;
use serde_json::Value;
use shared::audit_log::{self, Action};
use shared::db::{Pool, Refused, StoreError};
use shared::idempotency::{self, KeptAnswer, KeyUse};
use shared::outbox::Outbox;
use shared::problem::{Problem, ProblemKind};
use shared::trace::TraceContext;

use crate::domain::judgement::Rejection;

/// What commands work with.
#[derive(Clone)]
pub(crate) struct Context {
    /// The service's database.
    pub(crate) pool: Pool,
    /// Rung after each commit that wrote events.
    pub(crate) outbox: Outbox,
    /// The service's name in its events.
    pub(crate) source: &'static str,
}

/// Which operator asked, and in which words.
pub(crate) struct Asked<'a> {
    /// The operator.
    pub(crate) actor: &'a str,
    /// Why, in the operator's words.
    pub(crate) reason: &'a str,
    /// Its Idempotency-Key, where one is honoured.
    pub(crate) key: Option<KeyUse>,
    /// The request as it came.
    pub(crate) detail: Value,
    /// Its trace.
    pub(crate) trace: TraceContext,
}

impl Asked<'_> {
    /// Notes the action in the audit log.
    async fn record(
        &self,
        connection: &mut AsyncPgConnection,
        action: &'static str,
        subject: &str,
    ) -> Result<(), StoreError> {
        let (actor, reason, trace) = (self.actor, Some(self.reason), self.trace);
        audit_log::record(connection, &Action { actor, action, subject, reason, detail: self.detail.clone(), trace })
            .await
    }

    /// The answer that was given to the same request before. Waits for one that is being given.
    async fn known_answer(&self, connection: &mut AsyncPgConnection) -> Result<Option<Answered>, Refused> {
        let Some(used) = &self.key else { return Ok(None) };
        let kept = idempotency::lock_and_find(connection, used).await?;
        let answer = kept.map(|kept| kept.for_body(&used.fingerprint)).transpose()?;
        Ok(answer.map(|answer| Answered { answer, is_replay: true }))
    }

    /// Keeps the first answer to this request.
    async fn keep(&self, connection: &mut AsyncPgConnection, answer: KeptAnswer) -> Result<Answered, StoreError> {
        if let Some(used) = &self.key {
            idempotency::keep(connection, &[(used.clone(), answer.clone())]).await?;
        }
        Ok(Answered { answer, is_replay: false })
    }
}

/// An answer that is kept under its request's key.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// Status and body.
    pub(crate) answer: KeptAnswer,
    /// The request was answered before, under the same key.
    pub(crate) is_replay: bool,
}

/// A rule's no, as the operator is told.
fn problem_of(rejection: Rejection) -> Problem {
    let invalid = |field: &str, detail: &str| Problem::new(ProblemKind::InvalidRequest, detail).with("field", field);
    match rejection {
        Rejection::Cancelled => {
            let detail = "The production request was cancelled: nothing is booked for it by hand.";
            Problem::new(ProblemKind::Conflict, detail)
        }
        Rejection::MoreThanOpen { open } => {
            let detail = format!("The production request lacks {open} units: no more can be booked by hand.");
            Problem::new(ProblemKind::Conflict, detail).with("open", open)
        }
        Rejection::Judged(status) => {
            let detail = format!("The entry was {} before; it is judged once.", status.name());
            Problem::new(ProblemKind::Conflict, detail).with("entry_status", status.name())
        }
        Rejection::SkuUndecided => invalid(
            "sku",
            "sku: is required, because the delivery names another product than its token; say which of the two came.",
        ),
        Rejection::SkuForeign => invalid("sku", "sku: must be the product of the token or the one the delivery names."),
        Rejection::QuantityMissing => {
            invalid("quantity", "quantity: is required, because the delivery has no usable count.")
        }
    }
}

/// The time as PostgreSQL keeps it, in microseconds: event, row and answer tell the same.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
