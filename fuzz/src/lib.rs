//! Properties of the functions that read what comes from outside. Each panics if its property is violated: the fuzz
//! targets in `targets/` feed them inputs that cover new code, and `tests/corpus.rs` the inputs in `corpus/`.
#![expect(clippy::expect_used, clippy::panic, reason = "a violated property must stop the fuzzer")]

mod addresses;
mod callbacks;
mod credentials;
mod names;

/// Checks one property for one input.
pub type Property = fn(&[u8]);

/// All properties by the names of their targets and corpora.
pub const ALL: [(&str, Property); 8] = [
    ("callback_body", callbacks::body),
    ("callback_token", callbacks::token),
    ("client_address", addresses::client_address),
    ("cursor", names::cursor),
    ("issued_credential", credentials::issued),
    ("redaction", callbacks::redaction),
    ("session_cookie", credentials::cookie),
    ("sku", names::sku),
];

/// Checks the property of this name.
///
/// # Panics
/// If it is violated, or does not exist.
pub fn check(name: &str, input: &[u8]) {
    let found = ALL.iter().find(|(known, _)| *known == name);
    let (_, property) = found.unwrap_or_else(|| panic!("there is no property {name}"));
    property(input);
}
