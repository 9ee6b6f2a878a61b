//! `GET /api/v1/timeline`: this service's part of the chain.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get};
use jaego_service::timeline::{About, Timeline, TimelineQuery};
use jaego_web::auth::Viewer;
use jaego_web::problem::{Problem, ProblemKind};

use super::State;
use crate::commands::timeline;

/// Show the history of an order or of replenishments, oldest step first: the order, its fulfilment, the reason for
/// each replenishment, the goods received, and what happens next.
#[utoipa::path(
    tag = "timeline",
    operation_id = "getTimeline",
    security(("operator" = [])),
    params(TimelineQuery),
    responses(
        (status = 200, description = "The steps; empty for unknown replenishments.", body = Timeline, example = json!({
            "items": [{
                "at": "2026-11-22T21:14:38.220599Z", "kind": "order.backordered", "service": "sales-service",
                "subject": {"type": "order", "id": "01a2051b-cedc-7700-a805-c2579d04fa50"},
                "sku": null, "quantity": null,
                "detail": {
                    "status": "confirmed",
                    "lines": [{"sku": "CP-502101", "quantity": 3, "filled": 1}],
                    "request_ids": ["01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3"],
                },
                "trace_id": "948201e16e0450bf03af103fe5fca74b", "duration_ms": null,
            }],
            "next": [],
        })),
        (status = 404, description = "`not-found`: There is no such order."),
    ),
)]
#[get("/api/v1/timeline")]
pub async fn get_timeline(_: Viewer, state: Data<State>, query: Query<TimelineQuery>) -> Result<HttpResponse, Problem> {
    let timeline = match query.about()? {
        About::Order(id) => {
            let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no order {id}."));
            timeline::of_order(&state.context, id).await?.ok_or_else(unknown)?
        }
        About::Requests(ids) => timeline::of_requests(&state.context, &ids).await?,
    };
    Ok(HttpResponse::Ok().json(timeline))
}
