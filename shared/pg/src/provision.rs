//! Creates the roles and databases of services on a server, as its administrator. All of it may be repeated, also
//! to set a changed password.

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config};

use super::connect::{ConnectError, client, reason};
use crate::settings::Database;

/// Longest time for one statement, milliseconds, including the wait for another administrator.
const STATEMENT_TIMEOUT_MS: u64 = 60_000;
/// Databases that every server reserves for itself.
const RESERVED_DATABASES: [&str; 3] = ["postgres", "template0", "template1"];

/// A database and the role that owns it.
#[derive(Debug, Clone)]
pub struct Owned {
    database: String,
    role: String,
    password: SecretString,
}

/// Parts that did not exist before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// True if the role was created.
    pub is_new_role: bool,
    /// True if the database was created.
    pub is_new_database: bool,
}

/// Reason why a role or a database was not created. Contains no secrets.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The request is invalid or not allowed; nothing was created.
    #[error("{0}")]
    Invalid(String),
    /// A connection as the administrator could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused a statement.
    #[error("could not {doing}: {reason}")]
    Refused {
        /// Action that failed.
        doing: String,
        /// The server's message.
        reason: String,
    },
}

impl Owned {
    /// Names must match `[a-z][a-z0-9_]{0,62}`; those that PostgreSQL reserves for itself are rejected.
    pub fn new(database: &str, role: &str, password: SecretString) -> Result<Self, ProvisionError> {
        for (kind, name) in [("database", database), ("role", role)] {
            if !is_identifier(name) {
                let message = format!("not a valid {kind} name: {name:?} (wanted [a-z][a-z0-9_]{{0,62}})");
                return Err(ProvisionError::Invalid(message));
            }
        }
        if RESERVED_DATABASES.contains(&database) || role.starts_with("pg_") {
            let message = format!("{role}, {database}: PostgreSQL reserves such names");
            return Err(ProvisionError::Invalid(message));
        }
        if password.expose_secret().is_empty() {
            return Err(ProvisionError::Invalid(format!("the role {role} needs a password")));
        }
        Ok(Self { database: database.to_owned(), role: role.to_owned(), password })
    }

    /// Reads database, role and password from a service's own URL.
    pub fn of_url(url: &str) -> Result<Self, ProvisionError> {
        let expected = || ProvisionError::Invalid("must look like postgres://role:password@host:port/name".to_owned());
        let config: Config = url.parse().map_err(|_| expected())?;
        let password = config.get_password().and_then(|bytes| std::str::from_utf8(bytes).ok());
        match (config.get_dbname(), config.get_user(), password) {
            (Some(database), Some(role), Some(password)) => Self::new(database, role, password.into()),
            _ => Err(expected()),
        }
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role's name.
    pub fn role(&self) -> &str {
        &self.role
    }
}

/// Creates roles and databases as the administrator of `admin`, and returns what is new, in the order of `all`.
/// Afterwards only a database's own role and administrators may connect to it. Everything is checked before anything
/// is created: no administrator's role and no other service's database is taken over.
pub async fn provision(admin: &Database, all: &[Owned]) -> Result<Vec<Made>, ProvisionError> {
    for (index, one) in all.iter().enumerate() {
        if all[..index].iter().any(|other| other.role == one.role || other.database == one.database) {
            let message = format!("{}, {}: each database needs a role of its own", one.role, one.database);
            return Err(ProvisionError::Invalid(message));
        }
    }
    let session = Session { client: client(admin, "jaego-provision", STATEMENT_TIMEOUT_MS).await? };
    for one in all {
        session.check(one).await?;
    }
    let mut made = Vec::new();
    for one in all {
        made.push(session.make(one).await?);
    }
    Ok(made)
}

struct Session {
    client: Client,
}

impl Session {
    async fn check(&self, one: &Owned) -> Result<(), ProvisionError> {
        let Owned { database, role, .. } = one;
        let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1 AND (rolsuper OR rolname = current_user)";
        if self.finds(sql, &[role]).await? {
            let message = format!("{role} is an administrator of this server: a service needs a role of its own");
            return Err(ProvisionError::Invalid(message));
        }
        let sql = "SELECT owner.rolname FROM pg_database JOIN pg_roles AS owner ON owner.oid = datdba \
                   WHERE datname = $1 AND NOT owner.rolsuper AND owner.rolname <> current_user";
        let doing = || format!("look at the database {database}");
        let row = self.client.query_opt(sql, &[database]).await.map_err(|error| refused(doing(), &error))?;
        match row.map(|row| row.get::<_, String>(0)) {
            Some(owner) if owner != *role => {
                Err(ProvisionError::Invalid(format!("the database {database} belongs to {owner}, not to {role}")))
            }
            _ => Ok(()),
        }
    }

