//! The callback token: a capability that production-service signs, the Factory carries and
//! restock-service checks. A JWT (RFC 7519) with Ed25519 (RFC 8037), at most 512 characters.
//!
//! Names are short on purpose: with the longest SKU and factory id the token still fits.
//!
//! Both ends are ours and know one algorithm, so a header cannot choose another. The JWT libraries bring every
//! algorithm with them, among them an RSA with a known timing weakness (RUSTSEC-2023-0071).

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{FactoryId, Quantity, RequestId, Sku};

/// Path of the callback endpoint, up to the token.
pub const CALLBACK_PATH: &str = "/callbacks/v1/restocks/";
/// Longest token, in characters.
pub const TOKEN_LENGTH_MAX: usize = 512;

const ISSUER: &str = "jaego";
const AUDIENCE: &str = "cb";
const ALGORITHM: &str = "EdDSA";

/// Claims of a callback token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackClaims {
    iss: String,
    aud: String,
    /// Token id: each production attempt has its own.
    pub jti: String,
    /// The production request.
    pub rid: RequestId,
    /// The requested product.
    pub sku: Sku,
    /// Requested units.
    pub qty: Quantity,
    /// The factory that the request was sent to.
    pub fid: FactoryId,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Expires at, seconds since 1970.
    pub exp: i64,
}

impl CallbackClaims {
    /// Creates the claims for a new attempt; the token expires `valid` after `issued_at`.
    pub fn new(
        rid: RequestId,
        sku: Sku,
        qty: Quantity,
        fid: FactoryId,
        issued_at: DateTime<Utc>,
        valid: chrono::Duration,
    ) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            jti: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 9]>()),
            rid,
            sku,
            qty,
            fid,
            iat: issued_at.timestamp(),
            exp: (issued_at + valid).timestamp(),
        }
    }

    /// Returns true from the second of `exp` on.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() >= self.exp
    }
}

/// The text is not an Ed25519 key in PEM form.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key in PEM form (openssl genpkey -algorithm ed25519)")]
pub struct InvalidKey;

/// Signs tokens; only production-service holds one.
#[derive(Clone)]
pub struct CallbackSigner {
    key: SigningKey,
    kid: String,
}

impl CallbackSigner {
    /// Reads a PKCS#8 private key in PEM form.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| InvalidKey)?;
        Ok(Self { kid: key_id(&key.verifying_key()), key })
    }

    /// Signs `claims` and returns the token.
    pub fn sign(&self, claims: &CallbackClaims) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct JoseHeader<'a> {
            alg: &'static str,
            kid: &'a str,
        }
        let part = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
        let header = part(serde_json::to_vec(&JoseHeader { alg: ALGORITHM, kid: &self.kid })?);
        let message = format!("{header}.{}", part(serde_json::to_vec(claims)?));
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Verifies tokens with public keys only. It accepts several keys at once, so that keys can be rotated without
/// rejecting tokens in use.
pub struct CallbackVerifier {
    keys: HashMap<String, VerifyingKey>,
}

/// Reason why a token was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not a JWT, too long, or without the claims.
    #[error("malformed")]
    Malformed,
    /// Signed by a key that is not, or no longer, one of ours.
    #[error("unknown key")]
    UnknownKey,
    /// The algorithm, signature, issuer or audience is wrong.
    #[error("forged")]
    Forged,
}

impl CallbackVerifier {
    /// Reads public keys in PEM form.
    pub fn from_pems<'a>(pems: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidKey> {
        let parse = |pem: &str| VerifyingKey::from_public_key_pem(pem.trim()).map(|key| (key_id(&key), key));
        Ok(Self { keys: pems.into_iter().map(parse).collect::<Result<_, _>>().map_err(|_| InvalidKey)? })
    }

    /// Returns the claims of an authentic token. It may have expired: its delivery is then kept for an operator.
    pub fn verify(&self, token: &str) -> Result<CallbackClaims, InvalidToken> {
        #[derive(Deserialize)]
        struct JoseHeader {
            alg: String,
            kid: Option<String>,
            /// Extensions that a reader must understand (RFC 7515, section 4.1.11). We understand none.
            crit: Option<serde::de::IgnoredAny>,
        }
        if token.len() > TOKEN_LENGTH_MAX {
            return Err(InvalidToken::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidToken::Malformed)?;
        let header: JoseHeader = read_part(header)?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return Err(InvalidToken::Forged);
        }
        let key = header.kid.and_then(|kid| self.keys.get(&kid)).ok_or(InvalidToken::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidToken::Malformed)?;
        let signature = Signature::from_slice(&signature).map_err(|_| InvalidToken::Forged)?;
        key.verify_strict(message.as_bytes(), &signature).map_err(|_| InvalidToken::Forged)?;
        let claims: CallbackClaims = read_part(claims)?;
        if claims.iss == ISSUER && claims.aud == AUDIENCE { Ok(claims) } else { Err(InvalidToken::Forged) }
    }
}

