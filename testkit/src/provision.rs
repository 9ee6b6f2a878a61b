//! Databases, roles, vhosts, users and permissions, for tests and for the local stack. All operations may be
//! repeated.

mod amqp;
mod broker;

use std::time::Duration;

use jaego_amqp::provision::segment;
use jaego_pg::Migrator;
use jaego_pg::provision::{Login, Owned, ProvisionError, provision};
use jaego_pg::settings::{Database, SchemaOwner};
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls};
use url::Url;

pub use self::{
    amqp::{amqp_depth, amqp_purge, amqp_renew},
    broker::{Broker, Message, MessageProperties, QueueInfo},
};
use crate::error::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Addresses of a database on a server without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrls {
    /// Connects as the service's role.
    pub url: String,
    /// Connects as the role that owns the database.
    pub owner_url: String,
}

impl DatabaseUrls {
    /// The login for `jaego_pg::migrate`.
    ///
    /// # Panics
    /// When the URLs do not belong together.
    #[expect(clippy::panic, reason = "test support: `create_database` returns what belongs together")]
    pub fn migrator(&self) -> Migrator {
        let owner = SchemaOwner { owner_url: without_tls(&self.owner_url).into() };
        Migrator::new(database(&without_tls(&self.url)), owner).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Our programs want it stated that a server has no TLS.
pub fn without_tls(url: &str) -> String {
    format!("{url}?sslmode=disable")
}

fn database(url: &str) -> Database {
    Database {
        url: url.to_owned().into(),
        ca_file: String::new(),
        pool_size: 1,
        wait_timeout_ms: 0,
        statement_timeout_ms: 0,
        lock_timeout_ms: 0,
    }
}

/// Creates a database for the service's role, and a role that owns it. Only these and the administrator may connect.
pub async fn create_database(
    admin_url: &str,
    name: &str,
    role: &str,
    password: &str,
    owner_password: &str,
) -> Result<DatabaseUrls> {
    let owner = owner_of(role);
    let invalid = |error: ProvisionError| Error::Invalid(format!("PostgreSQL: {error}"));
    let login = |role: &str, password: &str| Login::new(role, password.into()).map_err(invalid);
    let owned = Owned::new(name, login(role, password)?, login(&owner, owner_password)?).map_err(invalid)?;
    provision(&database(admin_url), &[owned]).await.map_err(invalid)?;
    Ok(DatabaseUrls {
        url: url_of(admin_url, name, Some((role, password)))?,
        owner_url: url_of(admin_url, name, Some((&owner, owner_password)))?,
    })
}

/// Name of the role that owns the database of a service's role.
fn owner_of(role: &str) -> String {
    format!("{role}_owner")
}

/// Drops a database, even while clients are connected, and its roles.
pub async fn drop_database(admin_url: &str, name: &str, role: &str) -> Result<()> {
    let (name_sql, role_sql, owner_sql) = (identifier(name)?, identifier(role)?, identifier(&owner_of(role))?);
    let doing = || "connect as the administrator".to_owned();
    let mut config: Config = admin_url.parse().map_err(|source| postgres(doing(), source))?;
    config.connect_timeout(CONNECT_TIMEOUT);
    let (client, connection) = timeout(CONNECT_TIMEOUT, config.connect(NoTls))
        .await
        .map_err(|_| Error::Invalid(format!("PostgreSQL took more than {CONNECT_TIMEOUT:?} to connect")))?
        .map_err(|source| postgres(doing(), source))?;
    // The task ends with the client, whose calls return its errors.
    tokio::spawn(connection);
    for (what, statement) in [
        (format!("drop the database {name}"), format!("DROP DATABASE IF EXISTS {name_sql} WITH (FORCE)")),
        (format!("drop the roles of {role}"), format!("DROP ROLE IF EXISTS {role_sql}, {owner_sql}")),
    ] {
        client.batch_execute(&statement).await.map_err(|source| postgres(what, source))?;
    }
    Ok(())
}

/// The URL of another database on the same server; with `login`, as another role.
pub fn url_of(admin_url: &str, database: &str, login: Option<(&str, &str)>) -> Result<String> {
    let bad = || Error::Invalid("the administrator's URL of PostgreSQL has no host".into());
    let mut url = Url::parse(admin_url)
        .map_err(|error| Error::Invalid(format!("the administrator's URL of PostgreSQL: {error}")))?;
    url.set_path(database);
    if let Some((role, password)) = login {
        url.set_username(role).map_err(|()| bad())?;
        url.set_password(Some(password)).map_err(|()| bad())?;
    }
    Ok(url.into())
}

/// The administrator's URL of the database that another URL names.
pub fn beside(admin_url: &str, url: &str) -> Result<String> {
    let url = Url::parse(url).map_err(|error| Error::Invalid(format!("the URL of a database: {error}")))?;
    url_of(admin_url, url.path(), None)
}

/// AMQP URL of a broker on this machine.
pub fn amqp_url(port: u16, user: &str, password: &str, vhost: &str) -> String {
    format!("amqp://{}:{}@127.0.0.1:{port}/{}", segment(user), segment(password), segment(vhost))
}

fn postgres(doing: String, source: tokio_postgres::Error) -> Error {
    Error::Postgres { doing, source }
}

/// Quotes an identifier; accepts only harmless ones.
fn identifier(name: &str) -> Result<String> {
    let mut chars = name.chars();
    let valid = name.len() <= 63
        && chars.next().is_some_and(|first| first.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if valid {
        Ok(format!("\"{name}\""))
    } else {
        Err(Error::Invalid(format!("not a name for a database or role: {name:?} (wanted [a-z][a-z0-9_]{{0,62}})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_identifiers_pass() {
        assert_eq!(identifier("t_1_sales").unwrap(), "\"t_1_sales\"");
        for bad in ["", "1a", "_a", "a-b", "A", "a\"; DROP", "é", &"a".repeat(64)] {
            assert!(identifier(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_escape_what_they_must() {
        assert_eq!(amqp_url(5672, "u", "p@/", "/"), "amqp://u:p%40%2F@127.0.0.1:5672/%2F");
        assert_eq!(
            url_of("postgres://a:b@127.0.0.1:5/postgres", "sales", Some(("s", "p@:"))).unwrap(),
            "postgres://s:p%40%3A@127.0.0.1:5/sales"
        );
        assert_eq!(url_of("postgres://a:b@h:5/postgres", "x", None).unwrap(), "postgres://a:b@h:5/x");
    }
}
