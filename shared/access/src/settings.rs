//! How a program reaches access-service.

use jaego_settings::require;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// Minimum length of a credential.
pub const CREDENTIAL_BYTES_MIN: usize = 32;

/// The section `access`.
#[derive(Debug, Clone, Deserialize)]
pub struct Access {
    /// Listener `api` of access-service; empty: only configured tokens are valid.
    pub url: String,
    /// Proves to access-service that a program of this installation asks.
    pub credential: SecretString,
    /// Maximum wait for an answer, milliseconds.
    pub timeout_ms: u64,
}

impl Access {
    /// Adds a sentence for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(
            self.url.is_empty() || is_address(&self.url),
            "access.url: must be empty or an http(s) URL without a query",
        );
        require(
            self.url.is_empty() || is_credential(self.credential.expose_secret()),
            "access.credential: must have at least 32 visible ASCII characters (openssl rand -hex 32)",
        );
        // With the age of a remembered answer, it stays below the 5 s within which a revoked token must be refused.
        require((100..=1900).contains(&self.timeout_ms), "access.timeout_ms: must be 100 to 1900");
    }
}

/// True for a text that may be a credential of a program.
pub fn is_credential(text: &str) -> bool {
    text.len() >= CREDENTIAL_BYTES_MIN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    })
}
