//! The `Idempotency-Key` header.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use utoipa::IntoParams;

use super::Listener;
use crate::problem::{Problem, ProblemKind};

/// The request's key, 1 to 255 visible ASCII characters, if it sent one.
#[derive(Debug, Clone, Default, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(
    /// A request with the same key and body gets the first answer again, with `Idempotency-Replayed: true`.
    #[param(value_type = String, required = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$", example = "order-4711-1")]
    pub Option<String>,
);

/// Minimum length of a key on the public listener, characters.
const PUBLIC_LENGTH_MIN: usize = 20;

pub(super) const HEADER: &str = "Idempotency-Key";

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = request.headers().get(HEADER) else { return ready(Ok(Self(None))) };
        let visible = (1..=255).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        // Anonymous callers share one namespace, in which short keys of different callers would collide.
        if visible && Listener::of(request) == Listener::Public && value.len() < PUBLIC_LENGTH_MIN {
            let detail = format!("Idempotency-Key must have at least {PUBLIC_LENGTH_MIN} characters here; use a UUID.");
            return ready(Err(Problem::new(ProblemKind::MalformedRequest, detail)));
        }
        ready(match value.to_str() {
            Ok(text) if visible => Ok(Self(Some(text.to_owned()))),
            _ => Err(Problem::new(
                ProblemKind::MalformedRequest,
                "Idempotency-Key must be 1 to 255 visible ASCII characters.",
            )),
        })
    }
}
