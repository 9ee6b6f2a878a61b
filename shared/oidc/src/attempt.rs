//! A sign-in under way.
//!
//! The browser that begins it keeps one random secret; state, nonce and PKCE verifier are derived from it. So nothing
//! is stored on the server, which strangers could fill, and any replica can finish the sign-in. Only the browser that
//! has the secret can finish it. The provider redeems a code once, and a secret begins one session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use subtle::ConstantTimeEq as _;

const BYTES: usize = 32;

/// The secret of one sign-in.
#[derive(Clone)]
pub struct Attempt([u8; BYTES]);

impl Attempt {
    /// Makes one from random bytes.
    pub const fn new(random: [u8; BYTES]) -> Self {
        Self(random)
    }

    /// The secret as text, which its browser keeps.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// None if the text is no such secret.
    pub fn of_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// A digest by which the sign-in is recognized when it is finished twice.
    pub fn digest(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        bytes
    }

    pub(crate) fn state(&self) -> String {
        self.derived("state")
    }

    pub(crate) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    pub(crate) fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// The PKCE challenge of method S256.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier().as_bytes()))
    }

    /// True if the answer of the provider belongs to this sign-in.
    pub fn has_state(&self, state: &str) -> bool {
        is_equal(&self.state(), state)
    }

    fn derived(&self, purpose: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), purpose.as_bytes()))
    }
}

/// Compares two secrets in constant time.
pub(crate) fn is_equal(own: &str, given: &str) -> bool {
    own.as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_differs_and_belongs_to_one_secret() {
        let (own, other) = (Attempt::new([1; 32]), Attempt::new([2; 32]));
        let derived = [own.state(), own.nonce(), own.verifier(), own.text(), other.state()];
        for (index, one) in derived.iter().enumerate() {
            assert!(one.len() == 43 && !derived[..index].contains(one), "{derived:?}");
        }
        let read = Attempt::of_text(&own.text()).expect("its text");
        assert!(read.has_state(&own.state()) && read.digest() == own.digest());
        assert!(!other.has_state(&own.state()) && !other.has_state(""));
        for bad in ["", "AAAA", &format!("{}A", own.text())] {
            assert!(Attempt::of_text(bad).is_none(), "{bad}");
        }
    }
}
