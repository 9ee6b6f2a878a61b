//! `POST /callbacks/v1/restocks/{token}`: goods arrive.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, post};
use chrono::Utc;
use jaego_contracts::callback::{CallbackClaims, InvalidToken};
use jaego_contracts::ids::{ReceiptId, Sku};
use jaego_contracts::trace::TraceContext;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{AnyBody, KnownPaths, client_address, nowhere, trace_of};
use serde::Serialize;
use utoipa::ToSchema;

use super::callback_body::{CallbackBody, CallbackDocument, FACTORY, OTHER_COUNT, PRODUCT};
use super::{State, words};
use crate::commands::check_source::is_allowed;
use crate::commands::take_callbacks::{Answer, Callback, CountFault, Fault, Message, Order, Reason, outcome};

/// The callback's route, for any method.
pub(super) const ROUTE: &str = "/callbacks/v1/restocks/{token}";

/// The goods are booked, by this callback or an earlier one.
#[derive(Debug, Serialize, ToSchema)]
struct Received {
    #[schema(value_type = words::ReceivedStatus)]
    status: &'static str,
    /// Id of the goods receipt.
    receipt_id: ReceiptId,
    /// The product.
    sku: Sku,
    /// Units booked.
    #[schema(example = 100)]
    quantity: i64,
    /// Units beyond the open quantity, kept for an operator; absent if there are none.
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

/// Report delivered goods: the Factory calls the callback URL of the production request.
///
/// The token in the path authorizes the delivery, and states what was requested. A delivery that is reported again
/// gets the same answer and is booked once. Unknown members of the body are stored and ignored.
#[utoipa::path(
    tag = "callback",
    operation_id = "deliverGoods",
    params(
        ("token" = String, Path, description = "Signed capability, one per production attempt.",
            example = "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJKIn0.c2lnbmF0dXJl"),
        ("Idempotency-Key" = Option<String>, Header, description = "Identifies the delivery if the body has no `DeliveryId`.",
            example = "delivery-4711"),
    ),
    request_body(content = CallbackDocument, content_type = "application/json",
        description = "Parsed regardless of the media type, in UTF-8, UTF-16 with a byte order mark, or EUC-KR."),
    responses(
        (status = 200, description = "Booked, now or earlier; units beyond the open quantity wait for an operator.", body = Received),
        (status = 202, description = "Kept for an operator, and not in stock yet. `unreadable-body`: not a JSON object. `lost`: the database had refused an earlier callback for the same delivery.", body = Quarantined),
        (status = 400, description = "`malformed-request`: no token. `invalid-count`: kept for an operator; `field` names the member."),
        (status = 401, description = "`invalid-callback-token`: forged, or signed by an unknown key."),
        (status = 403, description = "`source-not-allowed`: callbacks, or those of this factory, are not accepted from this address."),
        (status = 409, description = "`callback-mismatch`: another product or factory than requested; kept for an operator."),
        (status = 413, description = "`payload-too-large`: the arrival is recorded for an operator, the body is not."),
        (status = 429, description = "`too-many-quarantined`: too many deliveries with this token wait for an operator; not kept."),
        (status = 503, description = "`unavailable`: the database did not store it within `callback.hold_ms`; it is kept in memory and booked when \
            the database is back. `overloaded`: there was no room in the queue; it is kept and booked all the same, unless the log says that it is lost. Sent again after `Retry-After` seconds, it counts once."),
    )
)]
#[post("/callbacks/v1/restocks/{token}")]
pub(super) async fn take_restock_callback(
    request: HttpRequest,
    token: Path<String>,
    body: AnyBody,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let claims = authenticate(&state, &token)?;
    take(&request, &token, claims, body.0, &state).await
}

/// Refuses another method with 405. With an authentic token goods may be meant, so an operator finds an entry.
pub(super) async fn refuse_other_method(
    request: HttpRequest,
    token: Path<String>,
    state: Data<State>,
    known: Data<KnownPaths>,
) -> Result<HttpResponse, Problem> {
    if let Ok(claims) = state.verifier.verify(&token) {
        let problem = Problem::new(ProblemKind::MethodNotAllowed, "A callback is a POST.");
        match take(&request, &token, claims, Err(problem), &state).await {
            Err(problem) if problem.kind() == ProblemKind::MethodNotAllowed => {}
            other => return other,
        }
    }
    Ok(nowhere(request, known).await)
}

