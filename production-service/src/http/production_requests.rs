//! `/api/v1/production-requests`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use shared::http::auth::{Operator, Viewer};
use shared::http::{PageQuery, Paged};
use shared::ids::{FactoryId, Quantity, RequestId, Sku};
use shared::problem::{Problem, ProblemBody, ProblemKind};
use shared::trace::TraceContext;
use utoipa::{IntoParams, ToSchema};

use super::{invalid, not_found, problem_of};
use crate::commands::cancel_request::cancel_request;
use crate::commands::look_up::{self, Attempt, Filter, StoredRequest};
use crate::commands::retry_request::retry_request;
use crate::commands::{Actor, Context};
use crate::commands::{Rejection, Status};

const LIST: &str = "production-requests";

/// A production request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductionRequest {
    /// Its replenishment's id, too.
    id: RequestId,
    sku: Sku,
    factory_id: FactoryId,
    /// Units asked for.
    quantity: Quantity,
    /// Units that came.
    received: i64,
    #[schema(
        example = "accepted",
        pattern = "^(requested|sending|retrying|accepted|partly_received|received|dead_lettered|refused|cancelled)$"
    )]
    status: &'static str,
    /// Accepted, but not received when it should have been.
    overdue: bool,
    /// Calls to the factory.
    attempt_count: i32,
    /// When the factory is called next; null: not by the clock.
    next_attempt_at: Option<DateTime<Utc>>,
    /// The factory's own id for the job.
    factory_job_id: Option<String>,
    /// Why it was asked for.
    reason: String,
    /// Why it came to its last outcome.
    outcome_reason: Option<String>,
    trace_id: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A production request with every call to the factory.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductionRequestAlone {
    #[serde(flatten)]
    request: ProductionRequest,
    /// Oldest first.
    attempts: Vec<ProductionAttempt>,
}

/// A call to the factory.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductionAttempt {
    number: i32,
    factory_id: String,
    at: DateTime<Utc>,
    duration_ms: Option<i64>,
    /// HTTP status of the answer.
    status: Option<i32>,
    /// Why there was no answer.
    error: Option<String>,
    /// The answer's first 2 KiB, callback URLs as `<callback:jti>`.
    answer: Option<String>,
    /// `accepted`, `retry`, `refused`, or `unknown` (the service ended before it knew); null: under way.
    outcome: Option<String>,
    trace_id: String,
}

impl From<StoredRequest> for ProductionRequest {
    fn from(stored: StoredRequest) -> Self {
        Self {
            id: stored.state.id,
            sku: stored.state.sku,
            factory_id: stored.state.factory_id,
            quantity: stored.state.quantity,
            received: stored.state.received,
            status: stored.state.status.as_str(),
            overdue: stored.overdue,
            attempt_count: stored.state.attempt_count,
            next_attempt_at: stored.next_attempt_at,
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

/// What to list; the page's own parameters are read by `PageQuery`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FilterQuery {
    /// Only in this status.
    status: Option<String>,
    /// Only of this factory.
    factory: Option<String>,
    /// Only of this product.
    sku: Option<String>,
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
        })
    }
}

/// Lists production requests, newest first.
#[utoipa::path(
    tag = "production requests",
    params(FilterQuery, PageQuery),
    responses(
        (status = 200, description = "One page", body = Paged<ProductionRequest>),
        (status = 400, description = "Unknown query parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Bad filter, limit or cursor", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
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
    let items: Vec<ProductionRequest> = found.into_iter().map(ProductionRequest::from).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |item| item.id.to_string())))
}

/// Shows a production request with every call to the factory.
#[utoipa::path(
    tag = "production requests",
    params(("id" = RequestId, Path, description = "The production request's id")),
    responses(
        (status = 200, description = "The request", body = ProductionRequestAlone),
        (status = 400, description = "The id is no UUID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
#[get("/api/v1/production-requests/{id}")]
pub(super) async fn get(_: Viewer, context: Data<Context>, id: Path<RequestId>) -> Result<HttpResponse, Problem> {
    let found = look_up::get_request(&context, *id).await?;
    let (request, attempts) = found.ok_or_else(|| not_found("production request"))?;
    let attempts = attempts.into_iter().map(ProductionAttempt::from).collect();
    Ok(HttpResponse::Ok().json(ProductionRequestAlone { request: request.into(), attempts }))
}

/// Sends a production request to its factory now.
#[utoipa::path(
    tag = "production requests",
    params(("id" = RequestId, Path, description = "The production request's id")),
    responses(
        (status = 200, description = "It is due now", body = ProductionRequest),
        (status = 400, description = "The id is no UUID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may only look", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Neither retrying nor dead-lettered", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
#[post("/api/v1/production-requests/{id}/retry")]
pub(super) async fn retry(
    operator: Operator,
    request: HttpRequest,
    context: Data<Context>,
    id: Path<RequestId>,
) -> Result<HttpResponse, Problem> {
    let actor = Actor { name: &operator.name, trace: TraceContext::of(&request) };
    answer(retry_request(&context, actor, *id).await.map_err(|error| problem_of(error, conflict))?)
}

/// Stops a production request. A second time changes nothing.
#[utoipa::path(
    tag = "production requests",
    params(("id" = RequestId, Path, description = "The production request's id")),
    responses(
        (status = 200, description = "It is cancelled", body = ProductionRequest),
        (status = 400, description = "The id is no UUID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may only look", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It has ended otherwise", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
#[post("/api/v1/production-requests/{id}/cancel")]
pub(super) async fn cancel(
    operator: Operator,
    request: HttpRequest,
    context: Data<Context>,
    id: Path<RequestId>,
) -> Result<HttpResponse, Problem> {
    let actor = Actor { name: &operator.name, trace: TraceContext::of(&request) };
    answer(cancel_request(&context, actor, *id).await.map_err(|error| problem_of(error, conflict))?)
}

fn answer(after: Option<StoredRequest>) -> Result<HttpResponse, Problem> {
    let after = after.ok_or_else(|| not_found("production request"))?;
    Ok(HttpResponse::Ok().json(ProductionRequest::from(after)))
}

fn conflict(rejection: Rejection) -> Problem {
    let (status, detail) = match rejection {
        Rejection::NotRetryable(status) => {
            (status, "only a request that is retrying or dead_lettered can be sent again")
        }
        Rejection::Ended(status) => (status, "it has ended"),
    };
    Problem::new(ProblemKind::Conflict, format!("The request is {status}: {detail}."))
        .with("status_now", status.as_str())
}
