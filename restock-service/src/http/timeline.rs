//! `GET /api/v1/timeline`: this service's part of the chain.

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use jaego_service::timeline::{About, Timeline, TimelineQuery};
use jaego_web::auth::Viewer;
use jaego_web::problem::Problem;

use super::State;
use crate::commands::timeline;

/// Show the history of production requests, oldest step first: goods received, and deliveries kept for an operator.
/// Orders are not known here; sales-service knows which requests belong to an order.
#[utoipa::path(
    tag = "timeline",
    operation_id = "getTimeline",
    security(("operator" = [])),
    params(TimelineQuery),
    responses(
        (status = 200, description = "The steps; empty for an order or for unknown requests.", body = Timeline, example = json!({
            "items": [{
                "at": "2026-11-22T21:15:18.298478Z", "kind": "receipt.booked", "service": "restock-service",
                "subject": {"type": "receipt", "id": "01a2051c-6c1e-7a31-8f53-2b9d7e60c4a1"},
                "sku": "CP-502101", "quantity": 10,
                "detail": {"request_id": "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3", "factory_id": "FF-500293"},
                "trace_id": "948201e16e0450bf03af103fe5fca74b", "duration_ms": null,
            }],
            "next": [],
        })),
    ),
)]
#[get("/api/v1/timeline")]
pub(super) async fn get_timeline(
    _viewer: Viewer,
    query: Query<TimelineQuery>,
    state: Data<State>,
) -> Result<Json<Timeline>, Problem> {
    let ids = match query.about()? {
        About::Order(_) => Vec::new(),
        About::Requests(ids) => ids,
    };
    let (pool, service) = (&state.context.pool, state.context.source);
    Ok(Json(timeline::of_requests(pool, service, &ids).await?))
}