    async fn make(&self, one: &Owned) -> Result<Made, ProvisionError> {
        let Owned { database, role, password } = one;
        // Concurrent runs for the same role wait here. The lock is released at the end, or with the session.
        let lock = |verb: &str| format!("SELECT pg_advisory_{verb}(hashtextextended('jaego {role}', 0))");
        self.run("wait for another administrator", &lock("lock")).await?;

        // Only a verifier of the password is sent, because servers log statements.
        let proof = postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
        let is_new_role = !self.finds("SELECT 1 FROM pg_roles WHERE rolname = $1", &[role]).await?;
        let is_superuser = self.finds("SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper", &[]).await?;
        let rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";
        let statement = match (is_new_role, is_superuser) {
            (true, _) => format!("CREATE ROLE \"{role}\" {rights} PASSWORD '{proof}'"),
            (false, true) => format!("ALTER ROLE \"{role}\" {rights} PASSWORD '{proof}'"),
            // Only a superuser may name attributes that only superusers can grant, even to revoke them.
            (false, false) => format!("ALTER ROLE \"{role}\" LOGIN NOCREATEDB NOCREATEROLE PASSWORD '{proof}'"),
        };
        self.run(&format!("create the role {role}"), &statement).await?;
        if is_superuser {
            // Transient errors are recognized by their text, and a role may not set its message language itself.
            self.run("set the language of messages", &format!("ALTER ROLE \"{role}\" SET lc_messages TO 'C'")).await?;
        } else {
            // Only a member of a role can make it the owner of a database.
            self.run(&format!("become a member of {role}"), &format!("GRANT \"{role}\" TO CURRENT_USER")).await?;
        }

        let is_new_database = !self.finds("SELECT 1 FROM pg_database WHERE datname = $1", &[database]).await?;
        let statement = if is_new_database {
            format!("CREATE DATABASE \"{database}\" OWNER \"{role}\" ENCODING 'UTF8'")
        } else {
            format!("ALTER DATABASE \"{database}\" OWNER TO \"{role}\"")
        };
        self.run(&format!("create the database {database}"), &statement).await?;
        let statement = format!("REVOKE CONNECT, TEMPORARY ON DATABASE \"{database}\" FROM PUBLIC");
        self.run(&format!("protect the database {database}"), &statement).await?;
        self.run("release the lock for other administrators", &lock("unlock")).await?;
        Ok(Made { is_new_role, is_new_database })
    }

    async fn finds(&self, sql: &str, names: &[&(dyn ToSql + Sync)]) -> Result<bool, ProvisionError> {
        let row = self.client.query_opt(sql, names).await;
        row.map(|row| row.is_some()).map_err(|error| refused("look for roles and databases".to_owned(), &error))
    }

    async fn run(&self, doing: &str, statement: &str) -> Result<(), ProvisionError> {
        self.client.batch_execute(statement).await.map_err(|error| refused(doing.to_owned(), &error))
    }
}

fn refused(doing: String, error: &tokio_postgres::Error) -> ProvisionError {
    ProvisionError::Refused { doing, reason: reason(error) }
}

/// Accepts only names that need no escaping inside quotes.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 63
        && chars.next().is_some_and(|first| first.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_names_that_are_not_reserved_pass() {
        assert!(Owned::new("t_1_sales", "sales", "x".into()).is_ok());
        for bad in ["", "1a", "_a", "a-b", "A", "a\"; DROP", "a'b", "é", &"a".repeat(64)] {
            assert!(Owned::new(bad, "sales", "x".into()).is_err(), "{bad}");
            assert!(Owned::new("sales", bad, "x".into()).is_err(), "{bad}");
        }
        assert!(Owned::new("postgres", "sales", "x".into()).is_err());
        assert!(Owned::new("sales", "pg_read_all_data", "x".into()).is_err());
        assert!(Owned::new("sales", "sales", "".into()).is_err());
    }

    #[test]
    fn a_url_is_read_with_its_escapes_and_never_shown() {
        let owned = Owned::of_url("postgres://jaego_sales:p%40ss%2Fw@db:5432/sales?sslmode=require").expect("read");
        assert_eq!((owned.database(), owned.role()), ("sales", "jaego_sales"));
        assert_eq!(owned.password.expose_secret(), "p@ss/w");
        for bad in [
            "postgres://role@db/sales",
            "postgres://role:very-secret@db",
            "very-secret",
            "postgres://:very-secret@db/x",
        ] {
            let error = Owned::of_url(bad).expect_err(bad).to_string();
            assert!(!error.contains("very-secret"), "{error}");
        }
    }
}
