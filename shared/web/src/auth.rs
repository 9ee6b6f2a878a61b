//! Bearer tokens of operators, known to the services only as SHA-256 digests. Some are configured; access-service
//! issues the others ([`jaego_contracts::issued`]).

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use jaego_contracts::issued::Issued;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::problem::{Problem, ProblemKind};
use crate::wrong_tokens::WrongTokens;

/// Rights of a token's holder; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read.
    Viewer,
    /// May read and act.
    Operator,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// The text is not the name of a role.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be viewer or operator")]
pub struct InvalidRole;

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let all = [Self::Viewer, Self::Operator];
        all.into_iter().find(|role| role.name() == text).ok_or(InvalidRole)
    }
}

/// The credential with which a request was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// A token of `auth.tokens`.
    Configured,
    /// A personal access token, by its id.
    Token(Uuid),
    /// A session, by its id.
    Session(Uuid),
}

/// A person or program whose credential is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub name: String,
    pub role: Role,
    pub credential: Credential,
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
        let role = role.parse().map_err(|InvalidRole| InvalidOperatorToken)?;
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

    /// Finds the configured token.
    pub fn find(&self, token: &str) -> Option<&OperatorToken> {
        self.find_digest(&Sha256::digest(token.as_bytes()))
    }

    /// The role of the person of this name: the highest, if several tokens have it.
    pub fn role_of(&self, name: &str) -> Option<Role> {
        self.0.iter().filter(|token| token.name == name).map(|token| token.role).max()
    }

    /// Finds the configured token with this digest. Compares with every one of them, each in constant time.
    pub fn find_digest(&self, digest: &[u8]) -> Option<&OperatorToken> {
        let mut found = None;
        for known in self.0.iter() {
            if bool::from(known.digest.ct_eq(digest)) {
                found = Some(known);
            }
        }
        found
    }
}

/// The answer to a question about a credential: None if it is not valid, an error if that cannot be found out.
pub type Introspection<'a> = Pin<Box<dyn Future<Output = Result<Option<Principal>, Problem>> + Send + 'a>>;

/// Knows the credentials that access-service has issued.
pub trait Introspect: Send + Sync {
    fn introspect(&self, issued: Issued) -> Introspection<'_>;
}

/// Recognizes bearer tokens: the configured ones, and those that access-service has issued.
#[derive(Clone)]
pub struct Authenticator {
    configured: OperatorTokens,
    issued: Option<Arc<dyn Introspect>>,
    wrong: Arc<WrongTokens>,
}

impl Authenticator {
    /// Without `issued`, only configured tokens are valid.
    pub fn new(configured: OperatorTokens, issued: Option<Arc<dyn Introspect>>, wrong: WrongTokens) -> Self {
        Self { configured, issued, wrong: Arc::new(wrong) }
    }

    /// The wrong tokens so far.
    pub fn wrong(&self) -> &WrongTokens {
        &self.wrong
    }

    /// Returns the holder of a token; None if the token is not valid. A configured token needs no other service.
    pub async fn principal(&self, token: &str) -> Result<Option<Principal>, Problem> {
        if let Some(known) = self.configured.find(token) {
            let (name, role) = (known.name.clone(), known.role);
            return Ok(Some(Principal { name, role, credential: Credential::Configured }));
        }
        match (&self.issued, Issued::of_text(token)) {
            (Some(issuer), Some(issued)) => issuer.introspect(issued).await,
            _ => Ok(None),
        }
    }
}

/// Extractor for requests that require role viewer or operator.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The holder's name.
    pub name: String,
    pub role: Role,
}

/// Extractor for requests that require role operator.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The holder's name.
    pub name: String,
    pub credential: Credential,
}

/// The bearer token of a request.
pub fn bearer_of(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

async fn authenticate(request: HttpRequest, needed: Role) -> Result<Principal, Problem> {
    let unauthorized =
        || Problem::new(ProblemKind::Unauthorized, "Send `Authorization: Bearer <token>` with an operator's token.");
    let authenticator = request.app_data::<web::Data<Authenticator>>().ok_or_else(unauthorized)?;
    let token = bearer_of(&request).ok_or_else(unauthorized)?;
    authenticator.wrong.check(&request)?;
    let Some(principal) = authenticator.principal(token).await? else {
        authenticator.wrong.note(&request);
        return Err(unauthorized());
    };
    if principal.role >= needed {
        Ok(principal)
    } else {
        Err(Problem::new(ProblemKind::Forbidden, "This needs a token with role operator."))
    }
}

impl FromRequest for Viewer {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authenticated = authenticate(request.clone(), Role::Viewer);
        Box::pin(async { authenticated.await.map(|Principal { name, role, .. }| Self { name, role }) })
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authenticated = authenticate(request.clone(), Role::Operator);
        Box::pin(async { authenticated.await.map(|Principal { name, credential, .. }| Self { name, credential }) })
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
