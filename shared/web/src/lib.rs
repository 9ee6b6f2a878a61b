//! The common part of every HTTP edge: listeners, strict bodies, bearer tokens, pages, problems.

pub mod auth;
mod body;
pub mod clients;
mod conditional;
mod connections;
mod document;
mod idempotency_key;
mod listener;
mod middleware;
mod page;
pub mod problem;
mod server;
pub mod settings;
#[cfg(feature = "pg")]
mod store;
mod words;
pub mod wrong_tokens;

use actix_web::{HttpMessage as _, HttpRequest};
use jaego_contracts::callback::{CALLBACK_PATH, redact};
use jaego_contracts::trace::TraceContext;

pub use body::{AnyBody, BODY_BYTES_MAX, OptionalJson, RawJson, StrictJson, parse_strict};
pub use clients::client_address;
pub use conditional::{IfMatch, etag};
pub use connections::SharedBody;
pub use document::{complete, document};
pub use idempotency_key::IdempotencyKey;
pub use listener::Listener;
pub use middleware::{HttpMetrics, observe, serve_as};
pub use page::{Page, PageQuery, Paged};
pub use server::{BoundListener, KnownPaths, Listeners, bind_listener, malformed, malformed_path, nowhere};
pub use words::check_word;

/// Returns the path of the request, without a callback token.
pub fn instance_of(request: &HttpRequest) -> String {
    match request.path() {
        path if path.starts_with(CALLBACK_PATH) => CALLBACK_PATH.trim_end_matches('/').to_owned(),
        path => redact(path),
    }
}

/// Returns the trace that the middleware assigned to this request.
pub fn trace_of(request: &HttpRequest) -> TraceContext {
    request.extensions().get().copied().unwrap_or_else(TraceContext::new_root)
}
