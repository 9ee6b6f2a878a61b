//! What a callback claims, from the body as the factory sent it.

use jaego_contracts::callback_body::{Secret, decode, text};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::commands::take_callbacks::{Claim, ClaimedCount};

pub(super) const PRODUCT: &str = "MessageAttributeProductId";
pub(super) const FACTORY: &str = "MessageAttributeFactoryId";
pub(super) const COUNT: &str = "MessageAttributeProductCnt";
pub(super) const OTHER_COUNT: &str = "OrderStockCnt";
const DELIVERY_ID: &str = "DeliveryId";

/// Maximum length of a delivery name that is kept unchanged, in characters.
const DELIVERY_ID_LENGTH_MAX: usize = 255;
/// Maximum characters kept of a product or factory that differs from the order.
const CLAIMED_LENGTH_MAX: usize = 255;

/// Body of a callback; factories also send the other members of the request, and may send more.
#[derive(ToSchema)]
#[schema(as = Callback, example = json!({
    "MessageGroupId": "stock-arrival-group", "MessageAttributeProductId": "CP-502101",
    "MessageAttributeProductCnt": "100", "MessageAttributeFactoryId": "FF-500293",
    "MessageAttributeRequester": "재고담당", "CallbackUrl": "https://restock.example/callbacks/v1/restocks/<token>",
}))]
#[expect(dead_code, reason = "documentation: bodies are read member by member")]
pub(super) struct CallbackDocument {
    /// The product; if absent, that of the token.
    #[schema(rename = "MessageAttributeProductId", example = "CP-502101")]
    product: Option<String>,
    /// Units, 1 to 1,000,000, as text or number.
    #[schema(rename = "MessageAttributeProductCnt", example = "100")]
    count: Option<TextOrNumber>,
    /// Units, under an alternative name.
    #[schema(rename = "OrderStockCnt")]
    other_count: Option<TextOrNumber>,
    /// The factory; if absent, that of the token.
    #[schema(rename = "MessageAttributeFactoryId", example = "FF-500293")]
    factory: Option<String>,
    /// The factory's id of this delivery, if one request is delivered in parts.
    #[schema(rename = "DeliveryId", example = "delivery-4711")]
    delivery_id: Option<String>,
}

/// A count as text or as a number; factories use both.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documentation: bodies are read member by member")]
enum TextOrNumber {
    /// `"100"`
    Text(String),
    /// `100`
    Number(i64),
}

/// A parsed body.
#[derive(Debug)]
pub(super) struct CallbackBody {
    pub(super) claim: Claim,
    /// Name of the field that holds, or should hold, the count.
    pub(super) count_field: &'static str,
    /// The whole body with tokens redacted; empty when it is unreadable.
    pub(super) redacted: String,
    /// Bytes of an unreadable body, with tokens redacted.
    pub(super) bytes: Option<Vec<u8>>,
}

impl CallbackBody {
    /// Parses a body. `key` is the header `Idempotency-Key`; `token` and everything that looks like one is redacted
    /// before anything is kept.
    pub(super) fn read(body: &[u8], key: Option<&[u8]>, token: &str, jti: &str) -> Self {
        let secret = Secret::new(token, jti);
        let key = key.map(|key| secret.hide(&String::from_utf8_lossy(key))).filter(|key| !key.trim().is_empty());
        let Some(members) = decode(body) else {
            let claim = Claim {
                delivery_id: key.map(|id| storable_id(id.trim())),
                unreadable: Some(hex::encode(Sha256::digest(body))),
                ..Claim::default()
            };
            let bytes = secret.hide_in_bytes(body);
            return Self { claim, count_field: COUNT, redacted: String::new(), bytes };
        };
        let members = secret.hide_in_object(members);
        let delivery_id = text(&members, DELIVERY_ID).or(key);
        let (first, second) = (text(&members, COUNT), text(&members, OTHER_COUNT));
        let count_field = if first.is_none() && second.is_some() { OTHER_COUNT } else { COUNT };
        let count = match (first, second) {
            (None, None) => ClaimedCount::Missing,
            (Some(text), None) | (None, Some(text)) => ClaimedCount::Text(text),
            (Some(first), Some(second)) if same_count(&first, &second) => ClaimedCount::Text(first),
            (Some(first), Some(second)) => ClaimedCount::Contradictory(first, second),
        };
        let claimed = |name| text(&members, name).map(|text| text.chars().take(CLAIMED_LENGTH_MAX).collect());
        let claim = Claim {
            delivery_id: delivery_id.map(|id| storable_id(id.trim())),
            product: claimed(PRODUCT),
            factory: claimed(FACTORY),
            count,
            unreadable: None,
        };
        Self { claim, count_field, redacted: Value::Object(members).to_string(), bytes: None }
    }
}

