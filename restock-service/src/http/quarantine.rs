//! `/api/v1/quarantine`.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpRequest, get, post};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use jaego_contracts::ids::{Quantity, QuarantineId, Sku};
use jaego_service::outbox_full;
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{PageQuery, Paged, StrictJson};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{State, last_id, reason, words};
use crate::commands::Asked;
use crate::commands::judge_quarantined::{Choice, Judgement, judge_quarantined};
use crate::commands::list_quarantine::{self as command, QuarantineRow};

const LIST: &str = "quarantine";

/// The body of a callback.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum ReceivedBody {
    Members(Map<String, Value>),
    Unreadable(String),
}

/// A delivery, or the excess part of one, that an operator must decide on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"reason": "over-delivery", "body": {"MessageAttributeProductCnt": "130"}}))]
pub(super) struct QuarantineEntry {
    /// Id of the entry.
    id: Uuid,
    #[schema(value_type = words::EntryStatus)]
    status: String,
    #[schema(value_type = words::EntryReason)]
    reason: String,
    /// The production request of its token.
    request_id: Uuid,
    /// The token's id, one per production attempt.
    #[schema(example = "01938a3c-9b02-7d11-8c3e-4a7f60b5d2e9")]
    jti: String,
    /// The factory's id of the delivery, if it sent one.
    #[schema(required)]
    delivery_id: Option<String>,
    /// The product of its token.
    #[schema(example = "CP-502101")]
    sku: String,
    /// The factory of its token.
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// Units, if the count in the body is valid.
    #[schema(required, example = 30)]
    quantity: Option<i64>,
    /// The body's product, if it names one.
    #[schema(required, example = "CP-502101")]
    claimed_sku: Option<String>,
    /// The body's factory, if it names one.
    #[schema(required)]
    claimed_factory_id: Option<String>,
    /// The body as received, with callback URLs shown as `<callback:jti>`; an empty string if it is unreadable.
    body: ReceivedBody,
    /// The bytes of an unreadable body in base64; null if there were too many.
    #[schema(required)]
    body_base64: Option<String>,
    /// Time at which it was first received.
    created_at: DateTime<Utc>,
    /// Number of times that it was received.
    #[schema(example = 1)]
    times_received: i64,
    /// Time at which it was last received.
    last_received_at: DateTime<Utc>,
    /// The operator who decided on it.
    #[schema(required)]
    decided_by: Option<String>,
    /// Time of the decision.
    #[schema(required)]
    decided_at: Option<DateTime<Utc>>,
    /// The operator's reason.
    #[schema(required)]
    decision_reason: Option<String>,
    /// The goods receipt of an accepted entry.
    #[schema(required)]
    receipt_id: Option<Uuid>,
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
            body: serde_json::from_str(&row.body).map_or(ReceivedBody::Unreadable(row.body), ReceivedBody::Members),
            body_base64: row.body_bytes.map(|bytes| BASE64_STANDARD.encode(bytes)),
            created_at: row.created_at,
            times_received: row.times_received,
            last_received_at: row.last_received_at.unwrap_or(row.created_at),
            decided_by: row.decided_by,
            decided_at: row.decided_at,
            decision_reason: row.decision_reason,
            receipt_id: row.receipt_id,
        }
    }
}

/// List the entries of the quarantine, newest first.
#[utoipa::path(
    tag = "quarantine",
    operation_id = "listQuarantine",
    security(("operator" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of entries.", body = Paged<QuarantineEntry>)),
)]
#[get("/api/v1/quarantine")]
pub(super) async fn list_quarantine(
    _viewer: Viewer,
    query: Query<PageQuery>,
    state: Data<State>,
) -> Result<Json<Paged<QuarantineEntry>>, Problem> {
    let page = query.page(LIST)?;
    let rows = command::list_quarantine(&state.context.pool, last_id(&page)?, page.fetch()).await?;
    let entries = rows.into_iter().map(QuarantineEntry::from).collect();
    Ok(Json(page.answer(LIST, entries, |entry: &QuarantineEntry| entry.id.to_string())))
}

/// Acceptance of an entry, whose goods have arrived.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AcceptBody {
    /// Reason for accepting it.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$")]
    reason: String,
    /// Product that arrived; required if the delivery names another one than its token, and must be one of the two.
    sku: Option<Sku>,
    /// Units that arrived, if not the number in the entry.
    quantity: Option<Quantity>,
}

/// Discarding of an entry, for which nothing is booked.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct DiscardBody {
    /// Reason for discarding it.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$")]
    reason: String,
}

/// Accept a quarantined delivery and book its goods.
///
/// The goods count toward the production request, even beyond its quantity, unless another product arrived.
#[utoipa::path(
    tag = "quarantine",
    operation_id = "acceptQuarantined",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The entry.")),
    request_body(content = AcceptBody, example = json!({"reason": "counted: 30 more in the truck", "quantity": 30})),
    responses(
        (status = 200, description = "The entry, accepted.", body = QuarantineEntry, example = json!({
            "status": "accepted", "decided_by": "kim", "decided_at": "2026-11-22T21:20:00.123456Z",
            "decision_reason": "counted: 30 more in the truck", "receipt_id": "01938a41-02f7-7b60-8d1c-5e9f3b2a7c10",
        })),
        (status = 404, description = "`not-found`: There is no such entry."),
        (status = 409, description = "`conflict`: The entry has already been decided; `entry_status` is its status."),
    )
)]
#[post("/api/v1/quarantine/{id}/accept")]
pub(super) async fn accept_quarantined(
    operator: Operator,
    id: Path<Uuid>,
    body: StrictJson<AcceptBody>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<QuarantineEntry>, Problem> {
    let AcceptBody { reason: why, sku, quantity } = body.0;
    let asked = Asked {
        actor: &operator.name,
        reason: Some(reason(&why)?),
        key: None,
        detail: json!({"reason": why, "sku": sku, "quantity": quantity}),
        trace: trace_of(&request),
    };
    state.context.outbox.admit().map_err(outbox_full)?;
    let judgement = Judgement::Accept(Choice { sku, quantity });
    let judged = judge_quarantined(&state.context, QuarantineId(*id), judgement, asked).await?;
    Ok(Json(judged.into()))
}

/// Discard a quarantined delivery without booking anything.
#[utoipa::path(
    tag = "quarantine",
    operation_id = "discardQuarantined",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The entry.")),
    request_body(content = DiscardBody, example = json!({"reason": "reported twice, only one truck came"})),
    responses(
        (status = 200, description = "The entry, discarded.", body = QuarantineEntry, example = json!({
            "status": "discarded", "decided_by": "kim", "decided_at": "2026-11-22T21:20:00.123456Z",
            "decision_reason": "reported twice, only one truck came",
        })),
        (status = 404, description = "`not-found`: There is no such entry."),
        (status = 409, description = "`conflict`: The entry has already been decided; `entry_status` is its status."),
    )
)]
#[post("/api/v1/quarantine/{id}/discard")]
pub(super) async fn discard_quarantined(
    operator: Operator,
    id: Path<Uuid>,
    body: StrictJson<DiscardBody>,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<QuarantineEntry>, Problem> {
    let why = body.0.reason;
    let asked = Asked {
        actor: &operator.name,
        reason: Some(reason(&why)?),
        key: None,
        detail: json!({"reason": why}),
        trace: trace_of(&request),
    };
    let judged = judge_quarantined(&state.context, QuarantineId(*id), Judgement::Discard, asked).await?;
    Ok(Json(judged.into()))
}
