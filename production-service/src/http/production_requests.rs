//! `/api/v1/production-requests`.

use std::collections::HashMap;

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use jaego_contracts::ids::{FactoryId, Quantity, RequestId, Sku};
use jaego_contracts::trace::TraceContext;
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::trace_of;
use jaego_web::{OptionalJson, PageQuery, Paged};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{invalid, not_found, problem_of, words};
use crate::commands::cancel_request::cancel_request;
use crate::commands::look_up::{self, Attempt, Filter, StoredRequest};
use crate::commands::retry_request::{To, retry_request};
use crate::commands::{Actor, Context};
use crate::commands::{Rejection, Status};

const LIST: &str = "production-requests";

/// A production request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "accepted"}))]
pub(super) struct ProductionRequest {
    /// Also the id of the replenishment.
    id: RequestId,
    sku: Sku,
    factory_id: FactoryId,
    /// The factory that refused it, or from which it was withdrawn, before it was handed to `factory_id`.
    fallback_from: Option<FactoryId>,
    /// Units requested.
    quantity: Quantity,
    /// Units received.
    #[schema(example = 0)]
    received: i64,
    #[schema(value_type = words::ProductionStatus)]
    status: &'static str,
    /// True if it was accepted, but not received in full in time.
    #[schema(example = false)]
    overdue: bool,
    /// Number of calls to the factory.
    #[schema(example = 1)]
    attempt_count: i32,
    /// Time of the next call to the factory; null: no call is scheduled.
    #[schema(required)]
    next_attempt_at: Option<DateTime<Utc>>,
    /// Reason why it waits even if `next_attempt_at` has passed: `factory_disabled`, or `breaker_open` (calls to the
    /// factory fail, so only single probe requests are sent); null: nothing holds it back.
    #[schema(example = "breaker_open")]
    waiting_for: Option<&'static str>,
    /// The factory's own id of the job.
    #[schema(required, example = "01a2051b-cefe-74e0-97ab-4e935d068351")]
    factory_job_id: Option<String>,
    /// Reason for the request.
    #[schema(
        example = "position 0 = 0 on hand + 0 on order - 0 backordered, at or below 0: order 10 (1 lot of 10) to reach at least 10"
    )]
    reason: String,
    /// Reason for its last outcome.
    #[schema(required, example = "201 Created")]
    outcome_reason: Option<String>,
    /// Id of the trace that it originates from.
    #[schema(example = "948201e16e0450bf03af103fe5fca74b")]
    trace_id: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A production request with every call to the factory.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductionRequestAlone {
    #[serde(flatten)]
    request: ProductionRequest,
    /// The calls, oldest first.
    attempts: Vec<ProductionAttempt>,
}

/// A call to the factory.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductionAttempt {
    /// Number of the call, counted from 1.
    #[schema(example = 1)]
    number: i32,
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// Start of the call.
    at: DateTime<Utc>,
    /// Duration; null while the call is in progress.
    #[schema(required, example = 12)]
    duration_ms: Option<i64>,
    /// HTTP status of the response.
    #[schema(required, example = 201)]
    status: Option<i32>,
    /// Reason why there was no response.
    #[schema(required)]
    error: Option<String>,
    /// First 2 KiB of the response, with callback URLs shown as `<callback:jti>`.
    #[schema(required, example = r#"{"data":{"id":"01a2051b-cefe-74e0-97ab-4e935d068351"}}"#)]
    answer: Option<String>,
    /// `accepted`, `retry` (not accepted, may be retried), `refused`, or `unknown` (sent, but it is not known whether
    /// the factory accepted it: timeout, lost connection, 5xx other than 503, or the service ended before it stored
    /// the outcome); null: in progress.
    #[schema(required, value_type = Option<words::AttemptOutcome>)]
    outcome: Option<String>,
    /// Id of the call's trace.
    #[schema(example = "948201e16e0450bf03af103fe5fca74b")]
    trace_id: String,
}

