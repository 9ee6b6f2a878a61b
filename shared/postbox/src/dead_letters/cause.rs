//! Causes of dead letters: messages that failed for the same cause form one group.

use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

use super::Death;

/// Maximum length of a cause, characters.
const CAUSE_LENGTH_MAX: usize = 200;

/// Patterns of the details that differ between errors of one kind, and their placeholders. Applied in this order.
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

/// Cause of a message's death, shared by all dead letters of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// 16 hexadecimal digits. They depend only on queue, reason, factory, status and cause, so they are stable over
    /// time.
    pub group: String,
    /// Error text in which placeholders stand for the details that differ between dead letters.
    pub text: String,
}

impl Cause {
    pub fn of(queue: &str, death: &Death) -> Self {
        let text = DETAILS.iter().fold(death.error.clone(), |text, (detail, placeholder)| {
            detail.replace_all(&text, *placeholder).into_owned()
        });
        let text: String = text.chars().take(CAUSE_LENGTH_MAX).collect();
        let Death { reason, http_status, factory_id, .. } = death;
        let told_apart = format!("{queue}\n{reason}\n{factory_id:?}\n{http_status:?}\n{text}");
        Self { group: hex::encode(&Sha256::digest(told_apart.as_bytes())[..8]), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_with_one_cause_are_one_group() {
        let of = |error: &str| Cause::of("sales.stock-received", &Death::new("handler-failed", error, 1));
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
        let group = |queue: &str, death: Death| Cause::of(queue, &death).group;
        assert_ne!(of("x").group, group("sales.factories", Death::new("handler-failed", "x", 1)));
        assert_ne!(of("x").group, group("sales.stock-received", Death::new("undecodable", "x", 1)));
        let by = |factory: &str, status| Death {
            http_status: Some(status),
            factory_id: Some(factory.to_owned()),
            ..Death::new("factory-unreachable", &format!("the factory answered {status}"), 7)
        };
        let of_call = |factory: &str, status| group("production.requests", by(factory, status));
        assert_ne!(of_call("FF-1", 503), of_call("FF-1", 401), "another thing to repair");
        assert_ne!(of_call("FF-1", 503), of_call("FF-2", 503), "somebody else mends it");
        assert_eq!(of(&"x".repeat(1000)).text.len(), CAUSE_LENGTH_MAX);
    }
}
