//! `GET /api/v1/timeline`: this service's part of the chain.

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use jaego_service::timeline::{About, Timeline, TimelineQuery};
use jaego_web::auth::Viewer;
use jaego_web::problem::Problem;

use crate::commands::{Context, timeline};

/// Show the history of production requests, oldest step first: calls to factories and their outcomes, goods received,
/// and what happens next. Orders are not known here; sales-service knows which requests belong to an order.
#[utoipa::path(
    tag = "timeline",
    operation_id = "getTimeline",
    security(("operator" = [])),
    params(TimelineQuery),
    responses(
        (status = 200, description = "The steps; empty for an order or for unknown requests.", body = Timeline, example = json!({
            "items": [{
                "at": "2026-11-22T21:14:38.298478Z", "kind": "production.attempted", "service": "production-service",
                "subject": {"type": "production_request", "id": "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3"},
                "sku": "CP-502101", "quantity": 10,
                "detail": {"number": 1, "factory_id": "FF-500293", "outcome": "retry", "http_status": 503},
                "trace_id": "948201e16e0450bf03af103fe5fca74b", "duration_ms": 12,
            }],
            "next": [{
                "what": "next_attempt", "at": "2026-11-22T21:14:43.512Z", "service": "production-service",
                "subject": {"type": "production_request", "id": "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3"},
                "sku": "CP-502101", "quantity": 10, "detail": {"status": "retrying", "factory_id": "FF-500293"},
            }],
        })),
    ),
)]
#[get("/api/v1/timeline")]
pub(super) async fn get_timeline(
    _: Viewer,
    context: Data<Context>,
    query: Query<TimelineQuery>,
) -> Result<Json<Timeline>, Problem> {
    let ids = match query.about()? {
        About::Order(_) => Vec::new(),
        About::Requests(ids) => ids,
    };
    Ok(Json(timeline::of_requests(&context, &ids).await?))
}
