//! `jaegoctl database`: the services' roles and databases, created by an administrator of the server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jaego_net::patience::try_for;
use jaego_pg::ConnectError;
use jaego_pg::provision::{Login, Owned, ProvisionError, provision};
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
/// Each service gets a database, a role that works with it, and a role that owns it, which only `migrate` uses.
/// Roles, passwords and database are those of the service's two URLs, which are read from SALES_DATABASE_URL
/// and SALES_DATABASE_OWNER_URL, PRODUCTION_.., RESTOCK_.. and ACCESS_.. or from files; only those services that
/// are given are prepared. The administrator's URL names the server and the role that creates them. The command can be
/// repeated: it sets passwords that have changed, and never deletes anything. Where a service's role has owned
/// its tables so far, they get the new owner while the service goes on working. `migrate` creates the tables in
/// a database, and gives the service's role the rights that it needs.
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
    #[command(flatten)]
    owner_urls: OwnerUrls,
}

/// Files with the URLs of the roles that own the databases.
#[derive(Debug, Args)]
#[command(next_help_heading = "URLs of the databases' owners")]
#[expect(clippy::struct_field_names, reason = "they are called like their flags")]
struct OwnerUrls {
    /// A file with the URL of the owner of sales-service's database
    #[arg(long, value_name = "FILE")]
    sales_owner_url_file: Option<PathBuf>,
    /// A file with the URL of the owner of production-service's database
    #[arg(long, value_name = "FILE")]
    production_owner_url_file: Option<PathBuf>,
    /// A file with the URL of the owner of restock-service's database
    #[arg(long, value_name = "FILE")]
    restock_owner_url_file: Option<PathBuf>,
    /// A file with the URL of the owner of access-service's database
    #[arg(long, value_name = "FILE")]
    access_owner_url_file: Option<PathBuf>,
}

impl OwnerUrls {
    fn read(&self, service: Service) -> Result<ServiceUrl> {
        let (file, flag) = match service {
            Service::Sales => (&self.sales_owner_url_file, "--sales-owner-url-file"),
            Service::Production => (&self.production_owner_url_file, "--production-owner-url-file"),
            Service::Restock => (&self.restock_owner_url_file, "--restock-owner-url-file"),
            Service::Access => (&self.access_owner_url_file, "--access-owner-url-file"),
        };
        let variable = service.database_owner_variable();
        ServiceUrl::read(service, file.as_ref(), variable)?.ok_or_else(|| {
            Failure::usage(format!("the owner of {service}'s database is not known: set {variable} or give {flag}"))
        })
    }
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
        let admin = self.admin()?;
        let owned = |given: &ServiceUrl| owned(given, &self.owner_urls.read(given.service)?);
        let owned = given.iter().map(owned).collect::<Result<Vec<Owned>>>()?;
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
            let (role, owner, database, service) = (owned.role(), owned.owner(), owned.database(), given.service);
            output.line(format!(
                "{service}: role {role} {}, database {database} {}, its owner is {owner}",
                if made.is_new_role { "created" } else { "already existed, its password is set" },
                if made.is_new_database { "created" } else { "already existed" },
            ));
            databases.push(json!({
                "service": service.name(), "role": role, "is_new_role": made.is_new_role,
                "owner": owner, "database": database, "is_new_database": made.is_new_database,
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

fn owned(given: &ServiceUrl, owner: &ServiceUrl) -> Result<Owned> {
    let usage = |source: &str, error: &ProvisionError| Failure::usage(format!("{source}: {error}"));
    let read = |url: &ServiceUrl| Login::of_url(url.url.expose_secret()).map_err(|error| usage(&url.source, &error));
    let ((service, database), (login, of_owner)) = (read(given)?, read(owner)?);
    if database != of_owner {
        let message = format!("{}: must name the database {database}, as {} does", owner.source, given.source);
        return Err(Failure::usage(message));
    }
    Owned::new(&database, service, login).map_err(|error| usage(&given.source, &error))
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
