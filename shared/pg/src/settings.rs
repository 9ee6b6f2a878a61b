//! Database settings.

use jaego_net::tls;
use jaego_settings::require;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Settings of the service's own PostgreSQL database.
#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    /// `postgres://role:password@host:port/name?sslmode=require`.
    pub url: SecretString,
    /// PEM file of certificate authorities for the server, in addition to the system's; empty for the system's alone.
    pub ca_file: String,
    /// Maximum connections in the pool.
    pub pool_size: usize,
    /// Longest wait for a connection, milliseconds.
    pub wait_timeout_ms: u64,
    /// Longest time for one statement, milliseconds.
    pub statement_timeout_ms: u64,
    /// Longest wait for a row lock that another transaction holds, milliseconds; with 0 only the statement timeout
    /// applies.
    pub lock_timeout_ms: u64,
}

impl Database {
    /// Adds a message for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        if let Err(error) = tls::authorities(&self.ca_file) {
            problems.push(format!("database.ca_file: {error}"));
        }
        let mut require = |good, problem| require(good, problem, problems);
        let url = self.url.expose_secret();
        require(!url.is_empty(), "database.url: must be set");
        require(
            url.is_empty() || url.parse::<tokio_postgres::Config>().is_ok(),
            "database.url: must look like postgres://role:password@host:port/name (?sslmode= takes disable, prefer and require, which verifies)",
        );
        require((1..=1000).contains(&self.pool_size), "database.pool_size: must be 1 to 1000");
        require(self.wait_timeout_ms >= 1, "database.wait_timeout_ms: must be at least 1");
        require(self.statement_timeout_ms >= 1, "database.statement_timeout_ms: must be at least 1");
    }
}
