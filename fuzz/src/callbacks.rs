//! The Factory's callback: its token, its body, and what is kept of them.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use jaego_contracts::callback::{CallbackClaims, CallbackSigner, CallbackVerifier, TOKEN_LENGTH_MAX, redact};
use jaego_contracts::callback_body::{Secret, decode, text};
use serde_json::Value;

struct Keys {
    verifier: CallbackVerifier,
    /// An authentic token, the same in every run.
    token: String,
    claims: CallbackClaims,
}

const JTI: &str = "c2VsZi1tYWRl";

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = SigningKey::from_bytes(&[7; 32]);
    let signer = CallbackSigner::from_pem(&key.to_pkcs8_pem(LineEnding::LF).expect("a private key")).expect("a signer");
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).expect("a public key");
    let claims: CallbackClaims = serde_json::from_value(serde_json::json!({
        "iss": "jaego", "aud": "cb", "jti": JTI, "rid": "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3", "sku": "CP-502101",
        "qty": 100, "fid": "FF-500293", "iat": 1_700_000_000, "exp": 1_702_592_000,
    }))
    .expect("claims");
    let token = signer.sign(&claims).expect("a token");
    Keys { verifier: CallbackVerifier::from_pems([public.as_str()]).expect("a verifier"), token, claims }
});

/// Stands for the authentic token in an input, which no fuzzer would guess.
const PLACE: &str = "TOKEN";

fn with_token(input: &str) -> String {
    input.replace(PLACE, &KEYS.token)
}

/// Only what our key has signed is believed, to the byte.
pub(crate) fn token(input: &[u8]) {
    let Ok(input) = str::from_utf8(input) else { return };
    let keys = &*KEYS;
    for token in [input.to_owned(), with_token(input)] {
        let verified = keys.verifier.verify(&token);
        assert!(verified.is_err() || token.len() <= TOKEN_LENGTH_MAX, "{token:?}");
        match verified {
            Ok(claims) => assert!(token == keys.token && claims == keys.claims, "{token:?} is believed"),
            Err(error) => assert_ne!(token, keys.token, "the authentic token is refused: {error}"),
        }
    }
}

/// No token is left in a redacted text, and redacting it again changes nothing.
pub(crate) fn redaction(input: &[u8]) {
    let text = with_token(&String::from_utf8_lossy(input));
    let redacted = redact(&text);
    assert_no_token(&redacted);
    assert_eq!(redact(&redacted), redacted, "{text:?}");
    if !text.contains("eyJ") && !text.contains("callbacks") {
        assert_eq!(redacted, text, "there was nothing to redact");
    }
}

/// Of a callback, everything is kept but the token, and what is kept can be stored.
pub(crate) fn body(input: &[u8]) {
    let keys = &*KEYS;
    let secret = Secret::new(&keys.token, JTI);
    let body = replace(input, PLACE.as_bytes(), keys.token.as_bytes());
    let Some(members) = decode(&body) else {
        if let Some(kept) = secret.hide_in_bytes(&body) {
            assert_no_token(&String::from_utf8_lossy(&kept));
            let is_changed = kept != body;
            assert!(!is_changed || String::from_utf8_lossy(&kept).contains("<callback:"), "{input:?}");
        }
        return;
    };
    let kept = secret.hide_in_object(members);
    for name in ["MessageAttributeProductId", "MessageAttributeProductCnt", "DeliveryId"] {
        if let Some(text) = text(&kept, name) {
            assert!(!text.contains('\0') && !text.trim().is_empty(), "{name}: {text:?}");
        }
    }
    let kept = Value::Object(kept);
    let texts = texts_of(&kept);
    for text in &texts {
        assert_no_token(text);
    }
    let again = decode(kept.to_string().as_bytes()).expect("what is kept is an object");
    assert_eq!(texts_of(&Value::Object(secret.hide_in_object(again))), texts, "{input:?}");
}

/// A token, or one without its signature, is a secret: the signature could be guessed no sooner, but the claims name a
/// product and a quantity.
fn assert_no_token(text: &str) {
    let unsigned = KEYS.token.rsplit_once('.').map_or("", |(unsigned, _)| unsigned);
    assert!(!text.contains(unsigned), "{text:?}");
}

/// All names and texts in a value.
fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts_of).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| [vec![name.clone()], texts_of(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(place) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..place]);
        replaced.extend_from_slice(to);
        rest = &rest[place + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}