fn same_count(first: &str, second: &str) -> bool {
    let read = |text: &str| ClaimedCount::Text(text.to_owned()).read();
    first == second || (read(first).is_ok() && read(first) == read(second))
}

/// Turns a name of any length and content into one that can be stored and compared.
fn storable_id(id: &str) -> String {
    if id.chars().count() <= DELIVERY_ID_LENGTH_MAX {
        return id.replace('\0', "\u{fffd}");
    }
    format!("sha256:{}", hex::encode(Sha256::digest(id.as_bytes())))
}

#[cfg(test)]
mod tests {
    use encoding_rs::EUC_KR;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> CallbackBody {
        CallbackBody::read(body.to_string().as_bytes(), None, "the-token", "J")
    }

    fn count(body: &Value) -> (ClaimedCount, &'static str) {
        let body = read(body);
        (body.claim.count, body.count_field)
    }

    fn one(text: &str) -> ClaimedCount {
        ClaimedCount::Text(text.to_owned())
    }

    #[test]
    fn the_known_factorys_echo_is_read() {
        let body = read(&json!({
            "MessageGroupId": "stock-arrival-group", "MessageAttributeProductId": "CP-502101",
            "MessageAttributeProductCnt": "100", "MessageAttributeFactoryId": "FF-500293",
            "MessageAttributeRequester": "재고담당", "CallbackUrl": "https://x.example/callbacks/v1/restocks/the-token"
        }));
        let claim = Claim {
            delivery_id: None,
            product: Some("CP-502101".into()),
            factory: Some("FF-500293".into()),
            count: one("100"),
            unreadable: None,
        };
        assert_eq!(body.claim, claim);
        assert!(body.redacted.contains("재고담당") && !body.redacted.contains("the-token"), "{}", body.redacted);
    }

    #[test]
    fn counts_come_under_two_names_as_text_or_number() {
        assert_eq!(count(&json!({COUNT: 100})), (one("100"), COUNT));
        assert_eq!(count(&json!({OTHER_COUNT: "7"})), (one("7"), OTHER_COUNT));
        assert_eq!(count(&json!({COUNT: null, OTHER_COUNT: 7})), (one("7"), OTHER_COUNT));
        assert_eq!(count(&json!({COUNT: " ", OTHER_COUNT: 7})), (one("7"), OTHER_COUNT));
        assert_eq!(count(&json!({COUNT: 100.0})), (one("100"), COUNT));
        assert_eq!(count(&json!({COUNT: 1.5})), (one("1.5"), COUNT));
        assert_eq!(count(&json!({COUNT: -0.0})).0.read().ok(), None);
        assert_eq!(count(&json!({COUNT: "8", OTHER_COUNT: 8})), (one("8"), COUNT));
        assert_eq!(count(&json!({COUNT: "8", OTHER_COUNT: 9})).0, ClaimedCount::Contradictory("8".into(), "9".into()));
        assert_eq!(count(&json!({})), (ClaimedCount::Missing, COUNT));
        for odd in [json!({COUNT: [1]}), json!({COUNT: true}), json!({COUNT: {"a": 1}}), json!({COUNT: 1e300})] {
            assert!(count(&odd).0.read().is_err(), "{odd}");
        }
    }

