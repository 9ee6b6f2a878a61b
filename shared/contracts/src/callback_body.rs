//! Bodies of the Factory's callbacks: objects in any encoding, kept without their token.

use encoding_rs::{EUC_KR, Encoding, UTF_8};
use serde_json::{Map, Number, Value};

use crate::callback::redact;

/// Decodes the body's JSON object: in the encoding of its byte order mark, else in UTF-8, else in EUC-KR, in which
/// legacy Korean systems echo the requester's name. Trailing NULs are left over from a fixed-length buffer.
pub fn decode(body: &[u8]) -> Option<Map<String, Value>> {
    let encodings = match Encoding::for_bom(body) {
        Some((encoding, length)) => vec![(encoding, &body[length..])],
        None => vec![(UTF_8, body), (EUC_KR, body)],
    };
    let mut texts = encodings
        .into_iter()
        .filter_map(|(encoding, bytes)| encoding.decode_without_bom_handling_and_without_replacement(bytes));
    texts.find_map(|text| match serde_json::from_str(text.trim_end_matches('\0')) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    })
}

/// Returns a member as text; missing, null and blank are the same. A value that is neither text nor number stays
/// JSON, so that it is not taken for one.
pub fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match members.get(name)? {
        Value::Null => return None,
        // PostgreSQL's type text cannot hold NUL.
        Value::String(text) => text.trim().replace('\0', "\u{fffd}"),
        Value::Number(number) => whole(number).map_or_else(|| number.to_string(), |whole| whole.to_string()),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// In JSON, `100.0` and `1e2` are the whole number 100.
fn whole(number: &Number) -> Option<i64> {
    let limit = 1e15;
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < limit)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 10^15")]
    Some(float as i64)
}

/// A callback's token, which is not kept.
pub struct Secret<'a> {
    token: &'a str,
    shown: String,
}

impl<'a> Secret<'a> {
    /// The token with this `jti`.
    pub fn new(token: &'a str, jti: &str) -> Self {
        Self { token, shown: format!("<callback:{jti}>") }
    }

    /// Returns a text without this token, and without anything that looks like one.
    pub fn hide(&self, text: &str) -> String {
        let redacted = redact(text);
        // Catches a token in surroundings that the patterns do not cover, such as a cut or escaped URL.
        if redacted.contains(self.token) { redacted.replace(self.token, &self.shown) } else { redacted }
    }

    /// Bytes without any token: each byte is treated as one character, so that the others stay the same. None if a
    /// token has NULs in between, as in UTF-16.
    pub fn hide_in_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let text: String = bytes.iter().copied().map(char::from).collect();
        let hidden = self.hide(&text);
        if hidden.replace('\0', "").contains(self.token) {
            return None;
        }
        hidden.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
    }

    /// Returns an object without any token in its names and values.
    pub fn hide_in_object(&self, members: Map<String, Value>) -> Map<String, Value> {
        members.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect()
    }

    fn hide_in(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.hide_in(value)).collect(),
            Value::Object(members) => Value::Object(self.hide_in_object(members)),
            other => other,
        }
    }
}
