//! Factories: settings with their validation, and the measured lead time.

use std::ops::RangeInclusive;
use std::time::Duration;

use jaego_contracts::ids::FactoryId;

use super::LeadTime;

/// A factory that production requests may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Factory {
    pub id: FactoryId,
    pub settings: FactorySettings,
    /// Measured lead time; None until there are enough samples.
    pub lead_time: Option<LeadTime>,
    /// Incremented by every change, an operator's or a measurement's.
    pub revision: i64,
    /// Number of revisions that were measurements.
    pub measurements: i64,
}

/// Settings that operators control.
#[derive(Debug, Clone, PartialEq)]
pub struct FactorySettings {
    /// Display name.
    pub name: String,
    /// Base URL of the API: http or https, without secrets and without a trailing slash.
    pub base_url: String,
    /// Name of the requester that the factory expects in each call.
    pub requester: String,
    /// Requests of a disabled factory wait.
    pub enabled: bool,
    /// Upper bound of one call.
    pub timeout: Duration,
    /// Maximum concurrent calls.
    pub max_in_flight: i32,
    /// Maximum calls per second; None means no limit.
    pub rate_per_s: Option<f64>,
    /// Configured time from acceptance to receipt, seconds.
    pub lead_time_s: i64,
    /// A request is overdue after this many lead times.
    pub overdue_factor: f64,
    /// Factory that is asked when this one cannot take a request.
    pub fallback_factory_id: Option<FactoryId>,
    /// Delays between failed calls; None means the service's default.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Networks that callbacks may come from, in CIDR form; empty allows all.
    pub callback_sources: Vec<String>,
}

impl Factory {
    pub fn new(id: FactoryId, settings: FactorySettings) -> Self {
        Self { id, settings, lead_time: None, revision: 1, measurements: 0 }
    }

    /// Incremented by operators' changes only, so that a measurement between an operator's read and write is not a
    /// conflict.
    pub fn version(&self) -> i64 {
        self.revision - self.measurements
    }

    #[must_use]
    pub fn set(self, settings: FactorySettings) -> Self {
        Self { settings, revision: self.revision + 1, ..self }
    }

    /// Time from acceptance until the request is overdue: the lead time, measured or else configured, times the
    /// factor.
    pub fn overdue_after(&self) -> Duration {
        self.expected_after().mul_f64(self.settings.overdue_factor)
    }

    /// Expected time from acceptance to receipt: the lead time, measured or else configured.
    pub fn expected_after(&self) -> Duration {
        let lead_time_s = self.lead_time.map_or(self.settings.lead_time_s, |measured| measured.p50_s);
        Duration::from_secs(u64::try_from(lead_time_s).unwrap_or_default())
    }

