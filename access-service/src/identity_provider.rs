//! The identity provider as it is configured: its registrations, and the names and roles that its people get.

use anyhow::anyhow;
use jaego_oidc::provider::{Client, Grant, Provider, Request, Tokens};
use jaego_oidc::{Claims, Error};
use jaego_web::auth::Role;
use secrecy::ExposeSecret;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::role_of_groups;
use crate::seal::Seal;
use crate::settings::Oidc;

/// Maximum length of a name, in characters.
const NAME_LENGTH_MAX: usize = 128;

/// The program that a sign-in returns to. Each has a registration of its own at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    Console,
    /// `jaegoctl login`, which listens on this port of its own machine.
    Cli {
        port: u16,
    },
}

impl Registration {
    /// Its name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Cli { .. } => "cli",
        }
    }
}

pub(crate) struct IdentityProvider {
    pub(crate) provider: Provider,
    pub(crate) settings: Oidc,
    console: Client,
    cli: Option<Client>,
    seal: Seal,
}

impl IdentityProvider {
    /// None if none is configured.
    pub(crate) fn of(settings: &Oidc) -> anyhow::Result<Option<Self>> {
        if !settings.is_configured() {
            return Ok(None);
        }
        let secret = Some(settings.client_secret.clone()).filter(|secret| !secret.expose_secret().is_empty());
        let cli = Some(settings.cli_client_id.clone()).filter(|id| !id.is_empty());
        Ok(Some(Self {
            provider: Provider::new(&settings.issuer, &settings.ca_file).map_err(|error| anyhow!(error))?,
            console: Client { id: settings.client_id.clone(), secret },
            cli: cli.map(|id| Client { id, secret: None }),
            seal: Seal::of(&settings.sealing_key).map_err(|_| anyhow!("oidc.sealing_key cannot be used"))?,
            settings: settings.clone(),
        }))
    }

    /// The registration of this name; None if `jaegoctl login` is not offered.
    pub(crate) fn client(&self, name: &str) -> Option<&Client> {
        if name == Registration::Console.name() { Some(&self.console) } else { self.cli.as_ref() }
    }

    /// Calls `ask` with the request for a registration; None if it is not offered.
    pub(crate) async fn with_request<T>(
        &self,
        registration: Registration,
        ask: impl AsyncFnOnce(Request<'_>) -> T,
    ) -> Option<T> {
        let redirect_url = match registration {
            Registration::Console => self.settings.redirect_url.clone(),
            Registration::Cli { port } => format!("http://127.0.0.1:{port}/return"),
        };
        let Oidc { scopes, prompt, .. } = &self.settings;
        let client = self.client(registration.name())?;
        Some(ask(Request { client, redirect_url: &redirect_url, scopes, prompt }).await)
    }

    /// The claims that are needed at a sign-in.
    pub(crate) fn wanted(&self) -> [&str; 2] {
        [&self.settings.groups_claim, &self.settings.name_claim]
    }

    /// The person's name, behind a prefix that no configured token's name can have: what is theirs is never taken for
    /// that of a configured token's holder.
    pub(crate) fn name(&self, claims: &Claims) -> Result<String, Error> {
        let claim = &self.settings.name_claim;
        let name = claims.get(claim).and_then(Value::as_str).map_or("", str::trim);
        let is_readable = (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if is_readable {
            return Ok(format!("oidc:{name}"));
        }
        Err(Error::Refused(format!("the claim {claim} (oidc.name_claim) has no readable name")))
    }

    /// The role that the person's groups give.
    pub(crate) fn role(&self, claims: &Claims) -> Option<Role> {
        let Oidc { groups_claim, operator_groups, viewer_groups, .. } = &self.settings;
        let groups: Vec<&str> = match claims.get(groups_claim) {
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(group)) => vec![group],
            _ => Vec::new(),
        };
        role_of_groups(&groups, &[(Role::Operator, operator_groups), (Role::Viewer, viewer_groups)])
    }

    /// Seals the provider's tokens of a person.
    pub(crate) fn close(&self, person: Uuid, grant: &Grant) -> Result<Vec<u8>, Error> {
        let text = serde_json::to_vec(&grant.tokens).map_err(|error| Error::Unavailable(error.to_string()))?;
        self.seal.close(person, text).map_err(|_| Error::Unavailable("its tokens cannot be sealed".to_owned()))
    }

    /// The provider's tokens of a person.
    pub(crate) fn open(&self, person: Uuid, sealed: &[u8]) -> Option<Tokens> {
        serde_json::from_slice(&self.seal.open(person, sealed)?).ok()
    }
}
