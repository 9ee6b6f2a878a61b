//! Settings of HTTP.

use jaego_settings::require;
use serde::Deserialize;

use crate::auth::OperatorToken;

/// Listeners and limits of HTTP.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// Address to listen on.
    pub host: String,
    /// Port of the listener `api`: all routes.
    pub port: u16,
    /// Port of the listener `public`: routes that an ingress may expose.
    pub public_port: u16,
    /// Port of the listener `admin`: probes and metrics.
    pub admin_port: u16,
    /// Worker threads per listener.
    pub workers: usize,
    /// Maximum connections per listener; beyond it, those that have waited longest for their client are closed.
    pub connections_max: usize,
}

/// Access to operator endpoints.
#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    /// `name:role:sha256` with role `viewer` or `operator` and the digest of the token in hexadecimal.
    pub tokens: Vec<String>,
}

impl Http {
    /// Adds a sentence for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(self.host.parse::<std::net::IpAddr>().is_ok(), "http.host: must be an IP address");
        require((1..=1024).contains(&self.workers), "http.workers: must be 1 to 1024");
        require(self.connections_max >= 1, "http.connections_max: must be at least 1");
        let ports = [self.port, self.public_port, self.admin_port];
        let twice = (0..3).any(|index| ports[index] != 0 && ports[..index].contains(&ports[index]));
        require(!twice, "http.port, http.public_port, http.admin_port: must differ");
    }
}

impl Auth {
    /// Adds a sentence for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        for (index, token) in self.tokens.iter().enumerate() {
            if token.parse::<OperatorToken>().is_err() {
                problems.push(format!(
                    "auth.tokens: entry {} must be name:role:sha256 with role viewer or operator and 64 hexadecimal digits",
                    index + 1
                ));
            }
        }
    }
}