impl ProductionRequest {
    /// `obstacles`: reasons why each factory's requests are not sent.
    fn new(stored: StoredRequest, obstacles: &HashMap<FactoryId, &'static str>) -> Self {
        let waits = matches!(stored.state.status, Status::Requested | Status::Retrying);
        Self {
            id: stored.state.id,
            sku: stored.state.sku,
            fallback_from: stored.state.fallback_from,
            quantity: stored.state.quantity,
            received: stored.state.received,
            status: stored.state.status.as_str(),
            overdue: stored.state.overdue,
            attempt_count: stored.state.attempt_count,
            next_attempt_at: stored.next_attempt_at,
            waiting_for: obstacles.get(&stored.state.factory_id).copied().filter(|_| waits),
            factory_id: stored.state.factory_id,
            factory_job_id: stored.factory_job_id,
            reason: stored.reason,
            outcome_reason: stored.outcome_reason,
            trace_id: TraceContext::continue_from(Some(&stored.traceparent)).trace_id(),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

impl From<Attempt> for ProductionAttempt {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            factory_id: attempt.factory_id,
            at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error: attempt.error,
            answer: attempt.answer,
            outcome: attempt.outcome,
            trace_id: attempt.trace_id,
        }
    }
}

/// Filter of the list; `PageQuery` reads `limit` and `cursor`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FilterQuery {
    /// Only requests in this status.
    #[param(value_type = Option<words::ProductionStatus>)]
    status: Option<String>,
    /// Only requests to this factory.
    #[param(value_type = Option<FactoryId>)]
    factory: Option<String>,
    /// Only requests for this product.
    #[param(value_type = Option<Sku>)]
    sku: Option<String>,
    /// `true`: only overdue requests; `false`: only requests that are not overdue.
    #[param(value_type = Option<bool>, example = true)]
    overdue: Option<String>,
    #[serde(rename = "limit")]
    #[param(ignore)]
    _limit: Option<IgnoredAny>,
    #[serde(rename = "cursor")]
    #[param(ignore)]
    _cursor: Option<IgnoredAny>,
}

impl FilterQuery {
    fn filter(self) -> Result<Filter, Problem> {
        fn read<T: std::str::FromStr>(field: &str, text: Option<String>) -> Result<Option<T>, Problem>
        where
            T::Err: std::fmt::Display,
        {
            text.map(|text| text.parse()).transpose().map_err(|error: T::Err| invalid(field, &error.to_string()))
        }
        Ok(Filter {
            status: read::<Status>("status", self.status)?,
            factory: read("factory", self.factory)?,
            sku: read("sku", self.sku)?,
            overdue: read("overdue", self.overdue)?,
        })
    }
}

/// List production requests, newest first.
#[utoipa::path(
    tag = "production requests",
    operation_id = "listProductionRequests",
    security(("operator" = [])),
    params(FilterQuery, PageQuery),
    responses((status = 200, description = "A page of production requests.", body = Paged<ProductionRequest>)),
)]
#[get("/api/v1/production-requests")]
pub(super) async fn list(
    _: Viewer,
    context: Data<Context>,
    filter: Query<FilterQuery>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page.page(LIST)?;
    let filter = filter.into_inner().filter()?;
    let before = page.after.as_deref().map(str::parse::<RequestId>).transpose();
    let before = before.map_err(|_| invalid("cursor", "not a cursor of this list"))?;
    let found = look_up::list_requests(&context, &filter, before, page.fetch()).await?;
    let obstacles = look_up::obstacles(&context, &found).await?;
    let items: Vec<_> = found.into_iter().map(|stored| ProductionRequest::new(stored, &obstacles)).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |item| item.id.to_string())))
}

/// Get a production request with every call to the factory.
#[utoipa::path(
    tag = "production requests",
    operation_id = "getProductionRequest",
    security(("operator" = [])),
    params(("id" = RequestId, Path, description = "The production request.")),
    responses(
        (status = 200, description = "The request with its calls.", body = ProductionRequestAlone),
        (status = 404, description = "`not-found`: There is no such production request."),
    ),
)]
#[get("/api/v1/production-requests/{id}")]
pub(super) async fn get(_: Viewer, context: Data<Context>, id: Path<RequestId>) -> Result<HttpResponse, Problem> {
    let found = look_up::get_request(&context, *id).await?;
    let (request, attempts) = found.ok_or_else(|| not_found("production request"))?;
    let attempts = attempts.into_iter().map(ProductionAttempt::from).collect();
    let obstacles = look_up::obstacles(&context, [&request]).await?;
    let request = ProductionRequest::new(request, &obstacles);
    Ok(HttpResponse::Ok().json(ProductionRequestAlone { request, attempts }))
}

