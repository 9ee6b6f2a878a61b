//! `jaegoctl database`: the services' roles and databases, created by an administrator of the server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jaego_net::patience::try_for;
use jaego_pg::ConnectError;
use jaego_pg::provision::{Owned, ProvisionError, provision};
use jaego_pg::settings::Database as Settings;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::migrate::place;
use crate::{
    args::Wait,
    connection::secret_of_file,
    failure::{Exit, Failure, Result},
    output::{Output, say},
    service::Service,
    service_urls::{ServiceUrl, ServiceUrls},
};

const ADMIN_VARIABLE: &str = "POSTGRES_ADMIN_URL";

/// The services' roles and databases on a PostgreSQL server
#[derive(Debug, Subcommand)]
pub(crate) enum Database {
    Apply(Apply),
}

/// Create the services' roles and databases on a server, and deny access to everybody else
///
/// Role, password and database are those of a service's own URL, which is read from SALES_DATABASE_URL,
/// PRODUCTION_DATABASE_URL, RESTOCK_DATABASE_URL and ACCESS_DATABASE_URL or from files; only those that are given are created.
/// The administrator's URL names the server and the role that creates them. The command can be repeated: it
/// sets passwords that have changed, and never deletes anything. `migrate` creates the tables in a database.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A file with the administrator's URL; default: the environment variable POSTGRES_ADMIN_URL
    #[arg(long, value_name = "FILE")]
    admin_url_file: Option<PathBuf>,
    /// A PEM file with certificate authorities to trust, in addition to those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    urls: ServiceUrls,
}

impl Database {
    pub(crate) async fn run(self, output: Output) -> Result<Exit> {
        let Self::Apply(apply) = self;
        apply.run(output).await
    }
}

impl Apply {
    async fn run(self, output: Output) -> Result<Exit> {
        let given = self.urls.read(&Service::ALL, Service::database_variable)?;
        let owned = given.iter().map(owned).collect::<Result<Vec<Owned>>>()?;
        let admin = self.admin()?;
        let server = place(admin.url.expose_secret())?;
        let made = try_for(
            self.wait.limit(),
            |error| matches!(error, ProvisionError::Connect(ConnectError::Unreachable(_))),
            |error| say(&format!("waiting for PostgreSQL at {server}: {error}")),
            async || provision(&admin, &owned).await,
        )
        .await;
        let made = made.map_err(|error| failure(&server, &error))?;
        let mut databases: Vec<Value> = Vec::new();
        for ((given, owned), made) in given.iter().zip(&owned).zip(made) {
            let (role, database, service) = (owned.role(), owned.database(), given.service);
            output.line(format!(
                "{service}: role {role} {}, database {database} {}",
                if made.is_new_role { "created" } else { "already existed, its password is set" },
                if made.is_new_database { "created" } else { "already existed" },
            ));
            databases.push(json!({
                "service": service.name(), "role": role, "is_new_role": made.is_new_role,
                "database": database, "is_new_database": made.is_new_database,
            }));
        }
        output.line(format!("Only these roles and administrators of {server} may connect to them."));
        output.document(&json!({"server": server, "databases": databases}));
        Ok(Exit::Ok)
    }

    fn admin(&self) -> Result<Settings> {
        let url = match &self.admin_url_file {
            Some(path) => secret_of_file(path)?,
            None => std::env::var(ADMIN_VARIABLE).unwrap_or_default(),
        };
        let url = url.trim();
        if url.is_empty() {
            return Err(Failure::usage(format!(
                "the administrator's URL of the server is not known: set {ADMIN_VARIABLE} or give --admin-url-file \
                 (postgres://role:password@host:port/postgres)"
            )));
        }
        Ok(Settings {
            url: SecretString::from(url.to_owned()),
            ca_file: self.ca_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
            pool_size: 1,
            wait_timeout_ms: 5000,
            statement_timeout_ms: 60_000,
            lock_timeout_ms: 0,
        })
    }
}

fn owned(given: &ServiceUrl) -> Result<Owned> {
    let owned = Owned::of_url(given.url.expose_secret());
    owned.map_err(|error| Failure::usage(format!("{}: {error}", given.source)))
}

fn failure(server: &str, error: &ProvisionError) -> Failure {
    let exit = match error {
        ProvisionError::Connect(ConnectError::Unreachable(_)) => Exit::NoAnswer,
        ProvisionError::Connect(ConnectError::Unusable(_)) => Exit::Usage,
        _ => Exit::Refused,
    };
    let todo = match error {
        ProvisionError::Connect(_) => format!("\nIts URL is set by {ADMIN_VARIABLE} or --admin-url-file."),
        _ => String::new(),
    };
    Failure::new(exit, format!("PostgreSQL at {server}: {error}{todo}"))
}
