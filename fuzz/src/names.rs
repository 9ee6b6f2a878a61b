//! SKUs, and cursors of lists.

use std::sync::LazyLock;

use jaego_contracts::cursor;
use jaego_contracts::ids::{FactoryId, Sku};
use regex::Regex;

/// The pattern of the contract, for which the OpenAPI documents have it, too.
static CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\z").expect("a pattern"));

/// Exactly the texts of the contract's pattern are SKUs and factory ids, and they are kept as they are.
pub(crate) fn sku(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let parsed = text.parse::<Sku>();
    assert_eq!(parsed.is_ok(), CODE.is_match(text), "{text:?}");
    assert_eq!(text.parse::<FactoryId>().is_ok(), parsed.is_ok(), "{text:?}");
    let json = serde_json::to_vec(text).expect("a JSON string");
    assert_eq!(serde_json::from_slice::<Sku>(&json).ok(), parsed.clone().ok(), "{text:?}");
    if let Ok(sku) = parsed {
        assert_eq!(sku.to_string(), text);
        assert_eq!(serde_json::to_vec(&sku).expect("JSON"), json);
    }
}

const LISTS: [&str; 3] = ["products", "orders", "dead-letter-groups"];

/// A cursor has one form, belongs to one list, and its key can be stored.
pub(crate) fn cursor(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let keys: Vec<(&str, String)> =
        LISTS.into_iter().filter_map(|list| Some((list, cursor::read(list, text)?))).collect();
    assert!(keys.len() <= 1, "{text:?} is a cursor of {keys:?}");
    for (list, key) in keys {
        assert_eq!(cursor::write(list, &key), text);
        assert!(!key.contains('\0'), "{key:?}");
    }
    // The input as a key: only one that cannot be stored is refused.
    let written = cursor::write(LISTS[0], text);
    let is_storable = !text.chars().any(char::is_control);
    assert_eq!(cursor::read(LISTS[0], &written).as_deref(), is_storable.then_some(text), "{text:?}");
}
