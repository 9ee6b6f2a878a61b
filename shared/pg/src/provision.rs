//! Creates the roles and databases of services on a server, as its administrator. All of it may be repeated, also
//! to set a changed password.

mod ownership;

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config};

use super::connect::{ConnectError, client, reason};
use crate::settings::Database;

const APPLICATION: &str = "jaego-provision";
/// Longest time for one statement, milliseconds, including the wait for another administrator.
const STATEMENT_TIMEOUT_MS: u64 = 60_000;
/// Databases that every server reserves for itself.
const RESERVED_DATABASES: [&str; 3] = ["postgres", "template0", "template1"];

/// A role and its password.
#[derive(Debug, Clone)]
pub struct Login {
    role: String,
    password: SecretString,
}

/// A database, the role of the service that works with it, and the role that owns it and its tables.
#[derive(Debug, Clone)]
pub struct Owned {
    database: String,
    service: Login,
    owner: Login,
}

/// Parts that did not exist before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// True if the service's role was created.
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

impl Login {
    /// The name must match `[a-z][a-z0-9_]{0,62}`; those that PostgreSQL reserves for itself are rejected.
    pub fn new(role: &str, password: SecretString) -> Result<Self, ProvisionError> {
        check_name("role", role, role.starts_with("pg_"))?;
        if password.expose_secret().is_empty() {
            return Err(ProvisionError::Invalid(format!("the role {role} needs a password")));
        }
        Ok(Self { role: role.to_owned(), password })
    }

    /// Reads role, password and the database's name from a URL.
    pub fn of_url(url: &str) -> Result<(Self, String), ProvisionError> {
        let expected = || ProvisionError::Invalid("must look like postgres://role:password@host:port/name".to_owned());
        let config: Config = url.parse().map_err(|_| expected())?;
        let password = config.get_password().and_then(|bytes| std::str::from_utf8(bytes).ok());
        match (config.get_dbname(), config.get_user(), password) {
            (Some(database), Some(role), Some(password)) => {
                Ok((Self::new(role, password.into())?, database.to_owned()))
            }
            _ => Err(expected()),
        }
    }
}

impl Owned {
    /// The database's name follows the same rules as a role's.
    pub fn new(database: &str, service: Login, owner: Login) -> Result<Self, ProvisionError> {
        check_name("database", database, RESERVED_DATABASES.contains(&database))?;
        Ok(Self { database: database.to_owned(), service, owner })
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Name of the service's role.
    pub fn role(&self) -> &str {
        &self.service.role
    }

    /// Name of the role that owns the database.
    pub fn owner(&self) -> &str {
        &self.owner.role
    }

    fn logins(&self) -> [&Login; 2] {
        [&self.owner, &self.service]
    }
}

fn check_name(kind: &str, name: &str, is_reserved: bool) -> Result<(), ProvisionError> {
    let problem = match (is_identifier(name), is_reserved) {
        (true, false) => return Ok(()),
        (true, true) => format!("{name}: PostgreSQL reserves such names"),
        (false, _) => format!("not a valid {kind} name: {name:?} (wanted [a-z][a-z0-9_]{{0,62}})"),
    };
    Err(ProvisionError::Invalid(problem))
}

/// Creates roles and databases as the administrator of `admin`, and returns what is new, in the order of `all`.
/// Afterwards only a database's own roles and administrators may connect to it, and only its owner may change its
/// schema, also where the service's role has owned everything so far. Everything is checked before anything is created:
/// no administrator's role and no other service's database is taken over.
pub async fn provision(admin: &Database, all: &[Owned]) -> Result<Vec<Made>, ProvisionError> {
    let (mut roles, mut databases) = (BTreeSet::new(), BTreeSet::new());
    for one in all {
        let Owned { database, service, owner } = one;
        if !databases.insert(database) || !roles.insert(&service.role) || !roles.insert(&owner.role) {
            let message =
                format!("{}, {}, {database}: each database needs two roles of its own", service.role, owner.role);
            return Err(ProvisionError::Invalid(message));
        }
    }
    let session = Session { client: client(admin, None, APPLICATION, STATEMENT_TIMEOUT_MS).await? };
    for one in all {
        session.check(one).await?;
    }
    let mut made = Vec::new();
    for one in all {
        made.push(session.make(admin, one).await?);
    }
    Ok(made)
}

struct Session {
    client: Client,
}

impl Session {
    async fn check(&self, one: &Owned) -> Result<(), ProvisionError> {
        let Owned { database, service, owner: own } = one;
        for Login { role, .. } in one.logins() {
            let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1 AND (rolsuper OR rolname = current_user)";
            if self.finds(sql, &[role]).await? {
                let message = format!("{role} is an administrator of this server: a service needs roles of its own");
                return Err(ProvisionError::Invalid(message));
            }
        }
        let sql = "SELECT owner.rolname FROM pg_database JOIN pg_roles AS owner ON owner.oid = datdba \
                   WHERE datname = $1 AND NOT owner.rolsuper AND owner.rolname <> current_user";
        let doing = || format!("look at the database {database}");
        let row = self.client.query_opt(sql, &[database]).await.map_err(|error| refused(doing(), &error))?;
        match row.map(|row| row.get::<_, String>(0)) {
            Some(owner) if owner != service.role && owner != own.role => {
                Err(ProvisionError::Invalid(format!("the database {database} belongs to {owner}, not to {}", own.role)))
            }
            _ => Ok(()),
        }
    }

