//! RFC 9457 problem details: every error response of every service.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use jaego_contracts::trace::TraceContext;
use serde::Serialize;
use serde_json::{Map, Value, json};

macro_rules! problem_kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $slug:literal, $title:literal;)*) => {
        /// The stable part of a problem. One row per kind: status, slug, title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $name,)*
        }

        impl ProblemKind {
            /// Every kind, for the generated documentation and its test.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$name,)*];

            /// The last part of the problem's `type`.
            pub const fn slug(self) -> &'static str {
                match self { $(ProblemKind::$name => $slug,)* }
            }
            /// The same sentence for each problem of this kind.
            pub const fn title(self) -> &'static str {
                match self { $(ProblemKind::$name => $title,)* }
            }
            /// The HTTP status as a number.
            pub const fn status(self) -> u16 {
                match self { $(ProblemKind::$name => $status,)* }
            }
        }
    };
}

problem_kinds! {
    /// The body is not JSON, or a path or query value cannot be read.
    MalformedRequest = 400, "malformed-request", "The request cannot be read";
    /// The callback's count is missing, not a whole number, or out of range.
    InvalidCount = 400, "invalid-count", "The delivery's count is not usable";
    Unauthorized = 401, "unauthorized", "Credentials are missing or unknown";
    /// The callback token is malformed, or not signed by one of our keys.
    InvalidCallbackToken = 401, "invalid-callback-token", "The callback token is not valid";
    /// The credentials are known, but their role does not allow the request.
    Forbidden = 403, "forbidden", "Not allowed";
    /// The callback came from an address that is not on the factory's list.
    SourceNotAllowed = 403, "source-not-allowed", "This source address may not deliver callbacks";
    NotFound = 404, "not-found", "Not found";
    /// The path exists, but not with this method.
    MethodNotAllowed = 405, "method-not-allowed", "Method not allowed";
    /// There is not enough stock for the order.
    OutOfStock = 409, "out-of-stock", "Out of stock";
    /// The state of the resource does not allow the action.
    Conflict = 409, "conflict", "The current state does not allow this";
    /// The callback's body names another product or factory than its token.
    CallbackMismatch = 409, "callback-mismatch", "The callback does not match its token";
    /// `If-Match` names another version.
    PreconditionFailed = 412, "precondition-failed", "The resource has changed";
    PayloadTooLarge = 413, "payload-too-large", "The body is too large";
    /// Not `application/json`.
    UnsupportedMediaType = 415, "unsupported-media-type", "Unsupported media type";
    /// The request can be read, but a value is not acceptable or a field is unknown.
    InvalidRequest = 422, "invalid-request", "The request is not valid";
    /// The order names a product that does not exist or is not on sale.
    UnknownProduct = 422, "unknown-product", "Unknown product";
    IdempotencyKeyReused = 422, "idempotency-key-reused", "The Idempotency-Key was used with another body";
    /// The client has sent more requests than its share.
    TooManyRequests = 429, "too-many-requests", "Too many requests";
    TooManyAttempts = 429, "too-many-attempts", "Too many attempts to log in";
    /// Too many quarantine entries for one callback token.
    TooManyQuarantined = 429, "too-many-quarantined", "Too many deliveries are waiting for an operator";
    /// A bug or a broken component; the log has the cause under the trace id.
    Internal = 500, "internal", "Internal error";
    /// The queue for incoming work is full.
    Overloaded = 503, "overloaded", "Overloaded";
    /// It is currently unknown whether the request was carried out.
    OutcomeUnknown = 503, "outcome-unknown", "Outcome unknown";
    /// The store, or another required component, does not respond at the moment.
    Unavailable = 503, "unavailable", "Temporarily unavailable";
}

/// A problem response: a kind, a sentence for this occurrence, typed extensions.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    extensions: Map<String, Value>,
    retry_after_s: Option<u32>,
    /// The header `Allow` of a 405.
    allow: Option<String>,
}

