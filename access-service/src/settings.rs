//! The service's settings; `config/default.toml` names and explains every key.

use jaego_access::settings::is_credential;
use jaego_oidc::provider::is_safe;
use jaego_service::settings::Quiet;
use jaego_settings::require;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    #[serde(flatten)]
    pub common: Quiet,
    pub programs: Programs,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub oidc: Oidc,
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

/// Sign-in at an identity provider.
#[derive(Debug, Clone, Deserialize)]
pub struct Oidc {
    /// The provider; empty: there is none.
    pub issuer: String,
    /// The console's registration at the provider.
    pub client_id: String,
    pub client_secret: SecretString,
    /// The registration of `jaegoctl login`; empty: it is not offered.
    pub cli_client_id: String,
    /// Address of the console to which the provider returns.
    pub redirect_url: String,
    pub scopes: Vec<String>,
    pub prompt: String,
    pub name_claim: String,
    pub groups_claim: String,
    pub operator_groups: Vec<String>,
    pub viewer_groups: Vec<String>,
    /// Time for which people keep their role while the provider does not answer, seconds.
    pub grace_s: u32,
    /// Key by which the provider's tokens are sealed in the database.
    pub sealing_key: SecretString,
    /// PEM file with further authorities for the provider's certificate.
    pub ca_file: String,
}

impl Oidc {
    /// Path of the console to which the provider returns.
    pub const RETURN_PATH: &str = "/session/provider/return";

    pub fn is_configured(&self) -> bool {
        !self.issuer.is_empty()
    }

    fn check(&self, problems: &mut Vec<String>) {
        if !self.is_configured() {
            return;
        }
        let mut require = |good, problem| require(good, problem, problems);
        let url = Url::parse(&self.issuer).ok();
        require(
            is_safe(&self.issuer) && url.is_some_and(|url| url.query().is_none() && url.fragment().is_none()),
            "oidc.issuer: must be the provider's https URL, as its metadata state it (http only on this machine)",
        );
        require(!self.client_id.is_empty(), "oidc.client_id: must be the console's client id at the provider");
        let returns = Url::parse(&self.redirect_url)
            .is_ok_and(|url| url.path() == Self::RETURN_PATH && url.query().is_none() && url.fragment().is_none());
        require(
            is_safe(&self.redirect_url) && returns,
            "oidc.redirect_url: must be the console's https URL with the path /session/provider/return, as registered \
             at the provider",
        );
        require(self.scopes.iter().any(|scope| scope == "openid"), "oidc.scopes: must contain openid");
        require(!self.name_claim.is_empty(), "oidc.name_claim: must name the claim with the person's name");
        require(!self.groups_claim.is_empty(), "oidc.groups_claim: must name the claim with the person's groups");
        let groups = || self.operator_groups.iter().chain(&self.viewer_groups);
        require(
            groups().next().is_some() && groups().all(|group| !group.trim().is_empty()),
            "oidc.operator_groups, oidc.viewer_groups: must name at least one group, and no empty one",
        );
        require(self.grace_s <= 3600, "oidc.grace_s: must be 0 to 3600");
        require(
            is_credential(self.sealing_key.expose_secret()),
            "oidc.sealing_key: must have at least 32 visible ASCII characters (openssl rand -hex 32)",
        );
    }
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
        self.oidc.check(problems);
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

    #[test]
    fn an_identity_provider_needs_all_of_its_settings() {
        let key = "5a".repeat(32);
        let whole = [
            ("PROGRAMS__CREDENTIALS", key.as_str()),
            ("OIDC__ISSUER", "https://login.example/realms/jaego"),
            ("OIDC__CLIENT_ID", "console"),
            ("OIDC__CLIENT_SECRET", "not shown"),
            ("OIDC__REDIRECT_URL", "https://console.example/session/provider/return"),
            ("OIDC__VIEWER_GROUPS", "staff"),
            ("OIDC__SEALING_KEY", key.as_str()),
        ];
        let settings = load_with(&whole).expect("valid");
        assert!(settings.oidc.is_configured() && !format!("{settings:?}").contains("not shown"));
        let InvalidSettings(problems) = load_with(&whole[..2]).expect_err("only the issuer");
        assert_eq!(problems.len(), 4, "{problems:#?}");
        for (key, bad) in [
            ("OIDC__ISSUER", "http://login.example"),
            ("OIDC__ISSUER", "https://login.example/?x=1"),
            ("OIDC__REDIRECT_URL", "http://console.example/session/provider/return"),
            ("OIDC__REDIRECT_URL", "https://console.example/session"),
            ("OIDC__SCOPES", "profile"),
            ("OIDC__VIEWER_GROUPS", " "),
            ("OIDC__GRACE_S", "3601"),
            ("OIDC__SEALING_KEY", "short"),
        ] {
            let changed: Vec<_> = whole.iter().filter(|(name, _)| *name != key).copied().chain([(key, bad)]).collect();
            let InvalidSettings(problems) = load_with(&changed).expect_err(bad);
            assert_eq!(problems.len(), 1, "{problems:#?}");
        }
    }
}
