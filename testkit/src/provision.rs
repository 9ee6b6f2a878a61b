//! Databases, roles, vhosts, users and permissions, for tests and for the local stack. Everything
//! here may be done twice.

mod amqp;
mod broker;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, error::SqlState};
use url::Url;

pub use self::{
    amqp::{amqp_depth, amqp_purge, amqp_renew},
    broker::{Broker, Message, MessageProperties, QueueInfo},
};
use crate::error::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes a database that belongs to `role`, and the role, and answers the role's URL for it. Nobody
/// else but the administrator may connect.
pub async fn create_database(admin_url: &str, name: &str, role: &str, password: &str) -> Result<String> {
    let (name_sql, role_sql) = (identifier(name)?, identifier(role)?);
    let password_sql = literal(password)?;
    let url = url_of(admin_url, name, Some((role, password)))?;
    let session = Session::open(admin_url).await?;

    let doing = || format!("create the role {role}");
    let known = session.client.query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&role]).await;
    let verb = if known.map_err(|source| postgres(doing(), source))?.is_some() { "ALTER" } else { "CREATE" };
    session
        .run(
            doing(),
            &format!(
                "{verb} ROLE {role_sql} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {password_sql}"
            ),
        )
        .await?;

    let doing = || format!("create the database {name}");
    let known = session.client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await;
    if known.map_err(|source| postgres(doing(), source))?.is_some() {
        session.run(doing(), &format!("ALTER DATABASE {name_sql} OWNER TO {role_sql}")).await?;
    } else {
        session.run(doing(), &format!("CREATE DATABASE {name_sql} OWNER {role_sql} ENCODING 'UTF8'")).await?;
    }
    session
        .run(
            format!("protect the database {name}"),
            &format!("REVOKE CONNECT, TEMPORARY ON DATABASE {name_sql} FROM PUBLIC"),
        )
        .await?;
    Ok(url)
}

/// Removes a database, whoever is connected to it, and its role.
pub async fn drop_database(admin_url: &str, name: &str, role: &str) -> Result<()> {
    let (name_sql, role_sql) = (identifier(name)?, identifier(role)?);
    let session = Session::open(admin_url).await?;
    session
        .run(format!("drop the database {name}"), &format!("DROP DATABASE IF EXISTS {name_sql} WITH (FORCE)"))
        .await?;
    session.run(format!("drop the role {role}"), &format!("DROP ROLE IF EXISTS {role_sql}")).await
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

/// An AMQP URL on this machine.
pub fn amqp_url(port: u16, user: &str, password: &str, vhost: &str) -> String {
    format!("amqp://{}:{}@127.0.0.1:{port}/{}", percent_encode(user), percent_encode(password), percent_encode(vhost))
}

/// Everything but letters, digits, `-`, `.`, `_` and `~` is escaped.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;

    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
        encoded
    })
}

struct Session {
    client: Client,
}

impl Session {
    async fn open(url: &str) -> Result<Self> {
        let doing = || "connect as the administrator".to_owned();
        let mut config: Config = url.parse().map_err(|source| postgres(doing(), source))?;
        config.connect_timeout(CONNECT_TIMEOUT);
        let (client, connection) = timeout(CONNECT_TIMEOUT, config.connect(NoTls))
            .await
            .map_err(|_| Error::Invalid(format!("PostgreSQL took more than {CONNECT_TIMEOUT:?} to connect")))?
            .map_err(|source| postgres(doing(), source))?;
        // Ends with the client; its errors come out of the client's calls.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// Runs a statement; that somebody else did the same at the same moment is fine.
    async fn run(&self, doing: String, statement: &str) -> Result<()> {
        match self.client.batch_execute(statement).await {
            Err(source)
                if source
                    .code()
                    .is_some_and(|code| [SqlState::DUPLICATE_OBJECT, SqlState::DUPLICATE_DATABASE].contains(code)) =>
            {
                Ok(())
            }
            other => other.map_err(|source| postgres(doing, source)),
        }
    }
}

fn postgres(doing: String, source: tokio_postgres::Error) -> Error {
    Error::Postgres { doing, source }
}

/// A quoted identifier; only the harmless ones.
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

/// A quoted string; PostgreSQL takes backslashes as they are.
fn literal(text: &str) -> Result<String> {
    if text.contains('\0') {
        return Err(Error::Invalid("a password cannot contain a NUL".into()));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
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
