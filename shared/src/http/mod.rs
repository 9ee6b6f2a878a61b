//! What every HTTP edge shares: listeners, strict bodies, bearer tokens, pages, problems.

pub mod auth;
mod body;
mod conditional;
mod document;
mod idempotency_key;
mod listener;
mod middleware;
mod page;
mod server;
mod words;

use actix_web::HttpRequest;

use crate::contracts::callback::{CALLBACK_PATH, redact};

pub use body::{AnyBody, BODY_BYTES_MAX, OptionalJson, RawJson, StrictJson, parse_strict};
pub use conditional::{IfMatch, etag};
pub use document::document;
pub use idempotency_key::IdempotencyKey;
pub use listener::Listener;
pub use middleware::{HttpMetrics, observe};
pub use page::{Page, PageQuery, Paged};
pub use server::{Door, Listeners, Operations, Routes, listen, malformed, open_door};
pub use words::check_word;

/// The path that was asked for, without a callback token.
pub fn instance_of(request: &HttpRequest) -> String {
    match request.path() {
        path if path.starts_with(CALLBACK_PATH) => CALLBACK_PATH.trim_end_matches('/').to_owned(),
        path => redact(path),
    }
}
