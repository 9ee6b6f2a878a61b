//! Faults that can be set at the factory.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

const STAGE_MS_MAX: u64 = 3_600_000;
const DELAY_MS_MAX: u64 = 600_000;
const FOR_MS_MAX: u64 = 3_600_000;
const PARTS_MAX: u32 = 1_000;

/// Faults; the default is the known factory when everything works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, settable by name")]
pub struct Faults {
    /// Answer this status and make nothing.
    pub refuse_status: Option<u16>,
    /// Send this `Retry-After` with the refusal: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// Wait this long before answering.
    pub delay_ms: u64,
    /// Cut the connection instead of answering.
    pub drop_connection: Option<DropConnection>,
    /// Accept, and never call back.
    pub never_call_back: bool,
    /// Send every callback twice.
    pub callback_twice: bool,
    /// Deliver in parts.
    pub split: Option<Split>,
    /// Deliver this many units more than requested.
    pub deliver_extra: u64,
    /// Send the count as a JSON number.
    pub count_as_number: bool,
    /// Send the count under `OrderStockCnt`.
    pub count_under_order_stock_cnt: bool,
    /// Leave these fields out of the callback.
    pub leave_out: Vec<LeaveOut>,
    /// Give every delivery a `DeliveryId`.
    pub with_delivery_id: bool,
    /// Duration of each of the four stages, instead of the simulator's own.
    pub stage_ms: Option<u64>,
    /// Send callbacks to this scheme, host and port (`http://restock:8281`), with the path of the
    /// `CallbackUrl`: a factory that reaches the callback endpoint by another route.
    pub callback_via: Option<String>,
    /// Clear these faults after this many requests; without it they stay.
    pub for_next: Option<u64>,
    /// Clear these faults after this many milliseconds; without it they stay.
    pub for_ms: Option<u64>,
}

/// The point at which the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropConnection {
    /// Nothing is made.
    BeforeAccepting,
    /// The order is accepted, so the callback comes; only the response is lost.
    AfterAccepting,
}

/// Partial deliveries that add up to the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Number of callbacks; fewer when there are fewer units.
    pub parts: u32,
    /// Adds a `DeliveryId` to each.
    #[serde(default)]
    pub delivery_ids: bool,
}

/// A field that some factories do not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaveOut {
    MessageAttributeProductId,
    MessageAttributeFactoryId,
    MessageAttributeRequester,
}

impl LeaveOut {
    pub fn field(self) -> &'static str {
        match self {
            Self::MessageAttributeProductId => "MessageAttributeProductId",
            Self::MessageAttributeFactoryId => "MessageAttributeFactoryId",
            Self::MessageAttributeRequester => "MessageAttributeRequester",
        }
    }
}

impl Faults {
    /// Parses faults from JSON. The error is a sentence for the sender.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let bad = |error: serde_json::Error| format!("not a set of faults: {error}");
        // A struct would also accept a list.
        let object: Map<String, Value> = serde_json::from_slice(json).map_err(bad)?;
        let faults: Self = serde_json::from_value(Value::Object(object)).map_err(bad)?;
        faults.check()?;
        Ok(faults)
    }

    /// Checks that these faults are possible, each of them and in combination.
    pub fn check(&self) -> Result<(), String> {
        let complaints = [
            (
                self.refuse_status.is_some_and(|status| !(300..=599).contains(&status)),
                "refuse_status must be a status from 300 to 599: any 2xx would be an acceptance",
            ),
            (
                self.retry_after.is_some() && self.refuse_status.is_none(),
                "retry_after goes with refuse_status, which is not set",
            ),
            (
                self.retry_after.as_ref().is_some_and(|text| text.is_empty() || !text.bytes().all(is_header_byte)),
                "retry_after must be a header value: seconds or an HTTP date",
            ),
            (self.delay_ms > DELAY_MS_MAX, "delay_ms must be at most 600000"),
            (self.stage_ms.is_some_and(|ms| ms > STAGE_MS_MAX), "stage_ms must be at most 3600000"),
            (
                self.split.is_some_and(|split| !(2..=PARTS_MAX).contains(&split.parts)),
                "split.parts must be from 2 to 1000",
            ),
            (self.deliver_extra > 1_000_000_000, "deliver_extra must be at most 1000000000"),
            (
                self.callback_via.as_ref().is_some_and(|via| origin(via).is_none()),
                "callback_via must be a URL with nothing after its host and port, such as http://restock:8281",
            ),
            (self.for_next == Some(0), "for_next must be at least 1; DELETE /sim/faults ends the faults at once"),
            (
                self.for_ms.is_some_and(|ms| !(1..=FOR_MS_MAX).contains(&ms)),
                "for_ms must be from 1 to 3600000; DELETE /sim/faults ends the faults at once",
            ),
            (
                self.refuse_status.is_some() && self.drop_connection.is_some(),
                "refuse_status and drop_connection exclude each other: a cut connection has no status",
            ),
            (
                self.never_call_back && (self.callback_twice || self.split.is_some()),
                "never_call_back excludes callback_twice and split",
            ),
        ];
        match complaints.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, sentence)) => Err(sentence.to_owned()),
            None => Ok(()),
        }
    }
}

