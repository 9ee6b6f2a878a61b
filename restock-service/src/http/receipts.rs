//! `/api/v1/receipts`.

use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_service::idempotency::{KeptAnswer, KeyUse, fingerprint};
use jaego_service::outbox_full;
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{IdempotencyKey, PageQuery, Paged, RawJson, parse_strict};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{State, last_id, reason};
use crate::commands::Asked;
use crate::commands::book_by_hand::{LostDelivery, book_by_hand};
use crate::commands::list_receipts::{self as command, ReceiptRow};

const LIST: &str = "receipts";

/// A goods receipt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// Id of the receipt.
    id: Uuid,
    /// The production request that the goods belong to.
    request_id: Uuid,
    /// The product.
    #[schema(example = "CP-502101")]
    sku: String,
    /// Units received.
    #[schema(example = 100)]
    quantity: i64,
    /// The factory that made the goods.
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// The factory's id of the delivery, if it sent one.
    #[schema(required)]
    delivery_id: Option<String>,
    /// Time at which it was booked.
    received_at: DateTime<Utc>,
    /// The operator who booked it, by hand or from the quarantine; null: booked by a callback.
    #[schema(required)]
    booked_by: Option<String>,
    /// The operator's reason.
    #[schema(required)]
    reason: Option<String>,
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
            booked_by: row.actor,
            reason: row.reason,
        }
    }
}

/// List goods receipts, newest first.
#[utoipa::path(
    tag = "receipts",
    operation_id = "listReceipts",
    security(("operator" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of receipts.", body = Paged<Receipt>)),
)]
#[get("/api/v1/receipts")]
pub(super) async fn list_receipts(
    _viewer: Viewer,
    query: Query<PageQuery>,
    state: Data<State>,
) -> Result<Json<Paged<Receipt>>, Problem> {
    let page = query.page(LIST)?;
    let rows = command::list_receipts(&state.context.pool, last_id(&page)?, page.fetch()).await?;
    let receipts = rows.into_iter().map(Receipt::from).collect();
    Ok(Json(page.answer(LIST, receipts, |receipt: &Receipt| receipt.id.to_string())))
}

/// Goods that arrived without a callback.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ReceiptByHand {
    /// The production request that the goods belong to.
    request_id: RequestId,
    /// Units received; at most the open quantity of the request.
    quantity: Quantity,
    /// Reason for booking by hand.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$")]
    reason: String,
}

/// Book goods whose callback was lost.
#[utoipa::path(
    tag = "receipts",
    operation_id = "bookReceipt",
    security(("operator" = [])),
    params(IdempotencyKey),
    request_body(content = ReceiptByHand, example = json!({
        "request_id": "01938a3c-7d1e-7c4b-9a52-0f6d2a1b3c4d", "quantity": 40,
        "reason": "delivery note 4711, the callback never came"
    })),
    responses(
        (status = 201, description = "The receipt.", body = Receipt, example = json!({
            "quantity": 40, "booked_by": "kim", "reason": "delivery note 4711, the callback never came",
        })),
        (status = 404, description = "`not-found`: There is no such production request."),
        (status = 409, description = "`conflict`: The request was cancelled, or has fewer open units than this; `open` is their number."),
        (status = 422, description = "`invalid-request` or `idempotency-key-reused`."),
    )
)]
#[post("/api/v1/receipts")]
pub(super) async fn book_receipt(
    operator: Operator,
    key: IdempotencyKey,
    body: RawJson,
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let parsed: ReceiptByHand = parse_strict(&body.0)?;
    let asked = Asked {
        actor: &operator.name,
        reason: Some(reason(&parsed.reason)?),
        key: key.0.map(|key| KeyUse {
            endpoint: "POST /api/v1/receipts",
            caller: operator.name.clone(),
            key,
            fingerprint: fingerprint(&body.0),
        }),
        detail: json!({"request_id": parsed.request_id, "quantity": parsed.quantity, "reason": parsed.reason}),
        trace: trace_of(&request),
    };
    state.context.outbox.admit().map_err(outbox_full)?;
    let lost = LostDelivery { request_id: parsed.request_id, quantity: parsed.quantity };
    let answered = book_by_hand(&state.context, lost, asked, render).await?;
    Ok(answered.respond(&request))
}

fn render(row: ReceiptRow) -> KeptAnswer {
    KeptAnswer { status: 201, body: json!(Receipt::from(row)).to_string() }
}
