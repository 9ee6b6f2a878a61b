//! The settings; `config/default.toml` names and explains every key.

use jaego_access::settings::Access;
use jaego_process::settings::Basics;
use serde::Deserialize;
use url::Url;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub basics: Basics,
    pub services: Services,
    pub access: Access,
    pub pages: Pages,
    pub console: Console,
    pub session: Session,
    pub live: Live,
    pub demo: Demo,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Services {
    /// Listener `public` of sales-service.
    pub sales_public_url: String,
    /// Listener `api` of sales-service.
    pub sales_url: String,
    /// Listener `api` of production-service.
    pub production_url: String,
    /// Listener `api` of restock-service.
    pub restock_url: String,
    /// Maximum wait for an answer, milliseconds.
    pub timeout_ms: u64,
    /// Maximum requests in flight to one service.
    pub in_flight_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Pages {
    /// Time for which browsers use https only, seconds; 0: they are not told to.
    pub hsts_max_age_s: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Console {
    pub enabled: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Session {
    /// Restricts the cookie to https.
    pub secure: bool,
    /// Maximum wrong tokens per address and minute.
    pub attempts_per_minute_max: u32,
    /// Name of the identity provider at which access-service lets people sign in; empty: none.
    pub provider: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Live {
    /// Maximum browsers that follow live events, for the shop and the console separately.
    pub clients_max: usize,
    /// Maximum pages of the shop that follow live events at one client.
    pub per_client_max: usize,
}

/// Settings for trying Jaego out.
#[derive(Debug, Clone, Deserialize)]
pub struct Demo {
    /// URL of the factory simulator; empty: none.
    pub factory_url: String,
}

impl jaego_settings::Settings for Settings {
    type Common = Basics;

    fn common(&self) -> &Basics {
        &self.basics
    }

    fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        let Services { sales_public_url, sales_url, production_url, restock_url, timeout_ms, in_flight_max } =
            &self.services;
        require(is_address(sales_public_url), "services.sales_public_url: must be an http(s) URL without a query");
        require((100..=600_000).contains(timeout_ms), "services.timeout_ms: must be 100 to 600000");
        require((1..=10_000).contains(in_flight_max), "services.in_flight_max: must be 1 to 10000");
        if self.console.enabled {
            for (key, url) in
                [("sales_url", sales_url), ("production_url", production_url), ("restock_url", restock_url)]
            {
                let problem = format!("services.{key}: must be an http(s) URL without a query");
                require(is_address(url), &problem);
            }
            require(!self.access.url.is_empty(), "access.url: must be set, because access-service keeps the sessions");
        }
        let attempts = self.session.attempts_per_minute_max;
        require((1..=10_000).contains(&attempts), "session.attempts_per_minute_max: must be 1 to 10000");
        let provider = &self.session.provider;
        require(
            provider.chars().count() <= 64 && !provider.chars().any(char::is_control),
            "session.provider: must have at most 64 characters, and no control characters",
        );
        require((1..=100_000).contains(&self.live.clients_max), "live.clients_max: must be 1 to 100000");
        require(self.live.per_client_max >= 1, "live.per_client_max: must be at least 1");
        let factory = &self.demo.factory_url;
        require(factory.is_empty() || is_address(factory), "demo.factory_url: must be empty or an http(s) URL");
        self.access.check(problems);
    }
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use jaego_settings::{InvalidSettings, Sources, load};

    use super::*;
    use crate::app::PROGRAM;

    fn load_with(changed: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        let mut env = vec![
            ("AMQP__URL", "amqp://frontend:very-secret@localhost/jaego"),
            ("SERVICES__SALES_PUBLIC_URL", "http://sales:8081"),
            ("SERVICES__SALES_URL", "http://sales:8080"),
            ("SERVICES__PRODUCTION_URL", "http://production:8180"),
            ("SERVICES__RESTOCK_URL", "http://restock:8280/"),
        ];
        env.retain(|(key, _)| !changed.iter().any(|(changed, _)| changed == key));
        env.extend(changed);
        let env = env.into_iter().map(|(key, value)| (format!("JAEGO_FRONTEND__{key}"), value.to_owned())).collect();
        load(Sources { defaults: PROGRAM.defaults, file: None, env_prefix: PROGRAM.env_prefix, env })
    }

    #[test]
    fn the_defaults_lack_only_required_settings() {
        let credential = "5a".repeat(32);
        let access = [("ACCESS__URL", "http://access:8380"), ("ACCESS__CREDENTIAL", credential.as_str())];
        let settings = load_with(&access).expect("valid");
        assert_eq!((settings.basics.http.port, settings.basics.http.public_port), (8480, 8481));
        assert!(settings.session.secure && settings.console.enabled && settings.demo.factory_url.is_empty());
        assert!(!format!("{settings:?}").contains(&credential));
        let InvalidSettings(problems) = load_with(&[]).expect_err("no address");
        assert!(problems.len() == 1 && problems[0].starts_with("access.url: "), "{problems:?}");
        let InvalidSettings(problems) = load_with(&access[..1]).expect_err("no credential");
        assert!(problems.len() == 1 && problems[0].starts_with("access.credential: "), "{problems:?}");
    }

    #[test]
    fn a_shop_without_a_console_needs_no_sessions_and_no_operators_addresses() {
        let without = [
            ("CONSOLE__ENABLED", "false"),
            ("SERVICES__SALES_URL", ""),
            ("SERVICES__PRODUCTION_URL", ""),
            ("SERVICES__RESTOCK_URL", ""),
        ];
        assert!(load_with(&without).is_ok());
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let InvalidSettings(problems) = load_with(&[
            ("SERVICES__SALES_PUBLIC_URL", "sales:8081"),
            ("SERVICES__SALES_URL", "ftp://sales"),
            ("SERVICES__PRODUCTION_URL", "http://production/?x=1"),
            ("SERVICES__TIMEOUT_MS", "1"),
            ("SERVICES__IN_FLIGHT_MAX", "0"),
            ("ACCESS__TIMEOUT_MS", "1"),
            ("SESSION__ATTEMPTS_PER_MINUTE_MAX", "0"),
            ("SESSION__PROVIDER", "a\nb"),
            ("LIVE__CLIENTS_MAX", "0"),
            ("LIVE__PER_CLIENT_MAX", "0"),
            ("DEMO__FACTORY_URL", "here"),
        ])
        .expect_err("twelve problems");
        assert_eq!(problems.len(), 12, "{problems:#?}");
    }
}