    #[test]
    fn a_delivery_is_named_by_its_body_or_its_header() {
        let named = |body: &Value, key: Option<&str>| {
            let read = CallbackBody::read(body.to_string().as_bytes(), key.map(str::as_bytes), "the-token", "J");
            read.claim.delivery_id
        };
        assert_eq!(named(&json!({"DeliveryId": "D-1"}), Some("K")).as_deref(), Some("D-1"));
        assert_eq!(named(&json!({"DeliveryId": 17}), None).as_deref(), Some("17"));
        assert_eq!(named(&json!({"DeliveryId": ""}), Some("K")).as_deref(), Some("K"));
        assert_eq!(named(&json!({}), Some(" ")), None);
        assert_eq!(named(&json!({"DeliveryId": null}), None), None);
        assert_eq!(named(&json!({"DeliveryId": "a\u{0}b"}), None).as_deref(), Some("a\u{fffd}b"));
        let long = named(&json!({"DeliveryId": "x".repeat(300)}), None).expect("named");
        assert!(
            long.starts_with("sha256:") && long != named(&json!({"DeliveryId": "x".repeat(301)}), None).expect("named")
        );
    }

    #[test]
    fn no_token_is_kept_wherever_it_stands() {
        let token = "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJKIn0.c2lnbmF0dXJl";
        let body = json!({
            "CallbackUrl": format!("https://x.example/callbacks/v1/restocks/{token}"), "DeliveryId": token,
            "deep": [{"again": format!("see {token}!")}, {token: 1}], "glued": format!("A{token}B"),
            "escaped": format!("https:\\/\\/x.example\\/callbacks\\/v1\\/restocks\\/{token}")
        });
        // The same with its first character as an escape, which a JSON parser resolves.
        let text = body.to_string().replace("eyJhbGci", "\\u0065yJhbGci");
        let read = CallbackBody::read(text.as_bytes(), Some(token.as_bytes()), token, "J");
        let all = format!("{read:?}");
        assert!(!all.contains("c2lnbmF0dXJl") && !all.contains("x.example"), "{all}");
        assert_eq!(read.claim.delivery_id.as_deref(), Some("<callback:J>"));
    }

    #[test]
    fn a_body_is_read_in_whatever_encoding_it_comes() {
        let text = json!({COUNT: "7", "MessageAttributeRequester": "재고담당"}).to_string();
        let utf_16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let ways = [
            text.clone().into_bytes(),
            ["\u{feff}", &text].concat().into_bytes(),
            [&text, "\0\0"].concat().into_bytes(),
            [" \r\n", &text, "\n"].concat().into_bytes(),
            EUC_KR.encode(&text).0.into_owned(),
            [&[0xff, 0xfe], utf_16(u16::to_le_bytes).as_slice()].concat(),
            [&[0xfe, 0xff], utf_16(u16::to_be_bytes).as_slice()].concat(),
        ];
        for way in ways {
            let read = CallbackBody::read(&way, None, "the-token", "J");
            assert_eq!((read.claim.count, read.claim.unreadable), (one("7"), None), "{way:?}");
            assert!(read.redacted.contains("재고담당"), "{}", read.redacted);
        }
    }

    #[test]
    fn of_anything_else_the_bytes_are_kept_without_a_token() {
        let bytes = |body: &[u8]| CallbackBody::read(body, Some(b"K"), "the-token", "J");
        let not_json: [&[u8]; 12] = [
            b"",
            b"nonsense",
            b"[]",
            b"1",
            b"\"x\"",
            b"null",
            b"{",
            b"{} x",
            b"{\"a\":\"b\" \"c\"}",
            b"a=1&b=2",
            &[b'{', b'"', 0xff, b'"', b':', b'1', b'}'],
            &[0xff, 0xfe, b'{'],
        ];
        for body in not_json {
            let read = bytes(body);
            assert_eq!(read.bytes.as_deref(), Some(body), "{body:?}");
            assert!(read.claim.unreadable.is_some() && read.redacted.is_empty(), "{body:?}");
            assert_eq!(read.claim.delivery_id.as_deref(), Some("K"));
        }
        assert_ne!(bytes(b"a").claim.unreadable, bytes(b"b").claim.unreadable);
        let read_body = bytes(b"url=the-token&\xff");
        assert_eq!(read_body.bytes.as_deref(), Some(b"url=<callback:J>&\xff".as_slice()));
        let between_nuls: Vec<u8> = "{the-token".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(bytes(&between_nuls).bytes, None);
    }
}
