//! Use cases: each command loads, lets `domain` decide, and saves with its events in one transaction.

pub(crate) mod apply_factory;
pub(crate) mod book_by_hand;
mod booking;
pub(crate) mod check_source;
pub(crate) mod judge_quarantined;
pub(crate) mod keep_request;
pub(crate) mod list_quarantine;
pub(crate) mod list_receipts;
pub(crate) mod take_callbacks;
pub(crate) mod timeline;
pub(crate) mod watch_quarantine;

use chrono::{DateTime, SubsecRound, Utc};
use jaego_pg::Pool;
use jaego_postbox::outbox::Outbox;
use jaego_service::Refused;
pub(crate) use jaego_service::operation::{Answered, Asked};
use jaego_web::problem::{Problem, ProblemKind};

use crate::domain::judgement::Rejection;

/// Dependencies of all commands.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) pool: Pool,
    /// Notified after each commit that wrote events.
    pub(crate) outbox: Outbox,
    /// The service's name in its events.
    pub(crate) source: &'static str,
}

/// The problem that reports a rejection to the operator.
fn problem_of(rejection: Rejection) -> Problem {
    let invalid = |field: &str, detail: &str| Problem::new(ProblemKind::InvalidRequest, detail).with("field", field);
    match rejection {
        Rejection::Cancelled => {
            let detail = "The production request was cancelled, so nothing can be booked for it by hand.";
            Problem::new(ProblemKind::Conflict, detail)
        }
        Rejection::MoreThanOpen { open } => {
            let detail = format!("The production request has {open} open units; no more can be booked by hand.");
            Problem::new(ProblemKind::Conflict, detail).with("open", open)
        }
        Rejection::Judged(status) => {
            let detail = format!("The entry has already been {}.", status.name());
            Problem::new(ProblemKind::Conflict, detail).with("entry_status", status.name())
        }
        Rejection::SkuUndecided => invalid(
            "sku",
            "sku: is required, because the delivery names another product than its token; give the one that arrived.",
        ),
        Rejection::SkuForeign => invalid("sku", "sku: must be the product of the token or the one the delivery names."),
        Rejection::QuantityMissing => {
            invalid("quantity", "quantity: is required, because the delivery has no valid count.")
        }
    }
}

/// The current time in microseconds, as PostgreSQL stores it, so that event, row and answer agree.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
