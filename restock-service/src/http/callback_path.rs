//! Recognizes the callback's path in the forms that factories and proxies give it.
//!
//! The signature proves the token, so it does not matter where in the path it was found.

use std::borrow::Cow;

use jaego_contracts::callback::CALLBACK_PATH;
use percent_encoding::percent_decode_str;

/// Longest path and query that are searched, in bytes: a token with each character encoded twice fits.
const LENGTH_MAX: usize = 4096;
/// Maximum times that a path is decoded.
const DECODINGS_MAX: usize = 4;

/// Returns the usual path of a callback whose path and query have another form: encoded characters, extra slashes, dots,
/// blanks or punctuation around the token, a prefix, a suffix. None for a path that is usual already or is not a
/// callback's.
pub(super) fn usual(path: &str) -> Option<String> {
    if path.len() > LENGTH_MAX {
        return None;
    }
    let mut decoded = Cow::Borrowed(path);
    for _ in 0..DECODINGS_MAX {
        if decoded.contains('%') {
            decoded = Cow::Owned(percent_decode_str(&decoded).decode_utf8_lossy().into_owned());
        }
    }
    // A dot at either end belongs to the text around the token: no token begins or ends with one.
    let words = decoded.split(|c| !is_of_token(c)).map(|word| word.trim_matches('.'));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let wanted: Vec<&str> = CALLBACK_PATH.split('/').filter(|word| !word.is_empty()).collect();
    let is_wanted = |words: &[&str]| words.iter().zip(&wanted).all(|(word, wanted)| word.eq_ignore_ascii_case(wanted));
    let place = words.windows(wanted.len()).position(is_wanted)?;
    let rest = words.get(place + wanted.len()..)?;
    let found = rest.iter().find(|word| has_form_of_token(word)).or(rest.first())?;
    let usual = format!("{CALLBACK_PATH}{found}");
    (usual != path).then_some(usual)
}

/// A token has three parts, the first of which is a JSON object in base64.
fn has_form_of_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.split('.').count() == 3
}

fn is_of_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_in_every_form_and_other_paths_are_left_alone() {
        let found = [
            "//callbacks/v1/restocks/a.b-c_d",
            "/callbacks/v1/restocks/%2561.b-c_d%20",
            "/x/callbacks/v1/restocks/a.b-c_d./y",
        ];
        for path in found {
            assert_eq!(usual(path).as_deref(), Some("/callbacks/v1/restocks/a.b-c_d"), "{path}");
        }
        let tokens = [
            "/callbacks/v1/restocks/./eyJa.b.c",
            "/callbacks/v1/./restocks/eyJa.b.c?",
            "/callbacks/v1/restocks?token=eyJa.b.c",
            "/callbacks/v1/restocks/?token=eyJa.b.c&n=1",
            "/callbacks/v1/restocks/token=eyJa.b.c",
            "/callbacks/v1/restocks/callbacks/v1/restocks/eyJa.b.c",
            "/callbacks/v1/restocks/https%3A%2F%2Fx%2Fcallbacks/v1/restocks/eyJa.b.c",
            "/callbacks/v1/restocks%25252FeyJa.b.c",
            "/callbacks/v1/restocks/eyJa.b.c?access_token=eyJd.e.f",
        ];
        for path in tokens {
            assert_eq!(usual(path).as_deref().unwrap_or(path), "/callbacks/v1/restocks/eyJa.b.c", "{path}");
        }
        let others = [
            "/callbacks/v1/restocks/a.b-c_d",
            "/callbacks/v1/restocks/",
            "/callbacks/v1/restocks/%20",
            "/callbacks/v2/restocks/a",
            "/api/v1/receipts",
            "/",
            "",
        ];
        for path in others {
            assert_eq!(usual(path), None, "{path}");
        }
        assert_eq!(usual(&format!("/{}/callbacks/v1/restocks/a", "x".repeat(LENGTH_MAX))), None);
    }
}
