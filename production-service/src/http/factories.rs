//! `/api/v1/factories`.

use actix_web::http::header::ETAG;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, get, put};
use jaego_contracts::ids::FactoryId;
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::{Problem, ProblemBody};
use jaego_web::trace_of;
use jaego_web::{IfMatch, PageQuery, Paged, StrictJson, etag};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::factory_body::{FactoryBody, FactoryInput};
use super::{not_found, problem_of};
use crate::commands::Factory;
use crate::commands::look_up;
use crate::commands::outbound::Outbound;
use crate::commands::put_factory::{PutFactory, put_factory};
use crate::commands::{Actor, Context};

const LIST: &str = "factories";

/// Accepts the page's parameters only, which `PageQuery` reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnlyPage {
    #[serde(rename = "limit")]
    _limit: Option<IgnoredAny>,
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
}

/// List factories, ordered by id.
#[utoipa::path(
    tag = "factories",
    operation_id = "listFactories",
    params(PageQuery),
    responses(
        (status = 200, description = "One page", body = Paged<FactoryBody>),
        (status = 400, description = "Unknown query parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or unknown", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Invalid limit or cursor", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
#[get("/api/v1/factories")]
pub(super) async fn list(
    _: Viewer,
    context: Data<Context>,
    _: Query<OnlyPage>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page.page(LIST)?;
    let found = look_up::list_factories(&context, page.after.as_deref(), page.fetch()).await?;
    let mut breakers = look_up::breakers(&context, &found).await?;
    let body = |factory: Factory| {
        let breaker = breakers.remove(&factory.id);
        FactoryBody::new(factory, &context.retry_schedule, breaker)
    };
    let items = found.into_iter().map(body).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |item| item.id.to_string())))
}

/// Get a factory.
#[utoipa::path(
    tag = "factories",
    operation_id = "getFactory",
    params(("id" = FactoryId, Path, description = "The factory's id")),
    responses(
        (status = 200, description = "The factory", body = FactoryBody, headers(("ETag" = String, description = "Version of its settings"))),
        (status = 400, description = "The id is malformed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or unknown", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such factory", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
#[get("/api/v1/factories/{id}")]
pub(super) async fn get(_: Viewer, context: Data<Context>, id: Path<FactoryId>) -> Result<HttpResponse, Problem> {
    let found = look_up::get_factory(&context, &id).await?;
    answer(HttpResponse::Ok(), found.ok_or_else(|| not_found("factory"))?, &context).await
}

/// Add or change a factory. Omitted fields get their defaults.
#[utoipa::path(
    tag = "factories",
    operation_id = "putFactory",
    params(
        ("id" = FactoryId, Path, description = "The factory's id"),
        IfMatch,
    ),
    request_body = FactoryInput,
    responses(
        (status = 200, description = "Changed", body = FactoryBody, headers(("ETag" = String, description = "Version of its settings"))),
        (status = 201, description = "Added", body = FactoryBody, headers(("ETag" = String, description = "Version of its settings"))),
        (status = 400, description = "The body is not JSON, or the id is malformed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or unknown", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token has the role viewer, not operator", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "If-Match names another version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field is invalid or unknown, or base_url names an address that is not allowed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("operator" = []))
)]
#[put("/api/v1/factories/{id}")]
pub(super) async fn put(
    operator: Operator,
    request: HttpRequest,
    context: Data<Context>,
    outbound: Data<Outbound>,
    id: Path<FactoryId>,
    if_match: IfMatch,
    body: StrictJson<FactoryInput>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let detail = serde_json::to_value(&body.0).unwrap_or(Value::Null);
    let settings = body.0.settings(&id, &outbound)?;
    let actor = Actor { name: &operator.name, trace: trace_of(&request) };
    let put = PutFactory { id, settings, if_match, detail };
    let (factory, is_new) =
        put_factory(&context, actor, put).await.map_err(|error| problem_of(error, |problem| problem))?;
    let status = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer(status, factory, &context).await
}

async fn answer(
    mut response: HttpResponseBuilder,
    factory: Factory,
    context: &Context,
) -> Result<HttpResponse, Problem> {
    let breaker = look_up::breakers(context, [&factory]).await?.remove(&factory.id);
    response.insert_header((ETAG, etag(factory.version())));
    Ok(response.json(FactoryBody::new(factory, &context.retry_schedule, breaker)))
}
