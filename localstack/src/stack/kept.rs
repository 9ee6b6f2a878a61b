//! Secrets and keys, which stay the same from one `up` to the next. Only their owner can read them.

use std::{collections::BTreeMap, fs, os::unix::fs::DirBuilderExt as _, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use testkit::{
    keys::CallbackKeys,
    servers::{random_secret, write_private},
};

use super::{frontend::FRONTEND, service::Service};

const SECRETS: &str = "secrets.json";
const PRIVATE_KEY: &str = "callback-private.pem";
const PUBLIC_KEY: &str = "callback-public.pem";

pub(super) struct Kept {
    pub(super) secrets: Secrets,
    pub(super) keys: CallbackKeys,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) operator_token: String,
    pub(super) viewer_token: String,
    /// Credential by which access-service knows the other programs.
    #[serde(default)]
    pub(super) program_credential: String,
    database_passwords: BTreeMap<String, String>,
    #[serde(default)]
    database_owner_passwords: BTreeMap<String, String>,
    broker_passwords: BTreeMap<String, String>,
}

impl Secrets {
    fn new() -> Self {
        let mut secrets = Self {
            operator_token: format!("operator-{}", random_secret()),
            viewer_token: format!("viewer-{}", random_secret()),
            program_credential: String::new(),
            database_passwords: BTreeMap::new(),
            database_owner_passwords: BTreeMap::new(),
            broker_passwords: BTreeMap::new(),
        };
        secrets.complete();
        secrets
    }

    /// Adds what is missing, for example in a file of an earlier version. Returns whether anything was added.
    fn complete(&mut self) -> bool {
        let mut is_changed = false;
        let mut put = |passwords: &mut BTreeMap<String, String>, user: &str| {
            passwords.entry(user.to_owned()).or_insert_with(|| {
                is_changed = true;
                random_secret()
            });
        };
        for service in Service::ALL {
            put(&mut self.database_passwords, service.name());
            put(&mut self.database_owner_passwords, service.name());
        }
        for service in Service::MESSAGING {
            put(&mut self.broker_passwords, service.name());
        }
        put(&mut self.broker_passwords, FRONTEND);
        if self.program_credential.is_empty() {
            self.program_credential = random_secret();
            is_changed = true;
        }
        is_changed
    }

    /// Passwords of the service's role, and of the role that owns its database.
    pub(super) fn database_passwords(&self, service: Service) -> [&str; 2] {
        [&self.database_passwords, &self.database_owner_passwords]
            .map(|passwords| passwords.get(service.name()).map_or("", String::as_str))
    }

    /// Returns an empty string for an unknown user.
    pub(super) fn broker_password(&self, user: &str) -> &str {
        self.broker_passwords.get(user).map_or("", String::as_str)
    }
}

impl Kept {
    /// Reads the secrets and keys, or creates them.
    pub(super) fn load(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { secrets: load_secrets(dir)?, keys: load_keys(&dir.join("keys"))? })
    }
}

fn load_secrets(dir: &Path) -> anyhow::Result<Secrets> {
    let path = dir.join(SECRETS);
    let known = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Secrets>(&text).ok());
    let mut secrets = match known {
        Some(known) => known,
        None => Secrets::new(),
    };
    if !secrets.complete() && path.is_file() {
        return Ok(secrets);
    }
    write_private(&path, 0o600, &serde_json::to_string_pretty(&secrets)?)?;
    Ok(secrets)
}

fn load_keys(dir: &Path) -> anyhow::Result<CallbackKeys> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok().filter(|text| !text.is_empty());
    if let (Some(private_pem), Some(public_pem)) = (read(PRIVATE_KEY), read(PUBLIC_KEY)) {
        return Ok(CallbackKeys { private_pem, public_pem });
    }
    if !dir.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let keys = CallbackKeys::generate()?;
    write_private(&dir.join(PRIVATE_KEY), 0o600, &keys.private_pem)?;
    write_private(&dir.join(PUBLIC_KEY), 0o600, &keys.public_pem)?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn missing_files_of_an_older_version_are_added_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let first = Kept::load(root.path()).unwrap();
        let path = root.path().join(SECRETS);
        let mut kept: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        kept.as_object_mut().unwrap().remove("program_credential");
        kept.as_object_mut().unwrap().remove("database_owner_passwords");
        kept["broker_passwords"].as_object_mut().unwrap().remove(FRONTEND);
        fs::write(&path, kept.to_string()).unwrap();
        let second = Kept::load(root.path()).unwrap();
        assert_eq!(first.secrets.operator_token, second.secrets.operator_token);
        let (passwords, before) =
            (second.secrets.database_passwords(Service::Sales), first.secrets.database_passwords(Service::Sales));
        assert!(passwords[0] == before[0] && !passwords[1].is_empty() && passwords[1] != before[1]);
        assert_eq!(first.secrets.broker_password("sales"), second.secrets.broker_password("sales"));
        assert_eq!(
            (second.secrets.program_credential.len(), second.secrets.broker_password(FRONTEND).is_empty()),
            (32, false)
        );
        assert_eq!(Kept::load(root.path()).unwrap().secrets.program_credential, second.secrets.program_credential);
    }

    #[test]
    fn secrets_and_keys_stay_and_are_private() {
        let root = tempfile::tempdir().unwrap();
        let first = Kept::load(root.path()).unwrap();
        let second = Kept::load(root.path()).unwrap();
        assert_eq!(first.secrets.operator_token, second.secrets.operator_token);
        assert_eq!(first.secrets.broker_password("frontend"), second.secrets.broker_password(FRONTEND));
        assert_eq!(first.secrets.program_credential, second.secrets.program_credential);
        assert_eq!(first.keys.private_pem, second.keys.private_pem);
        for name in [SECRETS, "keys/callback-private.pem"] {
            assert_eq!(fs::metadata(root.path().join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
        }
    }
}
