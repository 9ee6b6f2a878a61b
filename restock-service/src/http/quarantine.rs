//! `GET /api/v1/quarantine`.

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::http::auth::Viewer;
use shared::http::{PageQuery, Paged};
use shared::problem::{Problem, ProblemBody};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{State, last_id};
use crate::commands::list_quarantine::{self as command, QuarantineRow};

const LIST: &str = "quarantine";

/// A delivery, or what was too much of one, that an operator must judge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QuarantineEntry {
    /// Its id.
    id: Uuid,
    /// `waiting`, `accepted` or `discarded`.
    #[schema(example = "waiting")]
    status: String,
    /// `callback-mismatch`, `invalid-count`, `ambiguous-delivery`, `nothing-open`, `expired`,
    /// `cancelled` or `over-delivery`.
    #[schema(example = "nothing-open")]
    reason: String,
    /// The production request of its token.
    request_id: Uuid,
    /// The token's id, one per production attempt.
    jti: String,
    /// The factory's name for the delivery, if it gave one.
    delivery_id: Option<String>,
    /// What its token was made for.
    #[schema(example = "CP-502101")]
    sku: String,
    /// Whom its token was made for.
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// Units, where the body's count is usable.
    quantity: Option<i64>,
    /// The body's product, if it names one.
    claimed_sku: Option<String>,
    /// The body's factory, if it names one.
    claimed_factory_id: Option<String>,
    /// What came; a callback's URL is shown as `<callback:jti>`.
    #[schema(value_type = Object)]
    body: Value,
    /// When it came.
    created_at: DateTime<Utc>,
}

impl From<QuarantineRow> for QuarantineEntry {
    fn from(row: QuarantineRow) -> Self {
        Self {
            id: row.id,
            status: row.status,
            reason: row.reason,
            request_id: row.request_id,
            jti: row.jti,
            delivery_id: row.delivery_id,
            sku: row.sku,
            factory_id: row.factory_id,
            quantity: row.quantity,
            claimed_sku: row.claimed_product,
            claimed_factory_id: row.claimed_factory,
            body: serde_json::from_str(&row.body).unwrap_or(Value::String(row.body)),
            created_at: row.created_at,
        }
    }
}

/// The quarantine, newest first.
#[utoipa::path(
    tag = "quarantine",
    params(PageQuery),
    security(("operator" = [])),
    responses(
        (status = 200, description = "A page of entries.", body = Paged<QuarantineEntry>),
        (status = 400, description = "`malformed-request`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-request`: limit or cursor.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "`internal`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/quarantine")]
pub(super) async fn list_quarantine(
    _viewer: Viewer,
    query: Query<PageQuery>,
    state: Data<State>,
) -> Result<Json<Paged<QuarantineEntry>>, Problem> {
    let page = query.page(LIST)?;
    let rows = command::list_quarantine(&state.pool, last_id(&page)?, page.fetch()).await?;
    let entries = rows.into_iter().map(QuarantineEntry::from).collect();
    Ok(Json(page.answer(LIST, entries, |entry: &QuarantineEntry| entry.id.to_string())))
}
