//! Which listener a request came in by.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

/// A listener for callers; `admin` has none of their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Everything, for operators only.
    Api,
    /// What anybody may reach.
    Public,
}

impl Listener {
    /// The one that this request came in by. One that was not told is taken for anybody's.
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
