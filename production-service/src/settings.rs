//! Settings; every key with its default is in `config/default.toml`.

use std::time::Duration;

use ipnet::IpNet;
use jaego_contracts::callback::CallbackSigner;
use jaego_contracts::ids::FactoryId;
use jaego_service::settings::Common;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::domain::BreakerRules;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Sections that every service has.
    #[serde(flatten)]
    pub common: Common,
    pub callback: Callback,
    pub delivery: Delivery,
    pub breaker: BreakerSettings,
    pub overdue: Overdue,
    pub lead_time: LeadTimes,
}

/// The capability with which a factory calls back.
#[derive(Debug, Clone, Deserialize)]
pub struct Callback {
    /// Base URL at which factories reach restock-service.
    pub base_url: String,
    /// Ed25519 private key, PKCS#8 PEM.
    pub signing_key: SecretString,
    pub token_valid_days: u16,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    /// Interval at which due requests are looked for without a notification.
    pub poll_ms: u64,
    /// Time after which another replica treats a call without a recorded result as lost.
    pub lease_ms: u32,
    /// Maximum concurrent calls of this process.
    pub concurrency: usize,
    /// Delays between failed calls, seconds.
    pub retry_schedule_s: Vec<String>,
    /// Networks other than the public internet that may be called, in CIDR form.
    pub allowed_networks: Vec<String>,
    /// `FACTORY=env:NAME` or `FACTORY=file:/path`: source of the header that a factory requires.
    pub factory_headers: Vec<String>,
    /// Upper bound of a factory's `Retry-After`.
    pub retry_after_max_s: u32,
    /// Maximum time that a request waits for a factory that answers with `Retry-After` each time.
    pub throttled_max_s: u32,
    /// Maximum bytes of an answer that are read.
    pub response_bytes_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BreakerSettings {
    /// Consecutive failures that open the breaker.
    pub failures_in_a_row: u32,
    /// Share of failures in a window that opens the breaker.
    pub failure_share: f64,
    pub window_ms: u64,
    /// Windows with fewer calls are not judged.
    pub window_calls_min: u32,
    /// Delay from opening to the first probe.
    pub open_ms: u64,
    /// Upper bound of the delay between probes.
    pub open_max_ms: u64,
}

/// Requests that are not received in time.
#[derive(Debug, Clone, Deserialize)]
pub struct Overdue {
    pub check_every_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct LeadTimes {
    /// Interval of measurements, and minimum time between changes of a factory's figures.
    pub measure_every_ms: u64,
    /// Interval at which every factory is announced unchanged, seconds.
    pub announce_every_s: u64,
    /// With fewer samples there is no measurement.
    pub samples_min: u16,
    /// Number of the newest samples that count.
    pub samples_max: u16,
}

impl jaego_settings::Settings for Settings {
    type Common = Common;

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        let url = Url::parse(&self.callback.base_url);
        let plain = url.is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        });
        require(plain, "callback.base_url: must be an http(s) URL without query and fragment");
        require(
            CallbackSigner::from_pem(self.callback.signing_key.expose_secret()).is_ok(),
            "callback.signing_key: must be an Ed25519 private key in PKCS#8 PEM form (openssl genpkey -algorithm ed25519)",
        );
        require((1..=3650).contains(&self.callback.token_valid_days), "callback.token_valid_days: must be 1 to 3650");
        require(self.delivery.poll_ms >= 1, "delivery.poll_ms: must be at least 1");
        require((1..=10_000).contains(&self.delivery.concurrency), "delivery.concurrency: must be 1 to 10000");
        require(
            self.delivery.retry_schedule_s.iter().all(|text| seconds(text).is_some()),
            "delivery.retry_schedule_s: must be a list of seconds, each 0 to 604800",
        );
        require(
            (2048..=16 * 1024 * 1024).contains(&self.delivery.response_bytes_max),
            "delivery.response_bytes_max: must be 2048 to 16777216",
        );
        require(
            self.delivery.allowed_networks.iter().all(|text| text.parse::<IpNet>().is_ok()),
            "delivery.allowed_networks: must be networks such as 10.1.0.0/16",
        );
        require(
            self.delivery.factory_headers.iter().all(|text| factory_header(text).is_some()),
            "delivery.factory_headers: must be entries such as FF-500293=file:/run/secrets/ff-500293 or FF-500293=env:NAME",
        );
        require(self.overdue.check_every_ms >= 1, "overdue.check_every_ms: must be at least 1");
        let breaker = &self.breaker;
        require(breaker.failures_in_a_row >= 1, "breaker.failures_in_a_row: must be at least 1");
        require(
            breaker.failure_share > 0.0 && breaker.failure_share <= 1.0,
            "breaker.failure_share: must be above 0 and at most 1",
        );
        require((1..=3_600_000).contains(&breaker.window_ms), "breaker.window_ms: must be 1 to 3600000");
        require(breaker.window_calls_min >= 1, "breaker.window_calls_min: must be at least 1");
        require((1..=3_600_000).contains(&breaker.open_max_ms), "breaker.open_max_ms: must be 1 to 3600000");
        require(
            (1..=breaker.open_max_ms).contains(&breaker.open_ms),
            "breaker.open_ms: must be 1 to breaker.open_max_ms",
        );
        let lead_time = &self.lead_time;
        require(lead_time.measure_every_ms >= 1, "lead_time.measure_every_ms: must be at least 1");
        require((1..=86_400).contains(&lead_time.announce_every_s), "lead_time.announce_every_s: must be 1 to 86400");
        require((1..=1000).contains(&lead_time.samples_max), "lead_time.samples_max: must be 1 to 1000");
        require(
            (1..=lead_time.samples_max).contains(&lead_time.samples_min),
            "lead_time.samples_min: must be 1 to lead_time.samples_max",
        );
    }
}

