//! Wire format of a factory.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use jaego_contracts::ids::FactoryId;
use jaego_web::problem::Problem;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;
use utoipa::ToSchema;

use super::invalid;
use crate::commands::outbound::Outbound;
use crate::commands::{Breaker, Factory, FactorySettings};

/// Maximum length of a base URL, in bytes.
const URL_BYTES_MAX: usize = 1000;

/// A factory with its settings and its current state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "FF-500293", "name": "부산도너츠 공장", "base_url": "https://factory.example", "requester": "재고담당",
    "enabled": true, "timeout_ms": 5000, "max_in_flight": 8, "rate_per_s": 2.5, "lead_time_s": 60,
    "overdue_factor": 2.0, "fallback_factory_id": "FF-500294", "retry_schedule": [1, 5, 30, 120],
    "callback_sources": ["203.0.113.0/24"], "lead_time_p50_s": 41, "lead_time_p90_s": 55,
    "breaker": {
        "state": "closed", "failures_in_a_row": 0, "opened_at": null, "next_probe_at": null, "last_error": null,
    },
    "revision": 7,
}))]
pub(super) struct FactoryBody {
    pub(super) id: FactoryId,
    name: String,
    base_url: String,
    requester: String,
    enabled: bool,
    timeout_ms: u64,
    max_in_flight: i32,
    /// Maximum calls per second; null: no limit.
    rate_per_s: Option<f64>,
    /// Configured lead time from acceptance to delivery, seconds; used until one has been measured.
    lead_time_s: i64,
    overdue_factor: f64,
    fallback_factory_id: Option<FactoryId>,
    /// Delays between failed calls that are in force, seconds.
    #[schema(value_type = Vec<f64>)]
    retry_schedule: Vec<Seconds>,
    /// Networks from which callbacks are accepted; empty: all.
    callback_sources: Vec<String>,
    /// Measured median of the lead time, seconds; null until enough requests have been received.
    #[schema(minimum = 1)]
    lead_time_p50_s: Option<i64>,
    /// Measured 90th percentile of the lead time, seconds.
    #[schema(minimum = 1)]
    lead_time_p90_s: Option<i64>,
    breaker: BreakerBody,
    /// Increases with every change, including measurements; the ETag changes only with the settings.
    revision: i64,
}

/// The circuit breaker. While it is not closed, the factory's requests wait without using up attempts.
#[derive(Debug, Serialize, ToSchema)]
struct BreakerBody {
    /// `closed`; `open` until the next probe; `half_open` while one request at a time is sent as a probe.
    #[schema(example = "closed", pattern = "^(closed|open|half_open)$")]
    state: &'static str,
    /// Failed calls since the factory last answered.
    failures_in_a_row: u32,
    /// Time at which the breaker opened; null: it is closed.
    opened_at: Option<DateTime<Utc>>,
    /// Time of the next probe request; null: the breaker is closed.
    next_probe_at: Option<DateTime<Utc>>,
    /// The last failure; null: none since the factory last recovered.
    last_error: Option<String>,
}

impl BreakerBody {
    fn closed() -> Self {
        Self { state: "closed", failures_in_a_row: 0, opened_at: None, next_probe_at: None, last_error: None }
    }
}

impl From<Breaker> for BreakerBody {
    fn from(breaker: Breaker) -> Self {
        Self {
            state: breaker.position.as_str(),
            failures_in_a_row: breaker.failures_in_a_row,
            opened_at: breaker.opened_at.map(DateTime::from),
            next_probe_at: breaker.probe_at.map(DateTime::from),
            last_error: breaker.last_error,
        }
    }
}

impl FactoryBody {
    pub(super) fn new(factory: Factory, default_schedule: &[Duration], breaker: Option<Breaker>) -> Self {
        let settings = factory.settings;
        let schedule = settings.retry_schedule.as_deref().unwrap_or(default_schedule);
        Self {
            id: factory.id,
            name: settings.name,
            base_url: settings.base_url,
            requester: settings.requester,
            enabled: settings.enabled,
            timeout_ms: u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX),
            max_in_flight: settings.max_in_flight,
            rate_per_s: settings.rate_per_s,
            lead_time_s: settings.lead_time_s,
            overdue_factor: settings.overdue_factor,
            fallback_factory_id: settings.fallback_factory_id,
            retry_schedule: schedule.iter().copied().map(Seconds).collect(),
            callback_sources: settings.callback_sources,
            lead_time_p50_s: factory.lead_time.map(|measured| measured.p50_s),
            lead_time_p90_s: factory.lead_time.map(|measured| measured.p90_s),
            breaker: breaker.map_or_else(BreakerBody::closed, BreakerBody::from),
            revision: factory.revision,
        }
    }
}

