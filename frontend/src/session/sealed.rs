//! Text that only this program can write and read: AES-256-GCM with a random nonce, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

/// Nonces are random, so one key may seal some billions of texts. A session is one text, and sign-ins are rare.
pub struct Sealer {
    key: LessSafeKey,
    /// Authenticated with each text, so that a text sealed for one purpose cannot be opened for another.
    purpose: &'static str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: at least 64 bytes in hexadecimal or base64")]
pub struct UnusableKey;

impl Sealer {
    /// Derives the key from a secret of any length.
    pub fn new(secret: &[u8], purpose: &'static str) -> Result<Self, UnusableKey> {
        let expanded = Salt::new(HKDF_SHA256, b"jaego session").extract(secret);
        let mut bytes = [0; 32];
        let derived = expanded.expand(&[b"aes-256-gcm"], HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes));
        derived.map_err(|_| UnusableKey)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| UnusableKey)?;
        Ok(Self { key: LessSafeKey::new(key), purpose })
    }

    /// Returns None only if the text is too long for the cipher.
    pub fn seal(&self, mut text: Vec<u8>) -> Option<String> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let aad = Aad::from(self.purpose);
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &text].concat()))
    }

    /// Returns None if the text was not sealed with this key for this purpose.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(self.purpose), &mut text).ok()?;
        Some(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_purpose_open_it() {
        let sealer = |secret: u8, purpose| Sealer::new(&[secret; 64], purpose).expect("a key");
        let sealed = sealer(1, "a").seal(b"text".to_vec()).expect("sealed");
        assert_eq!(sealer(1, "a").open(&sealed).as_deref(), Some(b"text".as_slice()));
        assert_ne!(sealer(1, "a").seal(b"text".to_vec()), Some(sealed.clone()));
        assert!(sealer(2, "a").open(&sealed).is_none() && sealer(1, "b").open(&sealed).is_none());
        for bad in ["", "?", "AAAA", &sealed[1..]] {
            assert!(sealer(1, "a").open(bad).is_none(), "{bad:?}");
        }
    }
}
