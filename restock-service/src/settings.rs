//! The service's settings; `config/default.toml` names and explains every key.

use ipnet::IpNet;
use jaego_contracts::callback::{CallbackVerifier, InvalidKey};
use jaego_net::proxies::{Proxies, overlap};
use jaego_service::settings::Common;
use jaego_web::settings::{check_networks, parse_networks};
use serde::Deserialize;

use crate::domain::policy::Policy;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub common: Common,
    pub callback: Callback,
    pub intake: Intake,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Intake {
    /// Maximum callbacks in the queue.
    pub queue_max: usize,
    /// Maximum callbacks in one transaction.
    pub batch_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Callback {
    /// Public keys of callback tokens, PEM; several during key rotation.
    pub public_keys: Vec<String>,
    /// Over-delivery that is still booked, percent of the quantity ordered.
    pub over_delivery_tolerance_percent: i64,
    /// Maximum quarantine entries per callback token.
    pub quarantine_per_token_max: i64,
    /// Maximum wait for a callback's answer, milliseconds.
    pub hold_ms: u64,
    /// Networks that callbacks of any factory may come from; empty: all.
    pub allowed_sources: Vec<String>,
}

impl Callback {
    pub fn verifier(&self) -> Result<CallbackVerifier, InvalidKey> {
        CallbackVerifier::from_pems(self.public_keys.iter().map(String::as_str))
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            over_delivery_tolerance_percent: self.over_delivery_tolerance_percent,
            quarantine_per_token_max: self.quarantine_per_token_max,
        }
    }

    /// Parsed networks of sources. Unreadable entries were rejected at startup.
    pub(crate) fn sources(&self) -> Vec<IpNet> {
        parse_networks(&self.allowed_sources)
    }
}

impl jaego_settings::Settings for Settings {
    type Common = Common;

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self, problems: &mut Vec<String>) {
        let callback = &self.callback;
        if callback.public_keys.is_empty() {
            problems.push("callback.public_keys: must contain at least one Ed25519 public key".to_owned());
        }
        for (index, pem) in callback.public_keys.iter().enumerate() {
            if CallbackVerifier::from_pems([pem.as_str()]).is_err() {
                problems.push(format!("callback.public_keys: entry {} must be {KEY_FORM}", index + 1));
            }
        }
        if !(0..=100).contains(&callback.over_delivery_tolerance_percent) {
            problems.push("callback.over_delivery_tolerance_percent: must be 0 to 100".to_owned());
        }
        if !(1..=1000).contains(&callback.quarantine_per_token_max) {
            problems.push("callback.quarantine_per_token_max: must be 1 to 1000".to_owned());
        }
        if !(100..=600_000).contains(&callback.hold_ms) {
            problems.push("callback.hold_ms: must be 100 to 600000".to_owned());
        }
        let intake = &self.intake;
        if !(1..=1_000_000).contains(&intake.queue_max) {
            problems.push("intake.queue_max: must be 1 to 1000000".to_owned());
        }
        if !(1..=10_000).contains(&intake.batch_max) {
            problems.push("intake.batch_max: must be 1 to 10000".to_owned());
        }
        if self.common.http.client_rate_per_s != 0 {
            problems.push("http.client_rate_per_s: must be 0, because a callback that is refused is lost".to_owned());
        }
        check_networks("callback.allowed_sources", &callback.allowed_sources, problems);
        if let Proxies::Networks(proxies) = self.common.http.proxies()
            && callback.sources().iter().any(|source| proxies.iter().any(|proxy| overlap(source, proxy)))
        {
            problems.push(
                "callback.allowed_sources: must not overlap http.trusted_proxies, whose addresses are no client's"
                    .to_owned(),
            );
        }
    }
}

const KEY_FORM: &str = "an Ed25519 public key in PEM form (openssl pkey -pubout)";

#[cfg(test)]
mod tests {
    use jaego_settings::{InvalidSettings, Sources, load};

    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----";

