//! `/api/v1/replenishments`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::http::auth::{Operator, Viewer};
use shared::http::{IdempotencyKey, PageQuery, Paged, RawJson, parse_strict};
use shared::idempotency::{KeptAnswer, KeyUse, fingerprint};
use shared::ids::{Quantity, RequestId, Sku};
use shared::problem::{Problem, ProblemBody};
use shared::trace::TraceContext;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{State, bounded, invalid, respond};
use crate::commands::Asked;
use crate::commands::change_replenishment::{Change, change_replenishment, request_replenishment};
use crate::commands::look_up::{self, ReplenishmentFilter, ReplenishmentRow};

const LIST: &str = "replenishments";
const REASON_LENGTH_MAX: usize = 500;
const STATUSES: [&str; 7] = ["proposed", "open", "stalled", "complete", "closed_short", "refused", "cancelled"];

/// One decision to have units made.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replenishment {
    /// Also the production request's id.
    id: Uuid,
    sku: String,
    factory_id: String,
    quantity: i64,
    received: i64,
    /// `proposed`, `open`, `stalled`, `complete`, `closed_short`, `refused` or `cancelled`.
    status: String,
    /// `reorder_point`, `shortage` or `manual`.
    reason: String,
    /// The figures and the rule in words.
    explanation: String,
    created_at: DateTime<Utc>,
}

impl From<&ReplenishmentRow> for Replenishment {
    fn from(row: &ReplenishmentRow) -> Self {
        Self {
            id: row.id,
            sku: row.sku.clone(),
            factory_id: row.factory_id.clone(),
            quantity: row.quantity,
            received: row.received,
            status: row.status.clone(),
            reason: row.reason.clone(),
            explanation: row.explanation.clone(),
            created_at: row.created_at,
        }
    }
}

/// Which replenishments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only of this product.
    sku: Option<Sku>,
    /// Only in this status.
    status: Option<String>,
}

/// An order to the factory by hand.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ReplenishmentBody {
    sku: Sku,
    quantity: Quantity,
}

/// Why a replenishment is closed.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CloseBody {
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Replenishments, newest first.
#[utoipa::path(
    tag = "replenishments",
    security(("operator" = [])),
    params(ListQuery, PageQuery),
    responses((status = 200, body = Paged<Replenishment>), (status = 401, body = ProblemBody, content_type = "application/problem+json")),
)]
#[get("/api/v1/replenishments")]
pub async fn list_replenishments(
    _: Viewer,
    state: Data<State>,
    query: Query<ListQuery>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    if query.status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
        return Err(invalid("status", &format!("must be one of {}", STATUSES.join(", "))));
    }
    let page = page.page(LIST)?;
    let before = page.after_id()?;
    let filter =
        ReplenishmentFilter { sku: query.sku.as_ref().map(Sku::as_str), status: query.status.as_deref(), before };
    let rows = look_up::replenishments(&state.context, filter, page.fetch()).await?;
    let items: Vec<Replenishment> = rows.iter().map(Replenishment::from).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |item| item.id.to_string())))
}

/// Order from the factory by hand, whatever the policy says.
#[utoipa::path(
    tag = "replenishments",
    security(("operator" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body get the first answer again.")),
    request_body(content = ReplenishmentBody, example = json!({"sku": "CP-502101", "quantity": 10})),
    responses(
        (status = 201, body = Replenishment),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such product.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("/api/v1/replenishments")]
pub async fn post_replenishment(
    operator: Operator,
    state: Data<State>,
    key: IdempotencyKey,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let parsed: ReplenishmentBody = parse_strict(&body.0)?;
    let key = key.0.map(|key| KeyUse {
        endpoint: "POST /api/v1/replenishments",
        caller: operator.name.clone(),
        key,
        fingerprint: fingerprint(&body.0),
    });
    let detail = serde_json::from_slice(&body.0).unwrap_or_default();
    let asked = Asked { actor: &operator.name, key, reason: None, detail, trace: TraceContext::of(&request) };
    let answered = request_replenishment(&state.context, parsed.sku, parsed.quantity, asked, render).await?;
    Ok(respond(&answered, &request))
}

fn render(row: &ReplenishmentRow) -> KeptAnswer {
    KeptAnswer { status: 201, body: serde_json::to_string(&Replenishment::from(row)).unwrap_or_default() }
}

/// Order what was proposed.
#[utoipa::path(
    tag = "replenishments",
    security(("operator" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = Replenishment),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not proposed.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("/api/v1/replenishments/{id}/approve")]
pub async fn approve(
    operator: Operator,
    state: Data<State>,
    id: Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::plainly(&operator.name, TraceContext::of(&request));
    let row = change_replenishment(&state.context, RequestId(*id), Change::Approve, asked).await?;
    Ok(HttpResponse::Ok().json(Replenishment::from(&row)))
}

/// End a replenishment before all goods came. Production stops asking for the rest.
#[utoipa::path(
    tag = "replenishments",
    security(("operator" = [])),
    params(("id" = Uuid, Path)),
    request_body(content = CloseBody, example = json!({"reason": "the factory stopped making it"})),
    responses(
        (status = 200, body = Replenishment),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("/api/v1/replenishments/{id}/close")]
pub async fn close(
    operator: Operator,
    state: Data<State>,
    id: Path<Uuid>,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let parsed: CloseBody = parse_strict(&body.0)?;
    let reason = bounded("reason", Some(parsed.reason), REASON_LENGTH_MAX)?.unwrap_or_default();
    if reason.trim().is_empty() {
        return Err(invalid("reason", "must not be empty"));
    }
    let asked = Asked { reason: Some(&reason), ..Asked::plainly(&operator.name, TraceContext::of(&request)) };
    let row = change_replenishment(&state.context, RequestId(*id), Change::Close, asked).await?;
    Ok(HttpResponse::Ok().json(Replenishment::from(&row)))
}
