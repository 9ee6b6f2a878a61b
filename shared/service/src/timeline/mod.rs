//! `GET /api/v1/timeline`: a service's records of one order, or of production requests, in order of time.
//!
//! Every service returns its own part in this shape; a client that wants the whole chain queries all three and merges
//! the parts by time. A step is included only if the service stored when it happened.

mod detail;
mod kind;
mod records;

use chrono::{DateTime, Utc};
use jaego_contracts::ids::{OrderId, RequestId};
use jaego_contracts::trace::TraceContext;
use jaego_web::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

pub use detail::{TimelineDetail, TimelineLine};
pub use kind::TimelineKind;
pub use records::{Acted, actions, letters};

/// Maximum number of steps in a response; the newest are kept.
pub const STEPS_MAX: usize = 500;
/// Rows that a query fetches from one source, newest first: one more than is shown, which reveals whether there are
/// more.
pub const FETCH: i64 = 501;
/// Maximum number of production requests in one query.
pub const REQUESTS_MAX: usize = 20;

/// The query of a timeline: exactly one of the two members.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// The order; excludes `request`.
    #[param(value_type = Option<Uuid>, example = "01a2051b-cedc-7700-a805-c2579d04fa50")]
    order: Option<String>,
    /// Production requests, which have the ids of their replenishments: 1 to 20, separated by commas.
    #[param(example = "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3")]
    request: Option<String>,
}

/// A checked [`TimelineQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// One order.
    Order(OrderId),
    /// Production requests, each once.
    Requests(Vec<RequestId>),
}

impl TimelineQuery {
    /// Checks the query; 422 when it has neither or both members, or an invalid id.
    pub fn about(&self) -> Result<About, Problem> {
        match (self.order.as_deref(), self.request.as_deref()) {
            (Some(order), None) => match order.parse() {
                Ok(id) => Ok(About::Order(id)),
                Err(_) => Err(invalid("order", "must be the id of an order")),
            },
            (None, Some(requests)) => requests_in(requests).map(About::Requests),
            (None, None) => Err(invalid("order", "is required, or `request`")),
            (Some(_), Some(_)) => Err(invalid("request", "must not be given together with `order`")),
        }
    }
}

fn requests_in(text: &str) -> Result<Vec<RequestId>, Problem> {
    // Split into at most one more than allowed, so that a long text is not read to its end.
    let ids: Result<Vec<RequestId>, _> = text.splitn(REQUESTS_MAX + 1, ',').map(str::parse).collect();
    match ids {
        Ok(mut ids) if ids.len() <= REQUESTS_MAX => {
            ids.sort_unstable();
            ids.dedup();
            Ok(ids)
        }
        _ => Err(invalid("request", "must be 1 to 20 ids of production requests, separated by commas")),
    }
}

fn invalid(field: &str, must: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("{field}: {must}.")).with("field", field)
}

jaego_web::words! {
    /// Type of the thing that a step belongs to.
    TimelineSubjectType: "order", "movement", "replenishment", "production_request", "receipt", "quarantine_entry", "dead_letter";
}

/// The thing that a step belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimelineSubject {
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = TimelineSubjectType, example = "production_request")]
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
}

macro_rules! subjects {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        impl TimelineSubject {
            $($(#[$doc])* pub fn $name(id: Uuid) -> Self {
                Self { kind: stringify!($name), id }
            })+
        }
    };
}

subjects! {
    order;
    /// An entry of the stock ledger.
    movement;
    replenishment;
    production_request;
    receipt;
    quarantine_entry;
    dead_letter;
}

/// A step: something that happened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineItem {
    /// Time of the step.
    pub at: DateTime<Utc>,
    /// Kind of step.
    #[schema(example = "production.attempted")]
    pub kind: TimelineKind,
    /// The service that recorded it.
    #[schema(example = "production-service")]
    pub service: &'static str,
    /// The thing that it belongs to.
    pub subject: TimelineSubject,
    /// The product, if the step concerns one.
    #[schema(required, example = "CP-502101")]
    pub sku: Option<String>,
    /// Units, if the step concerns some; signed for a ledger entry.
    #[schema(required, example = 10)]
    pub quantity: Option<i64>,
    /// Details of this kind of step.
    pub detail: TimelineDetail,
    /// Id of its trace, if recorded.
    #[schema(required, example = "948201e16e0450bf03af103fe5fca74b")]
    pub trace_id: Option<String>,
    /// Duration of the step, if it has one.
    #[schema(required, example = 12)]
    pub duration_ms: Option<i64>,
}

impl TimelineItem {
    /// Creates a step with only the members that every step has.
    pub fn new(service: &'static str, kind: TimelineKind, at: DateTime<Utc>, subject: TimelineSubject) -> Self {
        let detail = TimelineDetail::default();
        Self { at, kind, service, subject, sku: None, quantity: None, detail, trace_id: None, duration_ms: None }
    }

    #[must_use]
    pub fn of(self, sku: &str, quantity: impl Into<Option<i64>>) -> Self {
        Self { sku: Some(sku.to_owned()), quantity: quantity.into(), ..self }
    }

    #[must_use]
    pub fn with(self, detail: TimelineDetail) -> Self {
        Self { detail, ..self }
    }

