//! `GET /api/v1/receipts`.

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::http::auth::Viewer;
use shared::http::{PageQuery, Paged};
use shared::problem::{Problem, ProblemBody};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{State, last_id};
use crate::commands::list_receipts::{self as command, ReceiptRow};

const LIST: &str = "receipts";

/// Goods that arrived.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// Its id.
    id: Uuid,
    /// The production request that it answers.
    request_id: Uuid,
    /// What came.
    #[schema(example = "CP-502101")]
    sku: String,
    /// Units.
    #[schema(example = 100)]
    quantity: i64,
    /// Who made it.
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// The factory's name for the delivery, if it gave one.
    delivery_id: Option<String>,
    /// When it was booked.
    received_at: DateTime<Utc>,
}

impl From<ReceiptRow> for Receipt {
    fn from(row: ReceiptRow) -> Self {
        Self {
            id: row.id,
            request_id: row.request_id,
            sku: row.sku,
            quantity: row.quantity,
            factory_id: row.factory_id,
            delivery_id: row.delivery_id,
            received_at: row.received_at,
        }
    }
}

/// Goods receipts, newest first.
#[utoipa::path(
    tag = "receipts",
    params(PageQuery),
    security(("operator" = [])),
    responses(
        (status = 200, description = "A page of receipts.", body = Paged<Receipt>),
        (status = 400, description = "`malformed-request`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-request`: limit or cursor.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "`internal`.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/receipts")]
pub(super) async fn list_receipts(
    _viewer: Viewer,
    query: Query<PageQuery>,
    state: Data<State>,
) -> Result<Json<Paged<Receipt>>, Problem> {
    let page = query.page(LIST)?;
    let rows = command::list_receipts(&state.pool, last_id(&page)?, page.fetch()).await?;
    let receipts = rows.into_iter().map(Receipt::from).collect();
    Ok(Json(page.answer(LIST, receipts, |receipt: &Receipt| receipt.id.to_string())))
}