/// Reads one part of a token: JSON in base64.
fn read_part<T: DeserializeOwned>(part: &str) -> Result<T, InvalidToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| InvalidToken::Malformed)
}

/// Returns the `kid` of the tokens that this public key (in PEM form) verifies.
pub fn public_key_id(pem: &str) -> Result<String, InvalidKey> {
    VerifyingKey::from_public_key_pem(pem.trim()).map(|key| key_id(&key)).map_err(|_| InvalidKey)
}

/// Short name of a key: the first three bytes of the SHA-256 digest of its 32 bytes.
fn key_id(key: &VerifyingKey) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(key.as_bytes())[..3])
}

#[expect(clippy::unwrap_used, reason = "constant patterns; a test compiles them")]
static CALLBACK_URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:[A-Za-z][A-Za-z0-9+.-]*:)?[^ \t\r\n"'<>,;()]*callbacks(?:\\?/|%2[Ff])+v1(?:\\?/|%2[Ff])+restocks(?:\\?/|%2[Ff])+((?:[A-Za-z0-9_.\-]|%[0-9A-Fa-f]{2})*)"#).unwrap()
});
#[expect(clippy::unwrap_used, reason = "constant patterns; a test compiles them")]
static BARE_TOKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"eyJ[A-Za-z0-9_\-]{8,}(?:\.|%2[Ee])(?:[A-Za-z0-9_.\-]|%2[Ee])*").unwrap());

