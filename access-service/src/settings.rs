//! The service's settings; `config/default.toml` names and explains every key.

use jaego_access::settings::is_credential;
use jaego_service::settings::Quiet;
use jaego_settings::require;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub common: Quiet,
    pub programs: Programs,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub history: History,
}

/// Jaego's own programs, which may ask who holds a credential.
#[derive(Debug, Clone, Deserialize)]
pub struct Programs {
    pub credentials: Vec<SecretString>,
}

/// Personal access tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// Maximum lifetime, days.
    pub lifetime_days_max: i32,
    /// Maximum tokens of one person.
    pub per_person_max: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Sessions {
    /// Lifetime of a session, seconds.
    pub ttl_s: i32,
    /// Maximum sessions of one person.
    pub per_person_max: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct History {
    /// Time for which ended sessions and tokens are kept, days.
    pub kept_days: i32,
}

impl jaego_settings::Settings for Settings {
    type Common = Quiet;

    fn common(&self) -> &Quiet {
        &self.common
    }

    fn check(&self, problems: &mut Vec<String>) {
        let credentials = &self.programs.credentials;
        let mut require = |good, problem| require(good, problem, problems);
        require(!credentials.is_empty(), "programs.credentials: must contain at least one credential");
        require(
            credentials.iter().all(|credential| is_credential(credential.expose_secret())),
            "programs.credentials: each must have at least 32 visible ASCII characters (openssl rand -hex 32)",
        );
        let Tokens { lifetime_days_max, per_person_max } = self.tokens;
        require((1..=3650).contains(&lifetime_days_max), "tokens.lifetime_days_max: must be 1 to 3650");
        require((1..=10_000).contains(&per_person_max), "tokens.per_person_max: must be 1 to 10000");
        require((60..=604_800).contains(&self.sessions.ttl_s), "sessions.ttl_s: must be 60 to 604800");
        let per_person_max = self.sessions.per_person_max;
        require((1..=10_000).contains(&per_person_max), "sessions.per_person_max: must be 1 to 10000");
        require((1..=3650).contains(&self.history.kept_days), "history.kept_days: must be 1 to 3650");
    }
}

#[cfg(test)]
mod tests {
    use jaego_settings::{InvalidSettings, Sources, load};

    use super::*;

    fn load_with(changed: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        let url = ("JAEGO_ACCESS__DATABASE__URL".to_owned(), "postgres://role:secret@localhost/access".to_owned());
        let changed = changed.iter().map(|(key, value)| (format!("JAEGO_ACCESS__{key}"), (*value).to_owned()));
        let env = std::iter::once(url).chain(changed).collect();
        let identity = crate::app::IDENTITY;
        load(Sources { defaults: identity.defaults, file: None, env_prefix: identity.env_prefix, env })
    }

    #[test]
    fn the_defaults_lack_only_required_settings() {
        let (old, new) = ("5a".repeat(32), "a5".repeat(32));
        let settings = load_with(&[("PROGRAMS__CREDENTIALS", &format!("{old},{new}"))]).expect("valid");
        assert_eq!(settings.programs.credentials.len(), 2);
        assert!(!format!("{settings:?}").contains(&old));
        assert_eq!((settings.common.http.port, settings.common.http.admin_port), (8380, 9380));
        let InvalidSettings(problems) = load_with(&[]).expect_err("no credential");
        assert_eq!(problems, ["programs.credentials: must contain at least one credential"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let InvalidSettings(problems) = load_with(&[
            ("PROGRAMS__CREDENTIALS", "short"),
            ("TOKENS__LIFETIME_DAYS_MAX", "0"),
            ("TOKENS__PER_PERSON_MAX", "0"),
            ("SESSIONS__TTL_S", "1"),
            ("SESSIONS__PER_PERSON_MAX", "0"),
            ("HISTORY__KEPT_DAYS", "0"),
        ])
        .expect_err("six problems");
        assert_eq!(problems.len(), 6, "{problems:#?}");
    }
}