impl Delivery {
    pub fn allowed_networks(&self) -> Vec<IpNet> {
        self.allowed_networks.iter().filter_map(|text| text.parse().ok()).collect()
    }

    pub fn factory_headers(&self) -> Vec<(FactoryId, String)> {
        self.factory_headers.iter().filter_map(|text| factory_header(text)).collect()
    }

    pub fn retry_schedule(&self) -> Vec<Duration> {
        self.retry_schedule_s.iter().filter_map(|text| seconds(text)).collect()
    }
}

impl BreakerSettings {
    pub fn rules(&self) -> BreakerRules {
        BreakerRules {
            failures_in_a_row: self.failures_in_a_row,
            failure_share: self.failure_share,
            window: Duration::from_millis(self.window_ms),
            window_calls_min: self.window_calls_min,
            open: Duration::from_millis(self.open_ms),
            open_max: Duration::from_millis(self.open_max_ms),
        }
    }
}

impl LeadTimes {
    pub fn measure_every(&self) -> Duration {
        Duration::from_millis(self.measure_every_ms)
    }

    pub fn announce_every(&self) -> Duration {
        Duration::from_secs(self.announce_every_s)
    }
}

fn factory_header(text: &str) -> Option<(FactoryId, String)> {
    let (factory, place) = text.trim().split_once('=')?;
    let is_place = ["env:", "file:"].iter().any(|kind| place.len() > kind.len() && place.starts_with(kind));
    if is_place { Some((factory.parse().ok()?, place.to_owned())) } else { None }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (0.0..=604_800.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use jaego_settings::{InvalidSettings, Sources, load};

    use super::*;
    use crate::app;

    fn load_with(env: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        let env = env.iter().map(|(name, value)| (format!("JAEGO_PRODUCTION__{name}"), (*value).to_owned())).collect();
        load(Sources { defaults: app::IDENTITY.defaults, file: None, env_prefix: app::IDENTITY.env_prefix, env })
    }

    #[test]
    fn only_secrets_and_addresses_must_be_set() {
        let InvalidSettings(problems) = load_with(&[]).expect_err("four are missing");
        let keys: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(keys, ["database.url", "amqp.url", "callback.base_url", "callback.signing_key"]);
        let key = testkit::keys::CallbackKeys::generate().expect("keys").private_pem;
        let settings = load_with(&[
            ("DATABASE__URL", "postgres://role:very-secret@localhost/x"),
            ("AMQP__URL", "amqp://user:very-secret@localhost/%2f"),
            ("CALLBACK__BASE_URL", "https://restock.example"),
            ("CALLBACK__SIGNING_KEY", &key),
        ])
        .expect("valid");
        let schedule: Vec<u64> = settings.delivery.retry_schedule().iter().map(Duration::as_secs).collect();
        assert_eq!(schedule, [1, 5, 30, 120, 600, 1800, 7200]);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("very-secret") && !shown.contains("PRIVATE KEY"), "{shown}");
    }

    #[test]
    fn every_bad_value_is_reported() {
        let InvalidSettings(problems) = load_with(&[
            ("DATABASE__URL", "postgres://role:x@localhost/x"),
            ("AMQP__URL", "amqp://user:x@localhost/%2f"),
            ("CALLBACK__BASE_URL", "ftp://restock.example"),
            ("CALLBACK__SIGNING_KEY", "very-secret"),
            ("CALLBACK__TOKEN_VALID_DAYS", "0"),
            ("DELIVERY__POLL_MS", "0"),
            ("DELIVERY__CONCURRENCY", "0"),
            ("DELIVERY__RETRY_SCHEDULE_S", "1,-1"),
            ("DELIVERY__RESPONSE_BYTES_MAX", "1"),
            ("LEAD_TIME__MEASURE_EVERY_MS", "0"),
            ("LEAD_TIME__SAMPLES_MAX", "4"),
            ("DELIVERY__ALLOWED_NETWORKS", "10.0.0.0/99"),
            ("DELIVERY__FACTORY_HEADERS", "FF-500293=very-secret"),
            ("OVERDUE__CHECK_EVERY_MS", "0"),
            ("BREAKER__FAILURES_IN_A_ROW", "0"),
            ("BREAKER__FAILURE_SHARE", "1.5"),
            ("BREAKER__OPEN_MS", "5001"),
        ])
        .expect_err("fifteen are bad");
        assert_eq!(problems.len(), 15, "{problems:?}");
        assert!(!problems.join("").contains("very-secret"));
    }
}
