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

/// Login of the role that owns the schema, in the same section. Only `migrate` uses it: a running service may not change
/// its schema.
#[derive(Debug, Clone, Deserialize)]
pub struct SchemaOwner {
    /// Like `url`, with the owner's role; empty if the service's role owns the schema.
    pub owner_url: SecretString,
}

impl SchemaOwner {
    /// Adds a message for each invalid value.
    pub fn check(&self, database: &Database, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        let (own, owner) = (parsed(&database.url), parsed(&self.owner_url));
        let is_absent = self.owner_url.expose_secret().is_empty();
        require(
            is_absent || owner.is_some(),
            "database.owner_url: must be empty, or look like postgres://role:password@host:port/name",
        );
        let (Some(own), Some(owner), false) = (own, owner, is_absent) else { return };
        require(
            own.get_user() != owner.get_user(),
            "database.owner_url: must name another role than database.url, because the owner of the schema may change \
             everything in it, and the service may not",
        );
        require(
            own.get_dbname() == owner.get_dbname(),
            "database.owner_url: must name the same database as database.url",
        );
    }
}

fn parsed(url: &SecretString) -> Option<tokio_postgres::Config> {
    url.expose_secret().parse().ok()
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
            url.is_empty() || parsed(&self.url).is_some(),
            "database.url: must look like postgres://role:password@host:port/name (?sslmode= takes disable, prefer and require, which verifies)",
        );
        require((1..=1000).contains(&self.pool_size), "database.pool_size: must be 1 to 1000");
        require(self.wait_timeout_ms >= 1, "database.wait_timeout_ms: must be at least 1");
        require(self.statement_timeout_ms >= 1, "database.statement_timeout_ms: must be at least 1");
    }
}
