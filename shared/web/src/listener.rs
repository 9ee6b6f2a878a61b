//! The listener that a request arrived on.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

/// A listener for callers; `admin` gets none of their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// All routes; for operators only.
    Api,
    /// Routes that are open to everyone.
    Public,
}

impl Listener {
    /// Returns the listener that the request arrived on. An application that does not declare its listener counts as
    /// public.
    pub fn of(request: &HttpRequest) -> Self {
        request.app_data().copied().unwrap_or(Self::Public)
    }
}

impl FromRequest for Listener {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}
