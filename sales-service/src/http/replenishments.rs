//! `/api/v1/replenishments`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use jaego_contracts::ids::{Quantity, RequestId, Sku};
use jaego_service::idempotency::{KeptAnswer, KeyUse, fingerprint};
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{IdempotencyKey, PageQuery, Paged, RawJson, check_word, parse_strict};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{State, bounded, invalid, words};
use crate::commands::Asked;
use crate::commands::change_replenishment::{ReplenishmentChange, change_replenishment, request_replenishment};
use crate::commands::look_up::{self, ReplenishmentFilter, ReplenishmentRow};

const LIST: &str = "replenishments";
const REASON_LENGTH_MAX: usize = 500;

/// A decision to have units made by a factory.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "open"}))]
pub struct Replenishment {
    /// Also the id of the production request.
    id: Uuid,
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// Units requested.
    #[schema(example = 10)]
    quantity: i64,
    /// Units received.
    #[schema(example = 0)]
    received: i64,
    #[schema(value_type = words::ReplenishmentStatus)]
    status: String,
    #[schema(value_type = words::ReplenishmentReason)]
    reason: String,
    /// The decision and its figures in words.
    #[schema(
        example = "position 0 = 0 on hand + 0 on order - 0 backordered, at or below 0: order 10 (1 lot of 10) to reach at least 10"
    )]
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

/// Filter of the list of replenishments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only replenishments of this product.
    sku: Option<Sku>,
    /// Only replenishments in this status.
    #[param(value_type = Option<words::ReplenishmentStatus>)]
    status: Option<String>,
}

/// A manual replenishment.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ReplenishmentBody {
    sku: Sku,
    quantity: Quantity,
}

/// Reason for closing a replenishment.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CloseBody {
    /// Reason why no more units are needed.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$",
        example = "the factory stopped making it"
    )]
    reason: String,
}

/// List replenishments, newest first.
#[utoipa::path(
    tag = "replenishments",
    operation_id = "listReplenishments",
    security(("operator" = [])),
    params(ListQuery, PageQuery),
    responses((status = 200, description = "A page of replenishments.", body = Paged<Replenishment>)),
)]
#[get("/api/v1/replenishments")]
pub async fn list_replenishments(
    _: Viewer,
    state: Data<State>,
    query: Query<ListQuery>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    check_word("status", query.status.as_deref(), words::ReplenishmentStatus::ALL)?;
    let page = page.page(LIST)?;
    let before = page.after_id()?;
    let filter =
        ReplenishmentFilter { sku: query.sku.as_ref().map(Sku::as_str), status: query.status.as_deref(), before };
    let rows = look_up::replenishments(&state.context, filter, page.fetch()).await?;
    let items: Vec<Replenishment> = rows.iter().map(Replenishment::from).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |item| item.id.to_string())))
}

/// Order units from the factory, regardless of the policy.
#[utoipa::path(
    tag = "replenishments",
    operation_id = "requestReplenishment",
    security(("operator" = [])),
    params(IdempotencyKey),
    request_body = ReplenishmentBody,
    responses(
        (status = 201, description = "The replenishment, open.", body = Replenishment, example = json!({
            "reason": "manual", "explanation": "10 ordered by hand by kim",
        })),
        (status = 404, description = "`not-found`: There is no such product."),
        (status = 422, description = "`invalid-request` or `idempotency-key-reused`."),
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
    let asked = Asked { actor: &operator.name, key, reason: None, detail, trace: trace_of(&request) };
    let answered = request_replenishment(&state.context, parsed.sku, parsed.quantity, asked, render).await?;
    Ok(answered.respond(&request))
}

fn render(row: &ReplenishmentRow) -> KeptAnswer {
    KeptAnswer { status: 201, body: serde_json::to_string(&Replenishment::from(row)).unwrap_or_default() }
}

/// Approve a proposed replenishment.
#[utoipa::path(
    tag = "replenishments",
    operation_id = "approveReplenishment",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The replenishment.")),
    responses(
        (status = 200, description = "The replenishment, open.", body = Replenishment),
        (status = 404, description = "`not-found`: There is no such replenishment."),
        (status = 409, description = "`conflict`: The replenishment is not proposed."),
    ),
)]
#[post("/api/v1/replenishments/{id}/approve")]
pub async fn approve(
    operator: Operator,
    state: Data<State>,
    id: Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::plainly(&operator.name, trace_of(&request));
    let row = change_replenishment(&state.context, RequestId(*id), ReplenishmentChange::Approve, asked).await?;
    Ok(HttpResponse::Ok().json(Replenishment::from(&row)))
}

/// Close a replenishment before all its goods have arrived. The rest is no longer requested from the factory.
#[utoipa::path(
    tag = "replenishments",
    operation_id = "closeReplenishment",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The replenishment.")),
    request_body = CloseBody,
    responses(
        (status = 200, description = "The replenishment, closed short.", body = Replenishment, example = json!({"status": "closed_short"})),
        (status = 404, description = "`not-found`: There is no such replenishment."),
        (status = 409, description = "`conflict`: The replenishment has already ended."),
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
    let asked = Asked { reason: Some(&reason), ..Asked::plainly(&operator.name, trace_of(&request)) };
    let row = change_replenishment(&state.context, RequestId(*id), ReplenishmentChange::Close, asked).await?;
    Ok(HttpResponse::Ok().json(Replenishment::from(&row)))
}