    async fn make(&self, admin: &Database, one: &Owned) -> Result<Made, ProvisionError> {
        let Owned { database, service, owner } = one;
        // Concurrent runs for the same role wait here. The lock is released at the end, or with the session.
        let lock = |verb: &str| format!("SELECT pg_advisory_{verb}(hashtextextended('jaego {}', 0))", service.role);
        self.run("wait for another administrator", &lock("lock")).await?;
        self.make_role(owner).await?;
        let is_new_role = self.make_role(service).await?;

        let is_new_database = !self.finds("SELECT 1 FROM pg_database WHERE datname = $1", &[database]).await?;
        if is_new_database {
            let statement = format!("CREATE DATABASE \"{database}\" OWNER \"{}\" ENCODING 'UTF8'", owner.role);
            self.run(&format!("create the database {database}"), &statement).await?;
        }
        let statement = format!("REVOKE CONNECT, TEMPORARY ON DATABASE \"{database}\" FROM PUBLIC");
        self.run(&format!("protect the database {database}"), &statement).await?;
        let inside = client(admin, Some(database), APPLICATION, STATEMENT_TIMEOUT_MS).await?;
        Session { client: inside }.hand_over(one).await?;
        self.run("release the lock for other administrators", &lock("unlock")).await?;
        Ok(Made { is_new_role, is_new_database })
    }

    /// Returns true if the role is new.
    async fn make_role(&self, Login { role, password }: &Login) -> Result<bool, ProvisionError> {
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
        Ok(is_new_role)
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
        let login = |role: &str| Login::new(role, "x".into());
        let named =
            |database: &str| Owned::new(database, login("sales").expect("a role"), login("owner").expect("a role"));
        assert!(named("t_1_sales").is_ok());
        for bad in ["", "1a", "_a", "a-b", "A", "a\"; DROP", "a'b", "é", &"a".repeat(64)] {
            assert!(named(bad).is_err(), "{bad}");
            assert!(login(bad).is_err(), "{bad}");
        }
        assert!(named("postgres").is_err());
        assert!(login("pg_read_all_data").is_err());
        assert!(Login::new("sales", "".into()).is_err());
    }

    #[test]
    fn a_url_is_read_with_its_escapes_and_never_shown() {
        let url = "postgres://jaego_sales:p%40ss%2Fw@db:5432/sales?sslmode=require";
        let (login, database) = Login::of_url(url).expect("read");
        assert_eq!((database.as_str(), login.role.as_str()), ("sales", "jaego_sales"));
        assert_eq!(login.password.expose_secret(), "p@ss/w");
        for bad in [
            "postgres://role@db/sales",
            "postgres://role:very-secret@db",
            "very-secret",
            "postgres://:very-secret@db/x",
        ] {
            let error = Login::of_url(bad).expect_err(bad).to_string();
            assert!(!error.contains("very-secret"), "{error}");
        }
    }
}
