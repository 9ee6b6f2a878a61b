//! Bearer tokens of operators, known to the service only as SHA-256 digests.

use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::{Problem, ProblemKind};

/// Rights of a token's holder; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read.
    Viewer,
    /// May read and act.
    Operator,
}

/// One configured token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    name: String,
    role: Role,
    digest: [u8; 32],
}

impl OperatorToken {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn role(&self) -> Role {
        self.role
    }
}

/// The text is not `name:role:sha256`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not name:role:sha256")]
pub struct InvalidOperatorToken;

impl FromStr for OperatorToken {
    type Err = InvalidOperatorToken;

    fn from_str(text: &str) -> Result<Self, InvalidOperatorToken> {
        let mut parts = text.split(':');
        let (Some(name), Some(role), Some(digest), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidOperatorToken);
        };
        let role = match role {
            "viewer" => Role::Viewer,
            "operator" => Role::Operator,
            _ => return Err(InvalidOperatorToken),
        };
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes).map_err(|_| InvalidOperatorToken)?;
        if name.is_empty() || name.len() > 64 {
            return Err(InvalidOperatorToken);
        }
        Ok(Self { name: name.to_owned(), role, digest: bytes })
    }
}

/// The configured tokens of a service.
#[derive(Debug, Clone, Default)]
pub struct OperatorTokens(Arc<Vec<OperatorToken>>);

impl OperatorTokens {
    /// Parses `auth.tokens`. Invalid entries are skipped here, because the check of the settings has refused them at
    /// start.
    pub fn from_settings(tokens: &[String]) -> Self {
        Self(Arc::new(tokens.iter().filter_map(|token| token.parse().ok()).collect()))
    }

    /// Finds the configured token. Compares with every one of them, each in constant time.
    pub fn find(&self, token: &str) -> Option<&OperatorToken> {
        let digest = Sha256::digest(token.as_bytes());
        let mut found = None;
        for known in self.0.iter() {
            if bool::from(known.digest.ct_eq(&digest)) {
                found = Some(known);
            }
        }
        found
    }
}

/// Extractor for requests that require role viewer or operator.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The token's name.
    pub name: String,
}

/// Extractor for requests that require role operator.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The token's name.
    pub name: String,
}

fn authenticate(request: &HttpRequest, needed: Role) -> Result<String, Problem> {
    let unauthorized =
        || Problem::new(ProblemKind::Unauthorized, "Send `Authorization: Bearer <token>` with an operator's token.");
    let tokens = request.app_data::<web::Data<OperatorTokens>>().ok_or_else(unauthorized)?;
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let known = token.and_then(|token| tokens.find(token)).ok_or_else(unauthorized)?;
    if known.role >= needed {
        Ok(known.name.clone())
    } else {
        Err(Problem::new(ProblemKind::Forbidden, "This needs a token with role operator."))
    }
}

impl FromRequest for Viewer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(authenticate(request, Role::Viewer).map(|name| Self { name }))
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(authenticate(request, Role::Operator).map(|name| Self { name }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Control: token-digests.
    #[test]
    fn only_the_token_itself_is_found() {
        let digest = hex::encode(Sha256::digest(b"right"));
        let tokens = OperatorTokens::from_settings(&[format!("kim:operator:{digest}")]);
        assert_eq!(tokens.find("right").map(|token| token.name.as_str()), Some("kim"));
        assert!(tokens.find("wrong").is_none() && tokens.find("").is_none());
    }

    #[test]
    fn entries_are_checked() {
        let digest = "0".repeat(64);
        for bad in ["", "kim", "kim:admin:00", ":viewer:00", "kim:viewer:00", &format!("kim:viewer:{digest}:x")] {
            assert_eq!(bad.parse::<OperatorToken>(), Err(InvalidOperatorToken), "{bad}");
        }
    }
}
