//! Environment variables of the stack's programs, and the file `env` for the user's shell.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use sha2::{Digest as _, Sha256};
use testkit::servers::write_private;

use super::{
    DRAIN, Stack,
    frontend::FRONTEND,
    service::{Service, Urls},
};

/// Variables that programs inherit from this process, besides their own settings.
const INHERITED: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"];

impl Stack {
    /// Environment of a service. Settings in the user's environment (`JAEGO_SALES__TELEMETRY__LOG=debug`) override
    /// the stack's preferences, but not the addresses by which its parts find each other.
    pub(super) fn environment(
        &self,
        service: Service,
        further: &[(&'static str, String)],
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let (prefix, mut env) = self.common_environment(service.name())?;
        let mut set = |key: &str, value: String| env.insert(format!("{prefix}{key}"), value);
        set("DATABASE__URL", self.running_servers()?.database_url(service));
        match service {
            Service::Sales => {}
            Service::Access => {
                set("PROGRAMS__CREDENTIALS", self.kept.secrets.program_credential.clone());
            }
            Service::Production => {
                set("CALLBACK__BASE_URL", self.urls(Service::Restock).public);
                set("CALLBACK__SIGNING_KEY", self.kept.keys.private_pem.clone());
                // The simulated factory runs on this machine.
                set("DELIVERY__ALLOWED_NETWORKS", "127.0.0.0/8,::1/128".to_owned());
            }
            Service::Restock => {
                set("CALLBACK__PUBLIC_KEYS", self.kept.keys.public_pem.clone());
            }
        }
        for (owner, key, value) in &self.options.settings {
            if *owner == service {
                set(key, value.clone());
            }
        }
        for (key, value) in further {
            set(key, value.clone());
        }
        Ok(env)
    }

    /// Environment of the frontend: no TLS on this machine, and a simulated factory to control from the pages.
    pub(super) fn frontend_environment(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let (prefix, mut env) = self.common_environment(FRONTEND)?;
        let mut set = |key: &str, value: String| env.insert(format!("{prefix}{key}"), value);
        set("SERVICES__SALES_PUBLIC_URL", self.urls(Service::Sales).public);
        for service in Service::MESSAGING {
            set(&format!("SERVICES__{}_URL", service.upper()), self.urls(service).api);
        }
        set("SESSION__SECURE", "false".to_owned());
        set("DEMO__FACTORY_URL", self.factory_url());
        Ok(env)
    }

    /// Environment that all programs have in common, and the prefix of the program's settings.
    fn common_environment(&self, name: &str) -> anyhow::Result<(String, BTreeMap<String, String>)> {
        let prefix = format!("JAEGO_{}__", name.to_uppercase());
        // Logs are written to files.
        let mut env = BTreeMap::from([("NO_COLOR".to_owned(), "1".to_owned())]);
        let mut set = |key: &str, value: String| env.insert(format!("{prefix}{key}"), value);
        set("TELEMETRY__LOG", "info".to_owned());
        set("TELEMETRY__LOG_FORMAT", "text".to_owned());
        set("SHUTDOWN__DRAIN_MS", DRAIN.as_millis().to_string());
        for (name, value) in std::env::vars() {
            if name.starts_with(&prefix) || INHERITED.contains(&name.as_str()) {
                env.insert(name, value);
            }
        }
        let mut set = |key: &str, value: String| env.insert(format!("{prefix}{key}"), value);
        set("HTTP__HOST", "127.0.0.1".to_owned());
        let listeners = ["HTTP__PORT", "HTTP__PUBLIC_PORT", "HTTP__ADMIN_PORT"];
        for (key, port) in listeners.into_iter().zip(self.ports.of(name)) {
            set(key, port.to_string());
        }
        if name != FRONTEND {
            set("AUTH__TOKENS", self.token_entries());
        }
        if name != Service::Access.name() {
            set("AMQP__URL", self.running_servers()?.broker_url(name));
            set("ACCESS__URL", self.urls(Service::Access).api);
            set("ACCESS__CREDENTIAL", self.kept.secrets.program_credential.clone());
        }
        Ok((prefix, env))
    }

    /// Value of `auth.tokens`. Services only know digests.
    fn token_entries(&self) -> String {
        let entry =
            |name: &str, role: &str, token: &str| format!("{name}:{role}:{}", hex::encode(Sha256::digest(token)));
        let operator = entry("local-operator", "operator", self.operator_token());
        let viewer = entry("local-viewer", "viewer", self.viewer_token());
        format!("{operator},{viewer}")
    }

    /// Path of the file that [`Self::write_env_file`] writes.
    pub fn env_file(&self) -> PathBuf {
        self.dir().join(ENV_FILE)
    }

    /// Writes a file that a shell can source.
    pub fn write_env_file(&self) -> anyhow::Result<()> {
        let servers = self.running_servers()?;
        let mut text = String::from("# Made by `cargo xtask up`; to be sourced by a shell.\n");
        let mut export = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            writeln!(text, "export {name}={}", shell_quoted(value)).ok();
        };
        let mut export_urls = |upper: &str, urls: Urls| {
            export(&format!("{upper}_URL"), &urls.api);
            export(&format!("{upper}_PUBLIC_URL"), &urls.public);
            export(&format!("{upper}_ADMIN_URL"), &urls.admin);
        };
        if self.frontend.is_some() {
            export_urls("FRONTEND", self.frontend_urls());
        }
        for service in Service::ALL {
            export_urls(&service.upper(), self.urls(service));
        }
        for service in Service::ALL {
            export(&format!("{}_DATABASE_URL", service.upper()), &servers.database_url(service));
            export(&format!("{}_DATABASE_OWNER_URL", service.upper()), &servers.database_owner_url(service));
        }
        export("FACTORY_URL", &self.factory_url());
        export("OPERATOR_TOKEN", self.operator_token());
        export("VIEWER_TOKEN", self.viewer_token());
        export("POSTGRES_ADMIN_URL", &servers.postgres_admin_url()?);
        export("AMQP_ADMIN_URL", &servers.amqp_admin_url());
        if let Some((url, user, password)) = servers.management() {
            export("RABBITMQ_MANAGEMENT_URL", &url);
            export("RABBITMQ_ADMIN_USER", &user);
            export("RABBITMQ_ADMIN_PASSWORD", &password);
        }
        Ok(write_private(&self.env_file(), 0o600, &text)?)
    }
}

/// Name of the environment file in the stack's folder.
pub const ENV_FILE: &str = "env";

fn shell_quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_survive_a_shell() {
        assert_eq!(shell_quoted("a b"), "'a b'");
        assert_eq!(shell_quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
