//! `POST /callbacks/v1/restocks/{token}`: goods arrive.

use actix_web::http::header::HeaderValue;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, post};
use chrono::Utc;
use serde::Serialize;
use shared::contracts::callback::{CallbackClaims, InvalidToken};
use shared::db::StoreError;
use shared::http::RawJson;
use shared::ids::{ReceiptId, Sku};
use shared::problem::{Problem, ProblemKind};
use shared::trace::TraceContext;
use utoipa::ToSchema;

use super::callback_body::{CallbackBody, CallbackDocument, FACTORY, OTHER_COUNT, PRODUCT};
use super::client_address::client_address;
use super::{State, callback_metrics as outcome, words};
use crate::commands::check_source::check_source;
use crate::commands::take_callback::{Answer, Callback, CountFault, Delivery, Fault, Order, Reason};

/// Goods were booked, now or before.
#[derive(Debug, Serialize, ToSchema)]
struct Received {
    #[schema(value_type = words::ReceivedStatus)]
    status: &'static str,
    /// The goods receipt.
    receipt_id: ReceiptId,
    /// What was booked.
    sku: Sku,
    /// Units booked.
    #[schema(example = 100)]
    quantity: i64,
    /// Units beyond what was open, kept for an operator; left out when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<i64>,
}

/// The delivery waits for an operator.
#[derive(Debug, Serialize, ToSchema)]
struct Quarantined {
    #[schema(value_type = words::QuarantinedStatus)]
    status: &'static str,
    #[schema(value_type = words::QuarantinedReason)]
    reason: &'static str,
}

/// Goods arrive: the Factory calls the URL of its production request.
///
/// The token in the path is the caller's right to deliver, and says what was asked for. Told again, a
/// delivery is answered the same and booked once. Unknown members of the body are kept and ignored.
#[utoipa::path(
    tag = "callback",
    operation_id = "deliverGoods",
    params(
        ("token" = String, Path, description = "Signed capability, one per production attempt.",
            example = "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJKIn0.c2lnbmF0dXJl"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the delivery when the body has no `DeliveryId`.",
            example = "delivery-4711"),
    ),
    request_body(content = CallbackDocument, content_type = "application/json"),
    responses(
        (status = 200, description = "Booked, now or before; what is beyond the open quantity waits for an operator.", body = Received),
        (status = 202, description = "Kept for an operator; no stock yet.", body = Quarantined),
        (status = 400, description = "`malformed-request`: no JSON object, or no token. `invalid-count`: kept for an operator; `field` names the member."),
        (status = 401, description = "`invalid-callback-token`: forged, or signed by an unknown key."),
        (status = 403, description = "`source-not-allowed`: callbacks, or those of this factory, come from elsewhere."),
        (status = 409, description = "`callback-mismatch`: another product or factory than asked for; kept for an operator."),
        (status = 429, description = "`too-many-quarantined`: too much of this token waits for an operator; not kept."),
        (status = 503, description = "`unavailable`: not kept; send it again after `Retry-After` seconds."),
    )
)]
#[post("/callbacks/v1/restocks/{token}")]
pub(super) async fn take_restock_callback(
    request: HttpRequest,
    token: Path<String>,
    body: RawJson,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let claims = authenticate(&state, &token)?;
    let order = Order { sku: claims.sku.clone(), factory_id: claims.fid.clone(), quantity: claims.qty };
    let address = client_address(&request, &state.proxies);
    if !check_source(&state.context.pool, &state.allowed_sources, &order.factory_id, address)
        .await
        .map_err(|error| store_failed(&state, error))?
    {
        state.metrics.count(outcome::SOURCE_NOT_ALLOWED);
        tracing::warn!(
            jti = claims.jti,
            factory_id = order.factory_id.as_str(),
            address = address.map(tracing::field::display),
            "callback refused: its source is not allowed"
        );
        let detail = "Callbacks are taken from allowed addresses only.";
        return Err(Problem::new(ProblemKind::SourceNotAllowed, detail));
    }
    let key = request.headers().get("idempotency-key").map(HeaderValue::as_bytes);
    let Some(body) = CallbackBody::read(&body.0, key, &token, &claims.jti) else {
        state.metrics.count(outcome::NOT_JSON);
        return Err(Problem::new(ProblemKind::MalformedRequest, "The body must be a JSON object."));
    };
    state.context.outbox.admit().inspect_err(|_| state.metrics.count(outcome::OVERLOADED))?;
    let callback = Callback {
        is_expired: claims.is_expired(Utc::now()),
        jti: claims.jti,
        request_id: claims.rid,
        order,
        claim: body.claim,
        body: body.redacted,
        trace: TraceContext::of(&request),
        has_own_trace: has_own_trace(&request),
    };
    let result = state.taker.take(&callback).await;
    let (answer, delivery) = result.map_err(|error| store_failed(&state, error))?;
    state.metrics.count(outcome::of_answer(&answer));
    log(&callback, &answer);
    respond(&callback, body.count_field, answer, &delivery)
}

