//! What letters died of, so that those with one cause are one group.

use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

/// Longest cause, characters.
const CAUSE_LENGTH_MAX: usize = 200;

/// What differs between two errors of one kind, and what is put in its place. Applied in this order.
static DETAILS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let detail = |pattern: &str, placeholder| Regex::new(pattern).ok().map(|regex| (regex, placeholder));
    [
        detail("(?-u:\\b)[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?-u:\\b)", "<id>"),
        detail("\"[^\"]*\"|`[^`]*`|'[^']*'", "<text>"),
        detail("(?-u:\\b)(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]{7,}(?-u:\\b)", "<hex>"),
        detail("[0-9]+(?:\\.[0-9]+)*", "<n>"),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// The cause of a death: the same for all letters of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// 16 hexadecimal digits; the same for the same queue, reason and cause, always.
    pub group: String,
    /// The error without what differs between letters.
    pub text: String,
}

impl Cause {
    /// Of a letter of `queue` that died for `reason` with `error`.
    pub fn of(queue: &str, reason: &str, error: &str) -> Self {
        let text = DETAILS
            .iter()
            .fold(error.to_owned(), |text, (detail, placeholder)| detail.replace_all(&text, *placeholder).into_owned());
        let text: String = text.chars().take(CAUSE_LENGTH_MAX).collect();
        let digest = Sha256::digest(format!("{queue}\n{reason}\n{text}").as_bytes());
        Self { group: hex::encode(&digest[..8]), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_with_one_cause_are_one_group() {
        let of = |error: &str| Cause::of("sales.stock-received", "handler-failed", error);
        for (one, other, text) in [
            ("there is no product CP-502101", "there is no product CP-7", "there is no product CP-<n>"),
            (
                "there is no replenishment 0193b5a0-0000-7000-8000-000000000001",
                "there is no replenishment 0193B5A0-0000-7000-8000-00000000000F",
                "there is no replenishment <id>",
            ),
            (
                "expected value at line 1 column 2",
                "expected value at line 10 column 1",
                "expected value at line <n> column <n>",
            ),
            ("unknown field `a`", "unknown field `bcd`", "unknown field <text>"),
            ("digest 00ff00ff00ff", "digest 1234567890abcdef", "digest <hex>"),
            ("127.0.0.1:5432 refused", "10.1.2.3:80 refused", "<n>:<n> refused"),
        ] {
            assert_eq!((of(one).text.as_str(), of(one)), (text, of(other)));
        }
        assert_ne!(of("the factory answered 503").group, of("no answer: timed out").group);
        assert_ne!(of("x").group, Cause::of("sales.factories", "handler-failed", "x").group);
        assert_ne!(of("x").group, Cause::of("sales.stock-received", "undecodable", "x").group);
        assert_eq!(of(&"x".repeat(1000)).text.len(), CAUSE_LENGTH_MAX);
    }
}