    /// The factory with a new measurement; None when the figures are unchanged.
    pub fn measured(&self, lead_time: LeadTime) -> Option<Self> {
        (self.lead_time != Some(lead_time)).then(|| Self {
            lead_time: Some(lead_time),
            revision: self.revision + 1,
            measurements: self.measurements + 1,
            ..self.clone()
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFactory {
    /// Name of the invalid setting on the wire.
    pub field: &'static str,
    /// Description of valid values.
    pub expected: String,
}

/// Maximum length of name and requester, in characters.
const TEXT_LENGTH_MAX: usize = 200;
const TIMEOUT_MS: RangeInclusive<u128> = 100..=120_000;
const MAX_IN_FLIGHT: RangeInclusive<i32> = 1..=1_000;
const RATE_PER_S_MAX: f64 = 10_000.0;
/// At most one year.
const LEAD_TIME_S: RangeInclusive<i64> = 1..=31_536_000;
const OVERDUE_FACTOR: RangeInclusive<f64> = 1.0..=100.0;
const RETRIES_MAX: usize = 50;
const RETRY_DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const CALLBACK_SOURCES_MAX: usize = 100;

impl FactorySettings {
    /// Checks the settings of factory `id`; the error names the first invalid one.
    pub fn check(&self, id: &FactoryId) -> Result<(), InvalidFactory> {
        let rules: [(bool, &'static str, String); 10] = [
            (is_text(&self.name), "name", text_rule()),
            (is_text(&self.requester), "requester", text_rule()),
            (TIMEOUT_MS.contains(&self.timeout.as_millis()), "timeout_ms", range_rule(&TIMEOUT_MS)),
            (MAX_IN_FLIGHT.contains(&self.max_in_flight), "max_in_flight", range_rule(&MAX_IN_FLIGHT)),
            (
                self.rate_per_s.is_none_or(|rate| rate > 0.0 && rate <= RATE_PER_S_MAX),
                "rate_per_s",
                format!("must be 0 to {RATE_PER_S_MAX}, 0 or null for no limit"),
            ),
            (LEAD_TIME_S.contains(&self.lead_time_s), "lead_time_s", range_rule(&LEAD_TIME_S)),
            (OVERDUE_FACTOR.contains(&self.overdue_factor), "overdue_factor", range_rule(&OVERDUE_FACTOR)),
            (
                self.fallback_factory_id.as_ref() != Some(id),
                "fallback_factory_id",
                "must be another factory".to_owned(),
            ),
            (
                self.retry_schedule.as_ref().is_none_or(|delays| {
                    delays.len() <= RETRIES_MAX && delays.iter().all(|delay| *delay <= RETRY_DELAY_MAX)
                }),
                "retry_schedule",
                format!("must be at most {RETRIES_MAX} delays of at most {} s", RETRY_DELAY_MAX.as_secs()),
            ),
            (
                self.callback_sources.len() <= CALLBACK_SOURCES_MAX,
                "callback_sources",
                format!("must be at most {CALLBACK_SOURCES_MAX} networks"),
            ),
        ];
        match rules.into_iter().find(|(good, ..)| !good) {
            None => Ok(()),
            Some((_, field, expected)) => Err(InvalidFactory { field, expected }),
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= TEXT_LENGTH_MAX && !text.chars().any(char::is_control)
}

fn text_rule() -> String {
    format!("must be 1 to {TEXT_LENGTH_MAX} printable characters")
}

fn range_rule<T: std::fmt::Display>(range: &RangeInclusive<T>) -> String {
    format!("must be {} to {}", range.start(), range.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> FactoryId {
        "FF-500293".parse().expect("id")
    }

    fn good() -> FactorySettings {
        FactorySettings {
            name: "부산도너츠 공장".into(),
            base_url: "http://factory.example".into(),
            requester: "재고담당".into(),
            enabled: true,
            timeout: Duration::from_secs(5),
            max_in_flight: 8,
            rate_per_s: None,
            lead_time_s: 60,
            overdue_factor: 2.0,
            fallback_factory_id: None,
            retry_schedule: None,
            callback_sources: vec![],
        }
    }

    #[test]
    fn a_measurement_raises_the_revision_and_leaves_the_version() {
        let added = Factory::new(id(), good());
        let lead_time = LeadTime { p50_s: 40, p90_s: 55 };
        let measured = added.measured(lead_time).expect("news");
        assert_eq!((measured.revision, measured.version(), measured.lead_time), (2, 1, Some(lead_time)));
        assert_eq!(measured.measured(lead_time), None, "no news");
        assert_eq!((added.overdue_after().as_secs(), measured.overdue_after().as_secs()), (120, 80));
        let changed = measured.set(FactorySettings { enabled: false, ..good() });
        assert_eq!((changed.revision, changed.version(), changed.lead_time), (3, 2, Some(lead_time)));
    }

    #[test]
    fn the_known_factory_is_fine_and_each_bad_setting_is_named() {
        assert_eq!(good().check(&id()), Ok(()));
        let day = Duration::from_secs(24 * 3600);
        let bad: [(&str, FactorySettings); 17] = [
            ("name", FactorySettings { name: " ".into(), ..good() }),
            ("name", FactorySettings { name: "가".repeat(201), ..good() }),
            ("name", FactorySettings { name: "a\0b".into(), ..good() }),
            ("requester", FactorySettings { requester: String::new(), ..good() }),
            ("timeout_ms", FactorySettings { timeout: Duration::from_millis(99), ..good() }),
            ("timeout_ms", FactorySettings { timeout: Duration::from_millis(120_001), ..good() }),
            ("max_in_flight", FactorySettings { max_in_flight: 0, ..good() }),
            ("max_in_flight", FactorySettings { max_in_flight: 1001, ..good() }),
            ("rate_per_s", FactorySettings { rate_per_s: Some(-1.0), ..good() }),
            ("rate_per_s", FactorySettings { rate_per_s: Some(f64::NAN), ..good() }),
            ("lead_time_s", FactorySettings { lead_time_s: 0, ..good() }),
            ("overdue_factor", FactorySettings { overdue_factor: 0.5, ..good() }),
            ("overdue_factor", FactorySettings { overdue_factor: f64::NAN, ..good() }),
            ("fallback_factory_id", FactorySettings { fallback_factory_id: Some(id()), ..good() }),
            ("retry_schedule", FactorySettings { retry_schedule: Some(vec![day * 8]), ..good() }),
            ("retry_schedule", FactorySettings { retry_schedule: Some(vec![day; 51]), ..good() }),
            ("callback_sources", FactorySettings { callback_sources: vec!["::/0".into(); 101], ..good() }),
        ];
        for (field, settings) in bad {
            assert_eq!(settings.check(&id()).map_err(|invalid| invalid.field), Err(field), "{settings:?}");
        }
    }
}
