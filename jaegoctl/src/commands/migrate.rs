//! `jaegoctl migrate`: migrates a service's database to the newest schema.
//!
//! The migrations are compiled in from the services' files. The services' own programs have the same
//! `migrate` command, but are not available where an operator works, and depending on the services' crates
//! would link all of them into this program.

use std::path::PathBuf;

use clap::Args;
use jaego_pg::settings::{Database, SchemaOwner};
use jaego_pg::{Migrations, Migrator, migrations};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::{
    failure::{Exit, Failure, Result},
    output::{Output, Spinner},
    service::Service,
    service_urls::ServiceUrl,
};

const SALES: Migrations = migrations!("../sales-service/migrations");
const PRODUCTION: Migrations = migrations!("../production-service/migrations");
const RESTOCK: Migrations = migrations!("../restock-service/migrations");
const ACCESS: Migrations = migrations!("../access-service/migrations");

/// Timeout of a statement before the migrations themselves, milliseconds.
const STATEMENT_TIMEOUT_MS: u64 = 10_000;

/// Migrate a service's database to the newest schema, as the service's own `migrate` does
///
/// The service's URL is read from SALES_DATABASE_URL, PRODUCTION_DATABASE_URL, RESTOCK_DATABASE_URL or
/// ACCESS_DATABASE_URL, and the owner's from SALES_DATABASE_OWNER_URL and so on, or both from files: they contain
/// passwords, and arguments are visible to others. The owner migrates, and gives the service's role the rights that it needs; without an
/// owner's URL the service's role migrates, and may change and delete everything afterwards. Programs of the
/// previous release keep working during and after the migration. Running it again changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The service whose database is migrated
    #[arg(long, value_enum)]
    service: Service,
    /// A file with the database's URL
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// A file with the URL of the database's owner
    #[arg(long, value_name = "FILE")]
    owner_url_file: Option<PathBuf>,
    /// A PEM file with certificate authorities to trust, in addition to those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Migrate {
    pub(crate) async fn run(self, output: Output) -> Result<Exit> {
        let service = self.service;
        let (url, owner_url) = self.urls()?;
        let settings = Database {
            url,
            ca_file: self.ca_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
            pool_size: 1,
            wait_timeout_ms: 5000,
            statement_timeout_ms: STATEMENT_TIMEOUT_MS,
            lock_timeout_ms: 0,
        };
        let place = place(settings.url.expose_secret())?;
        let has_owner = owner_url.is_some();
        let owner = SchemaOwner { owner_url: owner_url.unwrap_or_default() };
        let migrator = Migrator::new(settings, owner).map_err(Failure::usage)?;
        // A failed connection is reported separately from a failed migration.
        jaego_pg::connect(&migrator.login, "jaegoctl", STATEMENT_TIMEOUT_MS).await.map_err(|error| {
            let set_by = if has_owner {
                format!("{} or --owner-url-file", service.database_owner_variable())
            } else {
                format!("{} or --database-url-file", service.database_variable())
            };
            let message =
                format!("cannot connect to the database of {service} at {place}: {error}\nThe URL is set by {set_by}.");
            Failure::new(Exit::NoAnswer, message)
        })?;
        let spinner = Spinner::new(&format!("Migrating the database of {service}"));
        let own = match service {
            Service::Sales => SALES,
            Service::Production => PRODUCTION,
            Service::Restock => RESTOCK,
            Service::Access => ACCESS,
        };
        let applied = jaego_pg::migrate(&migrator, own).await;
        drop(spinner);
        let applied = applied
            .map_err(|error| Failure::new(Exit::Failed, format!("the database of {service} at {place}: {error}")))?;
        for version in &applied {
            output.line(format!("applied {version}"));
        }
        output.line(match applied.len() {
            0 => format!("The database of {service} at {place} was at the newest schema."),
            count => {
                format!("The database of {service} at {place} is at the newest schema: {count} migrations applied.")
            }
        });
        output.document(&json!({"service": service.name(), "database": place, "applied": applied}));
        Ok(Exit::Ok)
    }

    /// URLs with the service's role, and with the owner of the database if one is given.
    fn urls(&self) -> Result<(SecretString, Option<SecretString>)> {
        let (service, variable) = (self.service, self.service.database_variable());
        let given = ServiceUrl::read(service, self.database_url_file.as_ref(), variable)?;
        let given = given.ok_or_else(|| {
            Failure::usage(format!(
                "the URL of the database of {service} is not known: set {variable} or give --database-url-file (for a \
                 local stack: source target/dev/env)"
            ))
        })?;
        let owner = ServiceUrl::read(service, self.owner_url_file.as_ref(), service.database_owner_variable())?;
        Ok((given.url, owner.map(|owner| owner.url)))
    }
}

/// Host, port and name of a database, for display.
pub(super) fn place(url: &str) -> Result<String> {
    let bad = || Failure::usage("the database's URL must be postgres://role:password@host:port/name");
    let url = url::Url::parse(url).map_err(|_| bad())?;
    match (url.scheme(), url.host_str()) {
        ("postgres" | "postgresql", Some(host)) => Ok(format!("{host}:{}{}", url.port().unwrap_or(5432), url.path())),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_its_password() {
        assert_eq!(place("postgres://r:secret@db:5433/x?sslmode=require").as_deref(), Ok("db:5433/x"));
        assert_eq!(place("postgresql://db/x").as_deref(), Ok("db:5432/x"));
        for bad in ["host=db password=secret", "http://r:secret@h/x", ""] {
            assert!(place(bad).is_err_and(|error| !error.message.contains("secret")), "{bad}");
        }
    }
}
