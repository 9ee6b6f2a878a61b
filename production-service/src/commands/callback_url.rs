//! Callback URL of one attempt: a capability, therefore secret.

use chrono::{DateTime, Duration, Utc};
use jaego_contracts::callback::{CALLBACK_PATH, CallbackClaims, CallbackSigner, InvalidKey};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::Request;
use crate::settings::Callback;

#[derive(Clone)]
pub struct CallbackUrls {
    signer: CallbackSigner,
    prefix: String,
    valid: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot sign a callback token: {0}")]
pub struct NotSigned(String);

impl CallbackUrls {
    pub fn new(settings: &Callback) -> Result<Self, InvalidKey> {
        Ok(Self {
            signer: CallbackSigner::from_pem(settings.signing_key.expose_secret())?,
            prefix: format!("{}{CALLBACK_PATH}", settings.base_url.trim_end_matches('/')),
            valid: Duration::days(settings.token_valid_days.into()),
        })
    }

    /// Claims of the token of a new attempt of `request`; the token's id is not secret.
    pub fn claims(&self, request: &Request, now: DateTime<Utc>) -> CallbackClaims {
        let (sku, factory) = (request.sku.clone(), request.factory_id.clone());
        CallbackClaims::new(request.id, sku, request.quantity, factory, now, self.valid)
    }

    pub fn sign(&self, claims: &CallbackClaims) -> Result<SecretString, NotSigned> {
        let token = self.signer.sign(claims).map_err(|error| NotSigned(error.to_string()))?;
        Ok(SecretString::from(format!("{}{token}", self.prefix)))
    }
}
