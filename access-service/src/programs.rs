//! The credentials of Jaego's own programs.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Credentials that are accepted; several, so that they can be replaced without an interruption.
#[derive(Clone)]
pub(crate) struct Programs(Vec<[u8; 32]>);

impl Programs {
    pub(crate) fn of(credentials: &[SecretString]) -> Self {
        Self(credentials.iter().map(|credential| Sha256::digest(credential.expose_secret()).into()).collect())
    }

    /// Compares with each of them, each in constant time.
    pub(crate) fn know(&self, credential: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(credential).into();
        self.0.iter().fold(false, |found, known| found | bool::from(known.ct_eq(&digest)))
    }
}
