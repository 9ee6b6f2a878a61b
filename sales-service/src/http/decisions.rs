//! `/api/v1/stock/{sku}/replenishment-decision` and `/snooze`.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use jaego_contracts::ids::Sku;
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{RawJson, parse_strict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::products::PolicyBody;
use super::{State, bounded, invalid, no_such_product, sku_in_path, words};
use crate::commands::Asked;
use crate::commands::look_up;
use crate::commands::snooze_stock::snooze_stock;

const REASON_LENGTH_MAX: usize = 500;

/// The policy's current decision and the reason for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplenishmentDecision {
    #[schema(example = "CP-502101")]
    sku: String,
    inputs: DecisionInputs,
    /// The rule as a formula.
    #[schema(
        example = "position = on_hand + on_order - backordered; when position <= reorder_point: quantity = ceil((order_up_to - position) / lot_size) * lot_size"
    )]
    formula: &'static str,
    /// Units that would be requested now; 0 for none.
    #[schema(example = 10)]
    quantity: i64,
    #[schema(value_type = words::DecisionAnswer)]
    answer: &'static str,
    /// The decision in words.
    #[schema(
        example = "position 0 = 0 on hand + 0 on order - 0 backordered, at or below 0: order 10 (1 lot of 10) to reach at least 10"
    )]
    explanation: String,
}

/// Inputs of the decision, in units.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionInputs {
    #[schema(example = 0)]
    on_hand: i64,
    #[schema(example = 0)]
    on_order: i64,
    #[schema(example = 0)]
    backordered: i64,
    #[schema(example = 0)]
    position: i64,
    policy: PolicyBody,
    /// Automatic replenishment is paused until then, by a refusal or a snooze; null: it is not paused.
    #[schema(required)]
    paused_until: Option<DateTime<Utc>>,
}

const FORMULA: &str = "position = on_hand + on_order - backordered; when position <= reorder_point, or an order \
    could not be filled while nothing is on order and position < order_up_to: \
    quantity = ceil((order_up_to - position) / lot_size) * lot_size, at most 1000000";

/// Explain whether more would be ordered now, and why.
#[utoipa::path(
    tag = "stock",
    operation_id = "getReplenishmentDecision",
    security(("operator" = [])),
    params(("sku" = Sku, Path, description = "The product.")),
    responses(
        (status = 200, description = "Inputs, formula and answer.", body = ReplenishmentDecision),
        (status = 404, description = "`not-found`: There is no such product."),
    ),
)]
#[get("/api/v1/stock/{sku}/replenishment-decision")]
pub async fn get_decision(_: Viewer, state: Data<State>, sku: Path<String>) -> Result<HttpResponse, Problem> {
    let now = Utc::now();
    let sku = sku_in_path(&sku)?;
    let found = look_up::replenishment_decision(&state.context, sku.as_str(), now).await?;
    let (view, stance) = found.ok_or_else(no_such_product)?;
    let figures = view.stock.figures();
    Ok(HttpResponse::Ok().json(ReplenishmentDecision {
        inputs: DecisionInputs {
            on_hand: figures.on_hand,
            on_order: figures.on_order,
            backordered: figures.backordered,
            position: figures.position(),
            policy: PolicyBody::of_row(&view.product),
            paused_until: view.stock.paused_until(now),
        },
        sku: view.stock.sku,
        formula: FORMULA,
        quantity: stance.quantity,
        answer: stance.answer,
        explanation: stance.explanation,
    }))
}

/// A pause of automatic replenishment.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SnoozeBody {
    /// End of the pause; must be in the future.
    #[schema(example = "2030-01-31T00:00:00Z")]
    until: DateTime<Utc>,
    /// Reason for the pause.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$",
        example = "season is over"
    )]
    reason: String,
}

/// Pause automatic replenishment of a product until a date. Manual replenishments are not affected.
#[utoipa::path(
    tag = "stock",
    operation_id = "snoozeStock",
    security(("operator" = [])),
    params(("sku" = Sku, Path, description = "The product.")),
    request_body = SnoozeBody,
    responses(
        (status = 204, description = "Paused."),
        (status = 404, description = "`not-found`: There is no such product."),
    ),
)]
#[post("/api/v1/stock/{sku}/snooze")]
pub async fn snooze(
    operator: Operator,
    state: Data<State>,
    sku: Path<String>,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let sku = sku_in_path(&sku)?;
    let parsed: SnoozeBody = parse_strict(&body.0)?;
    if parsed.until <= Utc::now() {
        return Err(invalid("until", "must be in the future"));
    }
    let reason = bounded("reason", Some(parsed.reason), REASON_LENGTH_MAX)?.unwrap_or_default();
    if reason.trim().is_empty() {
        return Err(invalid("reason", "must not be empty"));
    }
    let detail = serde_json::from_slice(&body.0).unwrap_or_default();
    let asked = Asked { reason: Some(&reason), detail, ..Asked::plainly(&operator.name, trace_of(&request)) };
    snooze_stock(&state.context, sku, parsed.until, asked).await?;
    Ok(HttpResponse::NoContent().finish())
}