fn authenticate(state: &State, token: &str) -> Result<CallbackClaims, Problem> {
    state.verifier.verify(token).map_err(|error| {
        state.metrics.count(outcome::of_token(error));
        match error {
            InvalidToken::Malformed => {
                Problem::new(ProblemKind::MalformedRequest, "The path does not end with a callback token.")
            }
            InvalidToken::UnknownKey | InvalidToken::Forged => Problem::new(
                ProblemKind::InvalidCallbackToken,
                "Call the URL of the production request exactly as it was given.",
            ),
        }
    })
}

fn store_failed(state: &State, error: StoreError) -> Problem {
    state.metrics.count(if error.is_unavailable() { outcome::STORE_UNAVAILABLE } else { outcome::FAILED });
    error.into()
}

fn has_own_trace(request: &HttpRequest) -> bool {
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    header.is_some_and(|text| text.parse::<TraceContext>().is_ok())
}

/// One line for what a person may have to look at.
fn log(callback: &Callback, answer: &Answer) {
    let Callback { jti, request_id, .. } = callback;
    match answer {
        Answer::Received { booked, again: false } => tracing::info!(
            jti,
            %request_id,
            receipt_id = %booked.receipt_id,
            quantity = booked.quantity,
            quarantined = booked.quarantined,
            "goods received"
        ),
        Answer::Quarantined { reason, again: false } => {
            tracing::warn!(jti, %request_id, reason = reason.slug(), "delivery quarantined");
        }
        Answer::Refused => tracing::warn!(jti, %request_id, "callback refused: too many quarantined for its token"),
        Answer::Received { again: true, .. } | Answer::Quarantined { again: true, .. } => {}
    }
}

fn respond(
    callback: &Callback,
    count_field: &'static str,
    answer: Answer,
    delivery: &Delivery,
) -> Result<HttpResponse, Problem> {
    match answer {
        Answer::Received { booked, again } => Ok(HttpResponse::Ok().json(Received {
            status: if again { "duplicate" } else { "received" },
            receipt_id: booked.receipt_id,
            sku: callback.order.sku.clone(),
            quantity: booked.quantity,
            quarantined: (booked.quarantined > 0).then_some(booked.quarantined),
        })),
        Answer::Quarantined { reason, .. } => match delivery.content {
            Ok(_) => Ok(HttpResponse::Accepted().json(quarantined(reason))),
            Err(fault) => Err(faulty(fault, callback, count_field)),
        },
        Answer::Refused => {
            let detail = "So many deliveries with this token wait for an operator that this one was not kept.";
            Err(Problem::new(ProblemKind::TooManyQuarantined, detail).retry_after(3600))
        }
    }
}

fn quarantined(reason: Reason) -> Quarantined {
    Quarantined { status: "quarantined", reason: reason.slug() }
}

fn faulty(fault: Fault, callback: &Callback, count_field: &'static str) -> Problem {
    let mismatch = |field: &str, asked: &str| {
        let detail = format!("{field}: {asked} was asked for. The delivery waits for an operator.");
        Problem::new(ProblemKind::CallbackMismatch, detail).with("field", field).with("expected", asked)
    };
    let unusable = |what: &str| {
        let detail = format!("{count_field}: {what}. The delivery waits for an operator.");
        Problem::new(ProblemKind::InvalidCount, detail).with("field", count_field)
    };
    match fault {
        Fault::OtherProduct => mismatch(PRODUCT, callback.order.sku.as_str()),
        Fault::OtherFactory => mismatch(FACTORY, callback.order.factory_id.as_str()),
        Fault::Count(CountFault::Missing) => unusable("is missing"),
        Fault::Count(CountFault::OutOfRange) => unusable("must be a whole number from 1 to 1000000"),
        Fault::Count(CountFault::Contradictory) => unusable(&format!("differs from {OTHER_COUNT}")),
    }
}
