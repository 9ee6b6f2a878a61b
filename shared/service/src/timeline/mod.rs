//! `GET /api/v1/timeline`: what a service has on record of one order, or of production requests, in time order.
//!
//! Every service tells its own part in this shape; whoever wants the whole chain asks all three and puts the
//! parts together by time. A step is told only if the service stored when it happened.

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

/// Most steps in an answer; the newest are kept.
pub const STEPS_MAX: usize = 500;
/// What a query fetches of one source, newest first: one more than is shown, so that it is seen when there are more.
pub const FETCH: i64 = 501;
/// Most production requests in one question.
pub const REQUESTS_MAX: usize = 20;

/// What a timeline is asked for: either of the two.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// The order. Not together with `request`.
    #[param(value_type = Option<Uuid>, example = "01a2051b-cedc-7700-a805-c2579d04fa50")]
    order: Option<String>,
    /// Production requests, which have the ids of their replenishments: 1 to 20, with commas between them.
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
    /// What is asked for; 422 for nothing, both, or what cannot be an id.
    pub fn about(&self) -> Result<About, Problem> {
        match (self.order.as_deref(), self.request.as_deref()) {
            (Some(order), None) => match order.parse() {
                Ok(id) => Ok(About::Order(id)),
                Err(_) => Err(invalid("order", "must be the id of an order")),
            },
            (None, Some(requests)) => requests_in(requests).map(About::Requests),
            (None, None) => Err(invalid("order", "is needed, or `request`: what is the timeline to be about?")),
            (Some(_), Some(_)) => Err(invalid("request", "must not come together with `order`: ask twice")),
        }
    }
}

fn requests_in(text: &str) -> Result<Vec<RequestId>, Problem> {
    // Split one further than allowed, so that a long text is not read to its end.
    let ids: Result<Vec<RequestId>, _> = text.splitn(REQUESTS_MAX + 1, ',').map(str::parse).collect();
    match ids {
        Ok(mut ids) if ids.len() <= REQUESTS_MAX => {
            ids.sort_unstable();
            ids.dedup();
            Ok(ids)
        }
        _ => Err(invalid("request", "must be 1 to 20 ids of production requests with commas between them")),
    }
}

fn invalid(field: &str, must: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("{field}: {must}.")).with("field", field)
}

jaego_web::words! {
    /// What a step belongs to.
    TimelineSubjectType: "order", "movement", "replenishment", "production_request", "receipt", "quarantine_entry", "dead_letter";
}

/// What a step belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimelineSubject {
    /// What it is.
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
    /// An order.
    order;
    /// An entry of the stock ledger.
    movement;
    /// A replenishment.
    replenishment;
    /// A production request.
    production_request;
    /// A goods receipt.
    receipt;
    /// An entry of the quarantine.
    quarantine_entry;
    /// A dead letter.
    dead_letter;
}

/// A step: something that happened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineItem {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[schema(example = "production.attempted")]
    pub kind: TimelineKind,
    /// Who has it on record.
    #[schema(example = "production-service")]
    pub service: &'static str,
    /// To what.
    pub subject: TimelineSubject,
    /// The product, where it is about one.
    #[schema(required, example = "CP-502101")]
    pub sku: Option<String>,
    /// Units, where it is about some; signed for a ledger entry.
    #[schema(required, example = 10)]
    pub quantity: Option<i64>,
    /// What is particular to this kind of step.
    pub detail: TimelineDetail,
    /// Its trace, where that is on record.
    #[schema(required, example = "948201e16e0450bf03af103fe5fca74b")]
    pub trace_id: Option<String>,
    /// How long it took, where it took time.
    #[schema(required, example = 12)]
    pub duration_ms: Option<i64>,
}

impl TimelineItem {
    /// A step without anything that not every step has.
    pub fn new(service: &'static str, kind: TimelineKind, at: DateTime<Utc>, subject: TimelineSubject) -> Self {
        let detail = TimelineDetail::default();
        Self { at, kind, service, subject, sku: None, quantity: None, detail, trace_id: None, duration_ms: None }
    }

    /// Of a product.
    #[must_use]
    pub fn of(self, sku: &str, quantity: impl Into<Option<i64>>) -> Self {
        Self { sku: Some(sku.to_owned()), quantity: quantity.into(), ..self }
    }

    /// With what is particular to it.
    #[must_use]
    pub fn with(self, detail: TimelineDetail) -> Self {
        Self { detail, ..self }
    }

    /// In the trace of this `traceparent`, if it can be read.
    #[must_use]
    pub fn traced(self, traceparent: &str) -> Self {
        let trace_id = traceparent.parse::<TraceContext>().ok().map(TraceContext::trace_id);
        Self { trace_id, ..self }
    }
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// The factory is called; `waiting_for` says what is in the way when `at` has passed.
    NextAttempt,
    /// The factory answers; by then the call counts as lost and is made again.
    Answer,
    /// Goods should be here; without `at` nobody knows when.
    Goods,
    /// It counts as overdue, unless all goods have come by then.
    Overdue,
    /// A person decides: about a proposal, a dead letter, a quarantine entry, or what is overdue.
    Decision,
}

/// Something that has not happened yet.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineNext {
    /// What.
    #[schema(example = "next_attempt")]
    pub what: NextStep,
    /// When; null: not by the clock.
    #[schema(required)]
    pub at: Option<DateTime<Utc>>,
    /// Who waits for it.
    #[schema(example = "production-service")]
    pub service: &'static str,
    /// To what.
    pub subject: TimelineSubject,
    /// The product, where it is about one.
    #[schema(required, example = "CP-502101")]
    pub sku: Option<String>,
    /// Units, where it is about some.
    #[schema(required, example = 10)]
    pub quantity: Option<i64>,
    /// What is particular to it.
    pub detail: TimelineDetail,
}

impl TimelineNext {
    /// Without anything that not all have.
    pub fn new(service: &'static str, what: NextStep, at: Option<DateTime<Utc>>, subject: TimelineSubject) -> Self {
        Self { what, at, service, subject, sku: None, quantity: None, detail: TimelineDetail::default() }
    }

    /// Of a product.
    #[must_use]
    pub fn of(self, sku: &str, quantity: impl Into<Option<i64>>) -> Self {
        Self { sku: Some(sku.to_owned()), quantity: quantity.into(), ..self }
    }

    /// With what is particular to it.
    #[must_use]
    pub fn with(self, detail: TimelineDetail) -> Self {
        Self { detail, ..self }
    }
}

/// A service's part of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    /// Oldest first; at most 500.
    items: Vec<TimelineItem>,
    /// What happens next, the soonest first; what the clock does not decide comes last.
    next: Vec<TimelineNext>,
    /// There were more steps: the oldest are left out.
    #[schema(example = false)]
    truncated: bool,
}

impl Timeline {
    /// Puts steps in the order of time (those of one moment stay in the order given), and keeps the newest.
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
