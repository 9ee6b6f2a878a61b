//! Credentials of operators, and the cookie with that of a session.

use std::sync::LazyLock;

use jaego_contracts::issued::{Issued, Kind};
use regex::Regex;

/// 32 bytes in base64 without padding: the last of 43 characters has four bits.
static ISSUED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\Ajaego_(?:pat|ses)_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\z").expect("a pattern"));

/// Stands for an issued credential in an input, which no fuzzer would guess.
const PLACE: &str = "SESSION";

/// Exactly the texts that can have been issued are looked up, and no two of them are taken for the same.
///
/// The input is a bearer token.
pub(crate) fn issued(input: &[u8]) {
    let Ok(input) = str::from_utf8(input) else { return };
    let text = input.replace(PLACE, &Issued::text(Kind::Session, [7; 32]));
    let issued = Issued::of_text(&text);
    assert_eq!(issued.is_some(), ISSUED.is_match(&text), "{text:?}");
    if let Some(issued) = issued {
        assert!(text.starts_with(issued.kind.prefix()), "{text:?}");
        let other = Issued::of_text(&Issued::text(issued.kind, [8; 32])).expect("issued");
        assert_eq!(other.digest == issued.digest, Issued::text(issued.kind, [8; 32]) == text, "{text:?}");
        let sent = serde_json::to_string(&issued).expect("JSON");
        assert!(!sent.contains(&text), "{text:?} is sent to another service");
        assert_eq!(serde_json::from_str::<Issued>(&sent).expect("what was sent"), issued);
    }
}

const NAMES: [&str; 2] = ["__Host-jaego-session", "jaego-session"];

/// A cookie counts under its exact name, and only the first one of that name.
///
/// The lines of the input are values of the header `Cookie`.
pub(crate) fn cookie(input: &[u8]) {
    let Ok(input) = str::from_utf8(input) else { return };
    let own = Issued::text(Kind::Session, [7; 32]);
    let input = input.replace(PLACE, &own);
    let headers: Vec<&str> = input.split('\n').collect();
    for name in NAMES {
        let pair = format!("{name}={own}");
        let found = Issued::in_cookies(headers.iter().copied(), name).map(|(text, _)| text);
        if let Some(text) = found {
            assert!(ISSUED.is_match(text), "{input:?}");
            assert!(input.contains(&format!("{name}={text}")), "{input:?}");
        }
        let first = [pair.as_str()].into_iter().chain(headers.iter().copied());
        assert_eq!(Issued::in_cookies(first, name).map(|(text, _)| text), Some(own.as_str()), "{input:?}");
        // Behind other cookies it counts as well, unless one of these has its name.
        let last = headers.iter().copied().chain([pair.as_str()]);
        let with_last = Issued::in_cookies(last, name).map(|(text, _)| text);
        let expected = if is_named(&headers, name) { found } else { Some(own.as_str()) };
        assert_eq!(with_last, expected, "{input:?}");
    }
}

/// Returns true if one of the cookies has this name, with any value.
fn is_named(headers: &[&str], name: &str) -> bool {
    let mut cookies = headers.iter().flat_map(|header| header.split(';'));
    cookies.any(|cookie| cookie.trim().strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
}
