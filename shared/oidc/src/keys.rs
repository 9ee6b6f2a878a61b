//! The keys with which the provider signs ID tokens.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

/// Age from which the keys are fetched again, so that a key that was taken back is not accepted for long.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Minimum time between two fetches because of an unknown key: such a token may be forged.
const FETCH_PAUSE: Duration = Duration::from_secs(10);

/// The keys as they were fetched.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    keys: Vec<Jwk>,
    fetched_at: Instant,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a key set. Keys of kinds that are not known here are left out.
    pub(crate) fn read(text: &[u8]) -> serde_json::Result<Self> {
        let KeySet { keys } = serde_json::from_slice(text)?;
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(Self { keys, fetched_at: Instant::now() })
    }

    pub(crate) fn is_old(&self) -> bool {
        self.fetched_at.elapsed() >= AGE_MAX
    }

    pub(crate) fn may_be_fetched_again(&self) -> bool {
        self.fetched_at.elapsed() >= FETCH_PAUSE
    }

    /// The key that a token names. A token that names none is accepted only if one key alone comes into question.
    pub(crate) fn find(&self, header: &Header) -> Option<DecodingKey> {
        let mut found = self.keys.iter().filter(|key| {
            let is_named = header.kid.is_none() || key.common.key_id == header.kid;
            is_named && is_for(key, header.alg)
        });
        let key = found.next().filter(|_| header.kid.is_some() || found.next().is_none())?;
        DecodingKey::from_jwk(key).ok()
    }
}

/// True if tokens of this algorithm may be signed with the key. Algorithms with a shared secret (HS256) are not
/// accepted: whoever knows the client's secret could forge tokens.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let of_kind = match (&key.algorithm, algorithm) {
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        ) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let signs = key.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let is_its_own = key.common.key_algorithm.is_none_or(|own| own.to_string() == format!("{algorithm:?}"));
    of_kind && signs && is_its_own
}
