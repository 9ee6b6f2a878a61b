//! Seals the provider's tokens, so that a copy of the database opens nothing at the provider.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(crate) struct Seal(LessSafeKey);

impl Seal {
    /// The key is a random text, so its digest is as good as a key.
    pub(crate) fn of(key: &SecretString) -> Result<Self, ring::error::Unspecified> {
        let digest: [u8; 32] = Sha256::digest(key.expose_secret()).into();
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &digest)?)))
    }

    /// Seals a text for one person. The nonce is random: a person's tokens are sealed a few times a minute, which is
    /// far below the number at which random nonces repeat.
    pub(crate) fn close(&self, person: Uuid, mut text: Vec<u8>) -> Result<Vec<u8>, ring::error::Unspecified> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let about = Aad::from(person.into_bytes());
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), about, &mut text)?;
        Ok([&nonce[..], &text].concat())
    }

    /// None if it was sealed for someone else, with another key, or was changed.
    pub(crate) fn open(&self, person: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (nonce, mut text) = (Nonce::assume_unique_for_key(*nonce), text.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(person.into_bytes()), &mut text).ok()?;
        Some(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_the_person_open_it() {
        let [own, other] = ["5a", "a5"].map(|half| Seal::of(&half.repeat(32).into()).expect("a key"));
        let (kim, lee) = (Uuid::now_v7(), Uuid::now_v7());
        let sealed = own.close(kim, b"secret".to_vec()).expect("sealed");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(own.open(kim, &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(own.open(lee, &sealed), None);
        assert_eq!(other.open(kim, &sealed), None);
        for length in [0, 12, sealed.len() - 1] {
            assert_eq!(own.open(kim, &sealed[..length]), None);
        }
        assert_ne!(own.close(kim, b"secret".to_vec()).expect("sealed"), sealed);
    }
}