/// A factory as an operator sets it. Omitted fields get their defaults.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "부산도너츠 공장", "base_url": "https://factory.example", "requester": "재고담당", "enabled": true,
    "timeout_ms": 5000, "max_in_flight": 8, "rate_per_s": 2.5, "lead_time_s": 60, "overdue_factor": 2.0,
    "fallback_factory_id": "FF-500294", "retry_schedule": [1, 5, 30, 120], "callback_sources": ["203.0.113.0/24"],
}))]
pub(super) struct FactoryInput {
    /// Must equal the id in the path, or be omitted.
    #[serde(default)]
    id: Option<FactoryId>,
    /// Display name, 1 to 200 characters.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    name: String,
    /// An http or https URL without credentials, query or fragment; `/api/manufactures` is appended. Addresses in
    /// private, loopback or link-local networks are refused unless the configuration allows them.
    #[schema(max_length = 1000)]
    base_url: String,
    /// Name of the requester, sent to the factory with each request.
    #[serde(default = "default_requester")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    requester: String,
    /// False: requests to the factory wait.
    #[serde(default = "default_enabled")]
    enabled: bool,
    /// Timeout of one call, milliseconds.
    #[serde(default = "default_timeout_ms")]
    #[schema(minimum = 100, maximum = 120_000)]
    timeout_ms: u64,
    /// Maximum concurrent calls.
    #[serde(default = "default_max_in_flight")]
    #[schema(minimum = 1, maximum = 1000)]
    max_in_flight: i32,
    /// Maximum calls per second; 0 or null: no limit.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000)]
    rate_per_s: Option<f64>,
    /// Lead time from acceptance to delivery, seconds; replaced by the measured one after enough deliveries.
    #[serde(default = "default_lead_time_s")]
    #[schema(minimum = 1, maximum = 31_536_000)]
    lead_time_s: i64,
    /// A request is overdue after this many lead times.
    #[serde(default = "default_overdue_factor")]
    #[schema(minimum = 1, maximum = 100)]
    overdue_factor: f64,
    /// Factory that gets the requests that this one cannot take.
    #[serde(default)]
    fallback_factory_id: Option<FactoryId>,
    /// Delays between failed calls, seconds; null: the service's default.
    #[serde(default)]
    #[schema(value_type = Option<Vec<f64>>, max_items = 50)]
    retry_schedule: Option<Vec<Seconds>>,
    /// Networks from which callbacks are accepted, in CIDR notation; empty: all.
    #[serde(default)]
    #[schema(max_items = 100)]
    callback_sources: Vec<String>,
}

fn default_requester() -> String {
    "재고담당".to_owned()
}
fn default_enabled() -> bool {
    true
}
fn default_timeout_ms() -> u64 {
    5_000
}
fn default_max_in_flight() -> i32 {
    8
}
fn default_lead_time_s() -> i64 {
    60
}
fn default_overdue_factor() -> f64 {
    2.0
}

impl FactoryInput {
    /// Settings of the factory `id`, or a problem that names the invalid field.
    pub(super) fn settings(self, id: &FactoryId, outbound: &Outbound) -> Result<FactorySettings, Problem> {
        if self.id.is_some_and(|own| own != *id) {
            return Err(invalid("id", "must equal the id in the path, or be omitted"));
        }
        let settings = FactorySettings {
            name: self.name,
            base_url: base_url(&self.base_url).map_err(|expected| invalid("base_url", expected))?,
            requester: self.requester,
            enabled: self.enabled,
            timeout: Duration::from_millis(self.timeout_ms),
            max_in_flight: self.max_in_flight,
            rate_per_s: self.rate_per_s.filter(|rate| *rate != 0.0),
            lead_time_s: self.lead_time_s,
            overdue_factor: self.overdue_factor,
            fallback_factory_id: self.fallback_factory_id,
            retry_schedule: self.retry_schedule.map(|delays| delays.into_iter().map(|delay| delay.0).collect()),
            callback_sources: self.callback_sources.iter().map(|text| network(text)).collect::<Result<_, _>>()?,
        };
        outbound.check_url(&settings.base_url).map_err(|forbidden| invalid("base_url", &forbidden.to_string()))?;
        settings.check(id).map_err(|problem| invalid(problem.field, &problem.expected))?;
        Ok(settings)
    }
}

fn base_url(text: &str) -> Result<String, &'static str> {
    if text.len() > URL_BYTES_MAX {
        return Err("must be at most 1000 bytes");
    }
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://factory.example")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain credentials");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither query nor fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn network(text: &str) -> Result<String, Problem> {
    let network: Result<IpNet, _> = text.parse();
    let network = network.map_err(|_| invalid("callback_sources", "must be networks such as 203.0.113.0/24"))?;
    Ok(network.trunc().to_string())
}

/// A duration as a number of seconds, an integer if possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let duration = Duration::try_from_secs_f64(seconds);
        duration.map(Self).map_err(|_| serde::de::Error::custom("must be a number of seconds, 0 or more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_addresses_pass() {
        for (text, kept) in [
            ("http://127.0.0.1:8480", "http://127.0.0.1:8480"),
            ("https://factory.example/", "https://factory.example"),
            ("HTTPS://Factory.example/a/b/", "https://factory.example/a/b"),
        ] {
            assert_eq!(base_url(text).as_deref(), Ok(kept));
        }
        let long = format!("http://{}.example", "a".repeat(1000));
        for bad in [
            "",
            "factory.example",
            "/path",
            "ftp://factory.example",
            "file:///etc/passwd",
            "http://",
            "http://user@factory.example",
            "http://user:secret@factory.example",
            "http://factory.example?x=1",
            "http://factory.example/?",
            "http://factory.example/#a",
            &long,
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_read_and_seconds_keep_their_form() {
        assert_eq!(network("203.0.113.7/24").ok().as_deref(), Some("203.0.113.0/24"));
        assert_eq!(network("2001:db8::/32").ok().as_deref(), Some("2001:db8::/32"));
        for bad in ["", "203.0.113.7", "203.0.113.0/33", "localhost/8"] {
            assert!(network(bad).is_err(), "{bad}");
        }
        let read: Vec<Seconds> = serde_json::from_str("[1, 0.5, 7200]").expect("seconds");
        assert_eq!(serde_json::to_string(&read).expect("json"), "[1,0.5,7200]");
        for bad in ["[-1]", "[1e300]", "[\"1\"]"] {
            assert!(serde_json::from_str::<Vec<Seconds>>(bad).is_err(), "{bad}");
        }
    }
}
