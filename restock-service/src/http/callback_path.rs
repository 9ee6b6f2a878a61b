//! Recognizes the callback's path in the forms that factories and proxies give it.
//!
//! The signature proves the token, so it does not matter where in the path it was found.

use std::borrow::Cow;

use jaego_contracts::callback::CALLBACK_PATH;
use percent_encoding::percent_decode_str;

/// Longest path that is searched, in bytes: a token with each character encoded twice fits.
const LENGTH_MAX: usize = 4096;
/// Maximum times that a path is decoded.
const DECODINGS_MAX: usize = 2;

/// Returns the usual path of a callback whose path has another form: encoded characters, extra slashes, blanks or
/// punctuation around the token, a prefix, a suffix. None for a path that is usual already or is not a callback's.
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
    let words: Vec<&str> = decoded.split(|c| !is_of_token(c)).filter(|word| !word.is_empty()).collect();
    let wanted = || CALLBACK_PATH.split('/').filter(|word| !word.is_empty());
    let found = words.windows(wanted().count() + 1).find_map(|words| {
        let (token, prefix) = words.split_last()?;
        prefix.iter().zip(wanted()).all(|(word, wanted)| word.eq_ignore_ascii_case(wanted)).then_some(token)
    })?;
    // A dot at either end belongs to the text around the token: no token begins or ends with one.
    let usual = format!("{CALLBACK_PATH}{}", found.trim_matches('.'));
    (usual != path).then_some(usual)
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