/// Replaces every callback URL, and every token on its own, by `<callback:jti>`. A truncated token is replaced as
/// well.
pub fn redact(text: &str) -> String {
    let urls = CALLBACK_URL.replace_all(text, |found: &regex::Captures<'_>| placeholder(&found[1]));
    BARE_TOKEN.replace_all(&urls, |found: &regex::Captures<'_>| placeholder(&found[0])).into_owned()
}

fn placeholder(token: &str) -> String {
    #[derive(Deserialize)]
    struct OnlyJti {
        jti: String,
    }
    let token = percent_decode_str(token).decode_utf8_lossy();
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let jti = payload.and_then(|bytes| serde_json::from_slice::<OnlyJti>(&bytes).ok()).map(|claims| claims.jti);
    let shown = jti
        .filter(|jti| jti.len() <= 64 && jti.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    format!("<callback:{}>", shown.as_deref().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};
    use serde_json::json;

    fn pair() -> (CallbackSigner, String) {
        let key = SigningKey::from_bytes(&rand::random());
        let private = key.to_pkcs8_pem(LineEnding::LF).expect("pem");
        let public = key.verifying_key().to_public_key_pem(LineEnding::LF).expect("pem");
        (CallbackSigner::from_pem(&private).expect("signer"), public)
    }

    fn claims(code_length: usize) -> CallbackClaims {
        let sku = "S".repeat(code_length).parse().expect("sku");
        let factory = "F".repeat(code_length).parse().expect("factory");
        let quantity = Quantity::try_from(1_000_000).expect("quantity");
        CallbackClaims::new(RequestId::generate(), sku, quantity, factory, Utc::now(), chrono::Duration::days(30))
    }

    #[test]
    fn the_longest_token_fits_and_is_read_back() {
        let (signer, public) = pair();
        let claims = claims(64);
        let token = signer.sign(&claims).expect("signed");
        assert!(token.len() <= TOKEN_LENGTH_MAX, "{}", token.len());
        let verifier = CallbackVerifier::from_pems([public.as_str()]).expect("verifier");
        assert_eq!(verifier.verify(&token), Ok(claims));
    }

    #[test]
    fn keys_rotate_and_strangers_are_refused() {
        let (old, old_public) = pair();
        let (new, new_public) = pair();
        let (stranger, _) = pair();
        assert_eq!(public_key_id(&old_public).ok(), Some(old.kid.clone()));
        assert!(public_key_id("no key").is_err());
        let verifier = CallbackVerifier::from_pems([old_public.as_str(), new_public.as_str()]).expect("verifier");
        for signer in [&old, &new] {
            assert!(verifier.verify(&signer.sign(&claims(9)).expect("signed")).is_ok());
        }
        let foreign = stranger.sign(&claims(9)).expect("signed");
        assert_eq!(verifier.verify(&foreign), Err(InvalidToken::UnknownKey));
        let mut impostor = stranger.clone();
        impostor.kid.clone_from(&new.kid);
        assert_eq!(verifier.verify(&impostor.sign(&claims(9)).expect("signed")), Err(InvalidToken::Forged));
    }

    // Control: signed-token.
    #[test]
    fn another_algorithm_or_a_changed_claim_is_forged() {
        let (signer, public) = pair();
        let verifier = CallbackVerifier::from_pems([public.as_str()]).expect("verifier");
        let token = signer.sign(&claims(9)).expect("signed");
        let parts: Vec<&str> = token.split('.').collect();
        let mut other = claims(9);
        other.jti = "another".to_owned();
        let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).expect("json"));
        assert_eq!(verifier.verify(&[parts[0], &other, parts[2]].join(".")), Err(InvalidToken::Forged));
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","kid":"x"}"#);
        assert_eq!(verifier.verify(&[&none, parts[1], parts[2]].join(".")), Err(InvalidToken::Forged));
        assert_eq!(verifier.verify("not-a-token"), Err(InvalidToken::Malformed));
        assert_eq!(verifier.verify(&"x".repeat(600)), Err(InvalidToken::Malformed));
    }

    #[test]
    fn only_one_algorithm_issuer_and_audience_are_believed() {
        let (signer, pem) = pair();
        let verifier = CallbackVerifier::from_pems([pem.as_str()]).expect("verifier");
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let ours = json!({"alg": ALGORITHM, "kid": signer.kid});
        let right = serde_json::to_value(claims(20)).expect("claims");
        let message =
            |header: &serde_json::Value, claims: &serde_json::Value| format!("{}.{}", part(header), part(claims));
        let sign_with = |header: &serde_json::Value, claims: &serde_json::Value| {
            let message = message(header, claims);
            let signature = signer.key.sign(message.as_bytes()).to_bytes();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let sign = |claims: &serde_json::Value| sign_with(&ours, claims);
        assert!(verifier.verify(&sign(&right)).is_ok());
        let extended = json!({"alg": ALGORITHM, "kid": signer.kid, "crit": ["b64"], "b64": false});
        assert_eq!(verifier.verify(&sign_with(&extended, &right)), Err(InvalidToken::Forged), "an extension");
        for more in [format!("{}.", sign(&right)), format!(".{}", sign(&right)), sign(&right).replace('.', "..")] {
            assert!(verifier.verify(&more).is_err(), "{more}");
        }
        for (claim, value) in [("iss", json!("somebody")), ("aud", json!("somewhere"))] {
            let mut other = right.clone();
            other[claim] = value;
            assert_eq!(verifier.verify(&sign(&other)).err(), Some(InvalidToken::Forged), "{claim}");
        }
        for claim in ["iss", "aud", "exp", "rid"] {
            let mut without = right.clone();
            without.as_object_mut().expect("claims").remove(claim);
            assert!(verifier.verify(&sign(&without)).is_err(), "{claim}");
        }
        let hmac_header = json!({"alg": "HS256", "kid": signer.kid});
        let by_public_key = ring::hmac::sign(
            &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, pem.as_bytes()),
            message(&hmac_header, &right).as_bytes(),
        );
        let unsigned = json!({"alg": "none", "kid": signer.kid});
        for (header, signature) in [(hmac_header, URL_SAFE_NO_PAD.encode(by_public_key)), (unsigned, String::new())] {
            let token = format!("{}.{signature}", message(&header, &right));
            assert_eq!(verifier.verify(&token), Err(InvalidToken::Forged), "{header}");
        }
    }

    #[test]
    fn no_form_of_a_token_survives_redaction() {
        let (signer, _) = pair();
        let claims = claims(9);
        let token = signer.sign(&claims).expect("signed");
        let shown = format!("<callback:{}>", claims.jti);
        let url = format!("https://restock.example:8443{CALLBACK_PATH}{token}");
        let escaped = url.replace('/', "\\/");
        let encoded = token.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        for text in [
            url.clone(),
            escaped,
            format!("\"{url}\""),
            token.clone(),
            format!("x {CALLBACK_PATH}{token} y"),
            url.replace('.', "%2E"),
            token.replace('.', "%2e"),
            url.replace("/v1/", "//v1%2F"),
            url.replace(&token, &encoded),
        ] {
            let redacted = redact(&text);
            assert!(redacted.contains(&shown), "{redacted}");
            assert!(!redacted.contains(&token[20..40]) && !redacted.contains("restock.example"), "{redacted}");
            assert!(!redacted.contains(&token[token.len() - 20..]) && !redacted.contains('%'), "{redacted}");
        }
        let cut = redact(&url[..url.len() - 120]);
        assert!(!cut.contains(&token[..60]), "{cut}");
    }
}
