//! The `Idempotency-Key` header.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use utoipa::IntoParams;

use crate::problem::{Problem, ProblemKind};

/// The request's key, 1 to 255 visible ASCII characters, if it sent one.
#[derive(Debug, Clone, Default, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(
    /// The same key and body get the first answer again, with `Idempotency-Replayed: true`.
    #[param(value_type = String, required = false, min_length = 1, max_length = 255, example = "order-4711-1")]
    pub Option<String>,
);

/// Name of the header.
pub(super) const HEADER: &str = "Idempotency-Key";

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = request.headers().get(HEADER) else { return ready(Ok(Self(None))) };
        let visible = (1..=255).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        ready(match value.to_str() {
            Ok(text) if visible => Ok(Self(Some(text.to_owned()))),
            _ => Err(Problem::new(
                ProblemKind::MalformedRequest,
                "Idempotency-Key must be 1 to 255 visible ASCII characters.",
            )),
        })
    }
}