impl Problem {
    /// Creates a problem of `kind`; `detail` says what to do about it.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let retry_after_s = matches!(kind.status(), 429 | 503).then_some(1);
        Self { kind, detail: detail.into(), extensions: Map::new(), retry_after_s, allow: None }
    }

    /// A failure of the service. The cause is logged, and never sent to the caller.
    pub fn internal(cause: &(impl std::fmt::Display + ?Sized)) -> Self {
        tracing::error!(error = %cause, "request failed");
        Self::new(ProblemKind::Internal, "The service failed; give the trace id to its operators.")
    }

    /// The path exists, with these methods.
    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let list = allowed.join(", ");
        let problem = Self::new(ProblemKind::MethodNotAllowed, format!("This path answers {list}."));
        Self { allow: Some(list), ..problem }
    }

    /// Adds an extension member; a value that cannot be serialized becomes null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// Sets `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The sentence for this occurrence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the body without `instance` and `trace_id`, which belong to one HTTP exchange.
    pub fn to_value(&self) -> Value {
        let mut body = self.extensions.clone();
        body.insert("type".into(), json!(format!("/problems/{}", self.kind.slug())));
        body.insert("title".into(), json!(self.kind.title()));
        body.insert("status".into(), json!(self.kind.status()));
        body.insert("detail".into(), json!(self.detail));
        Value::Object(body)
    }

    /// Builds the response to `request`.
    pub fn respond_to(&self, request: &HttpRequest) -> HttpResponse {
        let instance = crate::instance_of(request);
        let trace = crate::trace_of(request);
        let mut response = respond(self.to_value(), self.retry_after_s, Some(instance), Some(trace));
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

/// Builds the response to `request` from a stored problem body (see [`Problem::to_value`]).
pub fn respond_with_body(body: Value, request: &HttpRequest) -> HttpResponse {
    respond(body, None, Some(crate::instance_of(request)), Some(crate::trace_of(request)))
}

fn respond(
    mut body: Value,
    retry_after_s: Option<u32>,
    instance: Option<String>,
    trace: Option<TraceContext>,
) -> HttpResponse {
    let status = body["status"].as_u64().and_then(|code| u16::try_from(code).ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let (Some(members), Some(instance)) = (body.as_object_mut(), instance) {
        members.insert("instance".into(), json!(instance));
    }
    if let (Some(members), Some(trace)) = (body.as_object_mut(), trace) {
        members.insert("trace_id".into(), json!(trace.trace_id()));
    }
    let mut response = HttpResponseBuilder::new(status);
    response.content_type("application/problem+json");
    if let Some(seconds) = retry_after_s {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    // Not for an invalid callback token, which is not a bearer token.
    if body["type"] == format!("/problems/{}", ProblemKind::Unauthorized.slug()) {
        response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    response.body(body.to_string())
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.kind.slug(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The request is not available here; the HTTP middleware adds `instance` and `trace_id`.
    fn error_response(&self) -> HttpResponse {
        let mut response = respond(self.to_value(), self.retry_after_s, None, None);
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// The OpenAPI shape of [`Problem`].
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Stable identifier of the kind of problem, `/problems/<slug>`.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid-request")]
    pub kind: String,
    /// Title of the kind of problem.
    #[schema(example = "The request is not valid")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// Explanation of this occurrence, and what to do about it.
    #[schema(example = "limit: must be 1 to 200.")]
    pub detail: String,
    /// Path of the request.
    #[schema(example = "/api/v1/stock")]
    pub instance: String,
    /// Id of the trace, for logs and traces.
    #[schema(example = "948201e16e0450bf03af103fe5fca74b")]
    pub trace_id: String,
    /// The parameter or member that is not valid, if it is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "limit")]
    pub field: Option<String>,
    /// Unknown members of the body, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_fields: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn slugs_are_unique_and_fit_their_status() {
        let slugs: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
            let has_retry = Problem::new(*kind, "x").retry_after_s.is_some();
            assert_eq!(has_retry, matches!(kind.status(), 429 | 503), "{kind:?}");
        }
    }
}