/// Parses the origin of an HTTP server: a URL without user, path, query and fragment.
fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    let rest = (url.path(), url.query(), url.fragment(), url.username(), url.password());
    (rest == ("/", None, None, "", None)).then_some(url)
}

/// The `CallbackUrl` with the scheme, host and port of `via`; unchanged without a valid `via` or URL.
pub(crate) fn at_origin(callback_url: String, via: Option<&str>) -> String {
    let moved = via.and_then(origin).zip(Url::parse(&callback_url).ok()).map(|(via, url)| {
        let start = via.as_str().trim_end_matches('/');
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{start}{}{query}", url.path())
    });
    moved.unwrap_or(callback_url)
}

fn is_header_byte(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_fault() {
        let json = br#"{"refuse_status":503,"retry_after":"7","delay_ms":5,"callback_twice":true,
            "split":{"parts":3,"delivery_ids":true},"deliver_extra":4,"count_as_number":true,
            "count_under_order_stock_cnt":true,"leave_out":["MessageAttributeFactoryId"],
            "with_delivery_id":true,"stage_ms":10,"for_next":2}"#;
        let faults = Faults::parse(json).expect("these are fine");
        assert_eq!(faults.refuse_status, Some(503));
        assert_eq!(faults.split, Some(Split { parts: 3, delivery_ids: true }));
        let dropped = Faults::parse(br#"{"drop_connection":"after_accepting"}"#).expect("fine");
        assert_eq!(dropped.drop_connection, Some(DropConnection::AfterAccepting));
        assert_eq!(Faults::parse(b"{}"), Ok(Faults::default()));
    }

    #[test]
    fn a_callback_takes_another_way_with_its_own_path() {
        let moved = |url: &str, via| at_origin(url.to_owned(), via);
        let url = "https://callbacks.shop.example/callbacks/v1/restocks/a.b-c_d?x=1";
        assert_eq!(moved(url, Some("http://[::1]:8281/")), "http://[::1]:8281/callbacks/v1/restocks/a.b-c_d?x=1");
        assert_eq!(moved(url, None), url);
        assert_eq!(moved("no URL", Some("http://restock")), "no URL");
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (json, part) in [
            ("{\"refuse_sttus\":503}", "refuse_sttus"),
            ("{\"refuse_status\":201}", "refuse_status must"),
            ("{\"retry_after\":\"5\"}", "goes with refuse_status"),
            ("{\"refuse_status\":503,\"retry_after\":\"a\\nb\"}", "header value"),
            ("{\"delay_ms\":-1}", "not a set of faults"),
            ("{\"split\":{\"parts\":1}}", "split.parts"),
            ("{\"for_next\":0}", "for_next"),
            ("{\"callback_via\":\"http://restock/callbacks\"}", "callback_via must"),
            ("{\"callback_via\":\"restock:8281\"}", "callback_via must"),
            ("{\"for_ms\":0}", "for_ms"),
            ("{\"refuse_status\":500,\"drop_connection\":\"before_accepting\"}", "exclude"),
            ("{\"never_call_back\":true,\"callback_twice\":true}", "never_call_back"),
            ("{\"leave_out\":[\"CallbackUrl\"]}", "CallbackUrl"),
            ("[]", "not a set of faults"),
            ("", "not a set of faults"),
        ] {
            let error = Faults::parse(json.as_bytes()).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
