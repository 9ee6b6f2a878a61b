//! Ed25519 key pairs for callback tokens.

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};

use crate::error::{Error, Result};

/// A key pair in PEM form.
pub struct CallbackKeys {
    /// PKCS#8, for production-service only.
    pub private_pem: String,
    /// SPKI, for restock-service.
    pub public_pem: String,
}

impl CallbackKeys {
    pub fn generate() -> Result<Self> {
        let key = SigningKey::from_bytes(&rand::random());
        let unwritable = |error: &dyn std::fmt::Display| Error::Invalid(format!("cannot write a key: {error}"));
        let private_pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| unwritable(&error))?.to_string();
        let public_pem = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|error| unwritable(&error))?;
        Ok(Self { private_pem, public_pem })
    }
}