    fn load_with(callback: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        let callback: Vec<_> = callback.iter().map(|(key, value)| (format!("CALLBACK__{key}"), *value)).collect();
        load_any(&callback.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>())
    }

    fn load_any(changed: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        let mut env = vec![
            ("JAEGO_RESTOCK__DATABASE__URL".to_owned(), "postgres://role:secret@localhost/restock".to_owned()),
            ("JAEGO_RESTOCK__AMQP__URL".to_owned(), "amqp://restock:secret@localhost/jaego".to_owned()),
        ];
        env.extend(changed.iter().map(|(key, value)| (format!("JAEGO_RESTOCK__{key}"), (*value).to_owned())));
        let identity = crate::app::IDENTITY;
        load(Sources { defaults: identity.defaults, file: None, env_prefix: identity.env_prefix, env })
    }

    #[test]
    fn the_defaults_lack_only_required_settings() {
        let settings = load_with(&[("PUBLIC_KEYS", KEY)]).expect("valid");
        assert_eq!((settings.common.http.port, settings.common.http.public_port), (8280, 8281));
        assert_eq!(settings.common.http.admin_port, 9280);
        assert_eq!(settings.callback.quarantine_per_token_max, 20);
        assert_eq!(settings.callback.over_delivery_tolerance_percent, 0);
        assert!(settings.callback.sources().is_empty() && settings.callback.verifier().is_ok());
        let InvalidSettings(problems) = load_with(&[]).expect_err("no key");
        assert_eq!(problems, ["callback.public_keys: must contain at least one Ed25519 public key"]);
    }

    #[test]
    fn two_keys_are_read_and_bad_values_are_reported_together() {
        let settings = load_with(&[("PUBLIC_KEYS", &format!("{KEY},{KEY}"))]).expect("valid");
        assert_eq!(settings.callback.public_keys.len(), 2);
        let path = std::env::temp_dir().join(format!("jaego-public-keys-{}.pem", std::process::id()));
        std::fs::write(&path, format!("{KEY}\n{KEY}\n")).expect("written");
        let from_file = load_with(&[("PUBLIC_KEYS_FILE", &path.display().to_string())]);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(from_file.expect("valid").callback.public_keys.len(), 2);
        let InvalidSettings(problems) = load_with(&[
            ("PUBLIC_KEYS", "nonsense"),
            ("OVER_DELIVERY_TOLERANCE_PERCENT", "101"),
            ("QUARANTINE_PER_TOKEN_MAX", "0"),
            ("ALLOWED_SOURCES", "192.0.2.0/24, 2001:db8::/32, somewhere"),
        ])
        .expect_err("four problems");
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[3].contains("allowed_sources: entry 3"), "{problems:?}");
    }
    #[test]
    fn a_source_is_no_proxy() {
        let with = |proxies: (&str, &str)| {
            let sources = ("CALLBACK__ALLOWED_SOURCES", "10.2.0.0/16");
            load_any(&[("CALLBACK__PUBLIC_KEYS", KEY), sources, (proxies.0, proxies.1)])
        };
        assert!(with(("HTTP__TRUSTED_HOPS", "1")).is_ok() && with(("HTTP__TRUSTED_PROXIES", "10.1.0.0/24")).is_ok());
        let InvalidSettings(problems) = with(("HTTP__TRUSTED_PROXIES", "10.0.0.0/8")).expect_err("an overlap");
        assert!(problems.len() == 1 && problems[0].starts_with("callback.allowed_sources: "), "{problems:?}");
    }

    #[test]
    fn callbacks_are_not_limited() {
        let limited = [("CALLBACK__PUBLIC_KEYS", KEY), ("HTTP__CLIENT_RATE_PER_S", "100")];
        let InvalidSettings(problems) = load_any(&limited).expect_err("a limit");
        assert!(problems.len() == 1 && problems[0].starts_with("http.client_rate_per_s: "), "{problems:?}");
    }
}