/// Options of a retry.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"fallback": true}))]
pub(super) struct RetryRequest {
    /// True: withdraw the request from its factory for good and hand it to that factory's fallback, at once and with
    /// a new retry schedule; only possible while it is certain that no factory has accepted it.
    #[serde(default)]
    fallback: bool,
}

/// Send a production request to its factory now, or to that factory's fallback.
#[utoipa::path(
    tag = "production requests",
    operation_id = "retryProductionRequest",
    security(("operator" = [])),
    params(("id" = RequestId, Path, description = "The production request.")),
    request_body = Option<RetryRequest>,
    responses(
        (status = 200, description = "The request, due now.", body = ProductionRequest, example = json!({
            "status": "requested", "next_attempt_at": "2026-11-22T21:14:38.298478Z", "factory_job_id": null,
        })),
        (status = 404, description = "`not-found`: There is no such production request."),
        (status = 409, description = "`conflict`: The request is neither retrying nor dead-lettered nor overdue, or some of its goods have arrived; `status_now` is its status. With `fallback`: it is neither requested nor retrying nor dead-lettered, its factory may have accepted it, or there is no enabled fallback that has not been tried yet; the detail says which."),
    ),
)]
#[post("/api/v1/production-requests/{id}/retry")]
pub(super) async fn retry(
    operator: Operator,
    request: HttpRequest,
    context: Data<Context>,
    id: Path<RequestId>,
    body: OptionalJson<RetryRequest>,
) -> Result<HttpResponse, Problem> {
    let actor = Actor { name: &operator.name, trace: trace_of(&request) };
    let to = if body.0.unwrap_or_default().fallback { To::Fallback } else { To::Factory };
    let after = retry_request(&context, actor, *id, to).await.map_err(|error| problem_of(error, conflict))?;
    answer(&context, after).await
}

/// Cancel a production request. Cancelling it again changes nothing.
#[utoipa::path(
    tag = "production requests",
    operation_id = "cancelProductionRequest",
    security(("operator" = [])),
    params(("id" = RequestId, Path, description = "The production request.")),
    responses(
        (status = 200, description = "The request, cancelled.", body = ProductionRequest, example = json!({"status": "cancelled"})),
        (status = 404, description = "`not-found`: There is no such production request."),
        (status = 409, description = "`conflict`: The request has already ended; `status_now` is its status."),
    ),
)]
#[post("/api/v1/production-requests/{id}/cancel")]
pub(super) async fn cancel(
    operator: Operator,
    request: HttpRequest,
    context: Data<Context>,
    id: Path<RequestId>,
) -> Result<HttpResponse, Problem> {
    let actor = Actor { name: &operator.name, trace: trace_of(&request) };
    let after = cancel_request(&context, actor, *id).await.map_err(|error| problem_of(error, conflict))?;
    answer(&context, after).await
}

async fn answer(context: &Context, after: Option<StoredRequest>) -> Result<HttpResponse, Problem> {
    let after = after.ok_or_else(|| not_found("production request"))?;
    let obstacles = look_up::obstacles(context, [&after]).await?;
    Ok(HttpResponse::Ok().json(ProductionRequest::new(after, &obstacles)))
}

fn conflict(rejection: Rejection) -> Problem {
    let (status, detail) = match rejection {
        Rejection::NotRetryable(status @ Status::PartlyReceived) => (
            status,
            "some of its goods have arrived, and sending it again would request all of them once more; book the rest by hand if it has arrived, too, or close its replenishment",
        ),
        Rejection::NotRetryable(status) => {
            (status, "only a request that is retrying, dead_lettered or overdue can be sent again")
        }
        Rejection::Ended(status) => (status, "it has ended"),
        Rejection::NotWithdrawable(status) => (
            status,
            "only a request that is requested, retrying or dead_lettered can be handed to the fallback factory",
        ),
        Rejection::MayBeTaken(status) => (
            status,
            "its factory has accepted it or may have (see the outcomes of its attempts), so it is not sent to the fallback factory: the goods could be made twice",
        ),
        Rejection::IsFallback(status) => (status, "it was already handed to a fallback factory"),
        Rejection::NoFallback(status) => (status, "its factory has no fallback; set fallback_factory_id first"),
        Rejection::FallbackDisabled(status) => (status, "the fallback factory is disabled; enable it first"),
    };
    Problem::new(ProblemKind::Conflict, format!("The request is {status}: {detail}."))
        .with("status_now", status.as_str())
}