    /// Sets the trace id from this `traceparent`; an invalid one leaves it unset.
    #[must_use]
    pub fn traced(self, traceparent: &str) -> Self {
        let trace_id = traceparent.parse::<TraceContext>().ok().map(TraceContext::trace_id);
        Self { trace_id, ..self }
    }
}

/// Kind of a future step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// The factory is called; `waiting_for` says what holds the call back when `at` has passed.
    NextAttempt,
    /// The factory answers; by then the call counts as lost and is made again.
    Answer,
    /// Goods should have arrived; without `at`, the time is unknown.
    Goods,
    /// It counts as overdue, unless all goods have come by then.
    Overdue,
    /// A person decides: about a proposal, a dead letter, a quarantine entry, or what is overdue.
    Decision,
}

/// A future step.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineNext {
    /// Kind of step.
    #[schema(example = "next_attempt")]
    pub what: NextStep,
    /// Expected time; null: none is scheduled.
    #[schema(required)]
    pub at: Option<DateTime<Utc>>,
    /// The service that waits for it.
    #[schema(example = "production-service")]
    pub service: &'static str,
    /// The thing that it belongs to.
    pub subject: TimelineSubject,
    /// The product, if the step concerns one.
    #[schema(required, example = "CP-502101")]
    pub sku: Option<String>,
    /// Units, if the step concerns some.
    #[schema(required, example = 10)]
    pub quantity: Option<i64>,
    /// Details of this kind of step.
    pub detail: TimelineDetail,
}

impl TimelineNext {
    /// Creates an entry with only the members that every entry has.
    pub fn new(service: &'static str, what: NextStep, at: Option<DateTime<Utc>>, subject: TimelineSubject) -> Self {
        Self { what, at, service, subject, sku: None, quantity: None, detail: TimelineDetail::default() }
    }

    #[must_use]
    pub fn of(self, sku: &str, quantity: impl Into<Option<i64>>) -> Self {
        Self { sku: Some(sku.to_owned()), quantity: quantity.into(), ..self }
    }

    #[must_use]
    pub fn with(self, detail: TimelineDetail) -> Self {
        Self { detail, ..self }
    }
}

/// A service's part of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    /// The steps, oldest first; at most 500.
    items: Vec<TimelineItem>,
    /// The future steps, earliest first; those without a time come last.
    next: Vec<TimelineNext>,
    /// True if there were more steps; the oldest are left out.
    #[schema(example = false)]
    truncated: bool,
}

impl Timeline {
    /// Sorts steps by time (steps with the same time stay in the given order) and keeps the newest.
    pub fn new(mut items: Vec<TimelineItem>, mut next: Vec<TimelineNext>) -> Self {
        items.sort_by_key(|item| item.at);
        let too_many = items.len().saturating_sub(STEPS_MAX);
        items.drain(..too_many);
        next.sort_by_key(|next| (next.at.is_none(), next.at));
        next.truncate(STEPS_MAX);
        Self { items, next, truncated: too_many > 0 }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn about(order: Option<&str>, request: Option<&str>) -> Result<About, Problem> {
        TimelineQuery { order: order.map(ToOwned::to_owned), request: request.map(ToOwned::to_owned) }.about()
    }

    #[test]
    fn a_question_is_about_one_order_or_some_requests() {
        let (order, first, second) = (OrderId::generate(), RequestId::generate(), RequestId::generate());
        assert_eq!(about(Some(&order.to_string()), None).ok(), Some(About::Order(order)));
        let twice = format!("{second},{first},{second}");
        assert_eq!(about(None, Some(&twice)).ok(), Some(About::Requests(vec![first, second])));
        let many = |count: usize| vec![RequestId::generate().to_string(); count].join(",");
        assert!(about(None, Some(&many(REQUESTS_MAX))).is_ok());
        let too_many = many(REQUESTS_MAX + 1);
        let id = order.to_string();
        for (order, request) in [
            (None, None),
            (Some(id.as_str()), Some(id.as_str())),
            (Some("x"), None),
            (Some(""), None),
            (None, Some("")),
            (None, Some("x")),
            (None, Some(format!("{id},").as_str())),
            (None, Some(too_many.as_str())),
        ] {
            let problem = about(order, request).expect_err("not acceptable");
            assert_eq!(problem.kind(), ProblemKind::InvalidRequest, "{order:?} {request:?}");
        }
    }

    #[test]
    fn steps_are_in_order_of_time_and_the_newest_are_kept() {
        let start = Utc::now();
        let subject = TimelineSubject::order(Uuid::now_v7());
        let step = |seconds: i64| {
            let at = start + TimeDelta::seconds(seconds);
            TimelineItem::new("sales-service", TimelineKind::StockMoved, at, subject.clone())
        };
        let all = Timeline::new((0..501).rev().map(step).collect(), Vec::new());
        assert!(all.truncated && all.items.len() == STEPS_MAX);
        assert!(all.items.is_sorted_by_key(|item| item.at));
        assert_eq!(all.items.last().map(|item| item.at), Some(start + TimeDelta::seconds(500)));
        let next = |at: Option<DateTime<Utc>>| TimelineNext::new("sales-service", NextStep::Goods, at, subject.clone());
        let later = Timeline::new(vec![step(1)], vec![next(None), next(Some(start))]);
        assert!(!later.truncated && later.next[0].at.is_some());
    }
}