/// Takes an authentic callback. Of a body that is incomplete or too large, only the fact that it came is kept; the
/// answer is its problem.
async fn take(
    request: &HttpRequest,
    token: &str,
    claims: CallbackClaims,
    body: Result<Vec<u8>, Problem>,
    state: &State,
) -> Result<HttpResponse, Problem> {
    let order = Order { sku: claims.sku.clone(), factory_id: claims.fid.clone(), quantity: claims.qty };
    let address = client_address(request);
    let key = request.headers().get("idempotency-key").map(HeaderValue::as_bytes);
    let (bytes, broken) = match body {
        Ok(bytes) => (bytes, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let body = CallbackBody::read(&bytes, key, token, &claims.jti);
    let callback = Arc::new(Callback::new(Message {
        is_expired: claims.is_expired(Utc::now()),
        jti: claims.jti,
        request_id: claims.rid,
        order,
        address,
        claim: body.claim,
        body: body.redacted,
        body_bytes: body.bytes,
        trace: trace_of(request),
        has_own_trace: has_own_trace(request),
    }));
    let answer = if is_allowed(&state.allowed_sources, address) {
        state.intake.take(&callback).await
    } else {
        Ok(Answer::SourceNotAllowed)
    };
    state.metrics.note(&callback, &answer);
    match (answer?, broken) {
        (Answer::Quarantined { .. }, Some(problem)) => Err(problem),
        (answer, _) => respond(&callback, body.count_field, answer),
    }
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

fn has_own_trace(request: &HttpRequest) -> bool {
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    header.is_some_and(|text| text.parse::<TraceContext>().is_ok())
}

fn respond(callback: &Callback, count_field: &'static str, answer: Answer) -> Result<HttpResponse, Problem> {
    match answer {
        Answer::Received { booked, again } => Ok(HttpResponse::Ok().json(Received {
            status: if again { "duplicate" } else { "received" },
            receipt_id: booked.receipt_id,
            sku: callback.message.order.sku.clone(),
            quantity: booked.quantity,
            quarantined: (booked.quarantined > 0).then_some(booked.quarantined),
        })),
        Answer::Quarantined { reason, .. } => match callback.delivery.content {
            Ok(_) | Err(Fault::Unreadable) => Ok(HttpResponse::Accepted().json(quarantined(reason))),
            Err(Fault::OtherProduct) => Err(mismatch(PRODUCT, callback.message.order.sku.as_str())),
            Err(Fault::OtherFactory) => Err(mismatch(FACTORY, callback.message.order.factory_id.as_str())),
            Err(Fault::Count(fault)) => Err(unusable(fault, count_field)),
        },
        Answer::Refused => {
            let detail = "Too many deliveries with this token wait for an operator, so this one was not kept.";
            Err(Problem::new(ProblemKind::TooManyQuarantined, detail).retry_after(3600))
        }
        Answer::SourceNotAllowed => {
            let detail = "Callbacks are accepted from allowed addresses only.";
            Err(Problem::new(ProblemKind::SourceNotAllowed, detail))
        }
    }
}

fn quarantined(reason: Reason) -> Quarantined {
    Quarantined { status: "quarantined", reason: reason.slug() }
}

fn mismatch(field: &str, asked: &str) -> Problem {
    let detail = format!("{field}: {asked} was requested. The delivery waits for an operator.");
    Problem::new(ProblemKind::CallbackMismatch, detail).with("field", field).with("expected", asked)
}

fn unusable(fault: CountFault, count_field: &'static str) -> Problem {
    let what = match fault {
        CountFault::Missing => "is missing".to_owned(),
        CountFault::OutOfRange => "must be a whole number from 1 to 1000000".to_owned(),
        CountFault::Contradictory => format!("differs from {OTHER_COUNT}"),
    };
    let detail = format!("{count_field}: {what}. The delivery waits for an operator.");
    Problem::new(ProblemKind::InvalidCount, detail).with("field", count_field)
}
