//! The callback URL of one attempt: a capability, so it is a secret.

use chrono::{DateTime, Duration, Utc};
use secrecy::{ExposeSecret, SecretString};
use shared::contracts::callback::{CALLBACK_PATH, CallbackClaims, CallbackSigner, InvalidKey};

use crate::domain::Request;
use crate::settings::Callback;

/// Makes callback URLs.
#[derive(Clone)]
pub struct CallbackUrls {
    signer: CallbackSigner,
    prefix: String,
    valid: Duration,
}

/// One URL and the id of its token.
pub struct CallbackUrl {
    /// The token's id; no secret.
    pub jti: String,
    /// The URL with the token.
    pub url: SecretString,
}

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign a callback token: {0}")]
pub struct NotSigned(String);

impl CallbackUrls {
    /// From the settings.
    pub fn new(settings: &Callback) -> Result<Self, InvalidKey> {
        Ok(Self {
            signer: CallbackSigner::from_pem(settings.signing_key.expose_secret())?,
            prefix: format!("{}{CALLBACK_PATH}", settings.base_url.trim_end_matches('/')),
            valid: Duration::days(settings.token_valid_days.into()),
        })
    }

    /// For a new attempt of `request`.
    pub fn issue(&self, request: &Request, now: DateTime<Utc>) -> Result<CallbackUrl, NotSigned> {
        let (sku, factory) = (request.sku.clone(), request.factory_id.clone());
        let claims = CallbackClaims::new(request.id, sku, request.quantity, factory, now, self.valid);
        let token = self.signer.sign(&claims).map_err(|error| NotSigned(error.to_string()))?;
        Ok(CallbackUrl { jti: claims.jti, url: SecretString::from(format!("{}{token}", self.prefix)) })
    }
}
