//! Credentials that access-service issues: 32 random bytes in base64 behind a prefix. The prefix lets secret scanners
//! find a leaked one, and keeps other texts from being looked up at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const RANDOM_BYTES: usize = 32;

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A personal access token.
    Token,
    /// A session of the console or of `jaegoctl login`.
    Session,
}

impl Kind {
    /// Start of the text of each credential of this kind.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Token => "jaego_pat_",
            Self::Session => "jaego_ses_",
        }
    }
}

/// A credential as the services know it. The credential itself is neither stored nor sent to another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Issued {
    /// The kind, which the prefix tells.
    pub kind: Kind,
    /// SHA-256 of the whole text.
    #[serde(with = "hex::serde")]
    pub digest: [u8; 32],
}

impl Issued {
    /// None if the text cannot have been issued.
    pub fn of_text(text: &str) -> Option<Self> {
        let prefixed = |kind: Kind| Some((kind, text.strip_prefix(kind.prefix())?));
        let (kind, random) = [Kind::Token, Kind::Session].into_iter().find_map(prefixed)?;
        let is_whole = URL_SAFE_NO_PAD.decode(random).is_ok_and(|bytes| bytes.len() == RANDOM_BYTES);
        is_whole.then(|| Self { kind, digest: Sha256::digest(text.as_bytes()).into() })
    }

    /// The credential in the first cookie of this name, with its text. `headers` are the values of `Cookie`.
    pub fn in_cookies<'a>(headers: impl IntoIterator<Item = &'a str>, name: &str) -> Option<(&'a str, Self)> {
        let pairs = headers.into_iter().flat_map(|header| header.split(';'));
        let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
        let (_, text) = named.find(|(other, _)| *other == name)?;
        Some((text, Self::of_text(text)?))
    }

    /// Makes the text of a credential from random bytes.
    pub fn text(kind: Kind, random: [u8; RANDOM_BYTES]) -> String {
        format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_credentials_are_recognized() {
        let text = Issued::text(Kind::Session, [7; 32]);
        let issued = Issued::of_text(&text).expect("recognized");
        assert_eq!(issued.kind, Kind::Session);
        assert_ne!(Some(issued), Issued::of_text(&Issued::text(Kind::Token, [7; 32])));
        for bad in ["", "jaego_ses_", "jaego_pat_AAAA", &text[1..], &format!("{text}A"), &format!("{text}=")] {
            assert_eq!(Issued::of_text(bad), None, "{bad}");
        }
        let sent = serde_json::to_string(&issued).expect("JSON");
        assert!(!sent.contains(&text) && serde_json::from_str::<Issued>(&sent).is_ok_and(|read| read == issued));
    }
}
