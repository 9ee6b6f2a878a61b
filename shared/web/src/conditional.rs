//! `ETag` and `If-Match` (RFC 9110): an optimistic lock for changes over HTTP.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use utoipa::IntoParams;

use crate::problem::{Problem, ProblemKind};

/// The `ETag` of a row's version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The request's `If-Match`, if any.
#[derive(Debug, Clone, Default, IntoParams)]
#[into_params(names("If-Match"), parameter_in = Header)]
pub struct IfMatch(
    /// Make the change only if this is the current `ETag`.
    #[param(value_type = String, required = false, example = "\"3\"")]
    Option<String>,
);

impl IfMatch {
    /// Refuses when `If-Match` is present and does not name the current version (None: the resource does not exist
    /// yet).
    pub fn check(&self, current: Option<i64>) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let matches = current.is_some_and(|version| {
            let tag = etag(version);
            wanted.split(',').map(str::trim).any(|wanted| wanted == "*" || wanted == tag)
        });
        if matches {
            return Ok(());
        }
        let detail = "If-Match names another version: read the resource again and repeat the change.";
        Err(Problem::new(ProblemKind::PreconditionFailed, detail))
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let value = request.headers().get(header::IF_MATCH);
        ready(Ok(Self(value.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_current_version_matches() {
        assert!(IfMatch(None).check(None).is_ok());
        assert!(IfMatch(Some("\"3\"".into())).check(Some(3)).is_ok());
        assert!(IfMatch(Some("*".into())).check(Some(9)).is_ok());
        assert!(IfMatch(Some("\"2\", \"3\"".into())).check(Some(3)).is_ok());
        assert!(IfMatch(Some("\"2\"".into())).check(Some(3)).is_err());
        assert!(IfMatch(Some("*".into())).check(None).is_err());
    }
}
