//! The client of an OpenID Connect provider: sign-in by the authorization code flow with PKCE, and later questions
//! about a person who has signed in.
//!
//! | module | holds |
//! | --- | --- |
//! | [`attempt`] | a sign-in under way: one secret, from which state, nonce and PKCE verifier are derived |
//! | [`provider`] | requests to the provider: discovery, exchange of a code, refresh, userinfo |
//! | `exchange` | one bounded HTTP exchange |
//! | `keys` | the provider's keys, which may change at any time |
//! | `id_token` | the checks of an ID token |
//! | `verify` | signatures, verified by ring |

#![warn(missing_docs)]

pub mod attempt;
mod exchange;
mod id_token;
mod keys;
pub mod provider;
mod verify;

use std::fmt::Display;

/// Claims of a person.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// Why the provider gave nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not answer, or not as a provider must. That says nothing about the person.
    #[error("the identity provider gave no usable answer: {0}")]
    Unavailable(String),
    /// The person, the code or a token is not accepted, by the provider or by us.
    #[error("refused: {0}")]
    Refused(String),
}

impl Error {
    fn unavailable(cause: impl Display) -> Self {
        Self::Unavailable(cause.to_string())
    }

    fn refused(cause: impl Display) -> Self {
        Self::Refused(cause.to_string())
    }
}
