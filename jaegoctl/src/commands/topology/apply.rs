//! `jaegoctl topology apply`.

use std::path::PathBuf;

use clap::Args;
use jaego_amqp::provision;
use jaego_amqp::provision::Login;
use jaego_contracts::topology::{User, definitions};
use jaego_net::patience::try_for;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Names, Scope, Seen, compare::Difference, look, make, print_differences};
use crate::{
    args::Wait,
    ask::confirm,
    broker::{Broker, BrokerArgs},
    commands::show::text,
    connection::{Connection, secret_of_file},
    failure::{Exit, Failure, Result},
    output::{Output, Spinner, say},
    service::Service,
    service_urls::{ServiceUrl, ServiceUrls},
};

/// Create what is missing on a broker, and set the services' rights; never deletes anything
///
/// The command can be repeated. Objects that exist with other arguments cannot be changed in place: they are
/// reported, and the command exits with 5. Rights of users that do not exist are reported, too: create the
/// users with --make-users, or have them created first by whoever has the passwords.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Apply {
    /// Create the virtual host if it is missing
    #[arg(long)]
    create_vhost: bool,
    /// Create the services' users, or set their passwords: those in the services' own URLs, which are read
    /// from SALES_AMQP_URL, PRODUCTION_AMQP_URL, RESTOCK_AMQP_URL and FRONTEND_AMQP_URL or from files; only
    /// those that are given are created
    #[arg(long)]
    make_users: bool,
    /// Leave users and rights alone, if something else manages them; needs no administrator, only a user with
    /// the tag `management` that may configure, write and read everything in the virtual host
    #[arg(long, conflicts_with_all = ["make_users", "create_vhost"])]
    without_rights: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    urls: ServiceUrls,
    /// A file with the URL of the frontend
    #[arg(long, value_name = "FILE", help_heading = "Services' own URLs")]
    frontend_url_file: Option<PathBuf>,
}

/// Variable with the URL of the frontend's own broker user.
const FRONTEND_VARIABLE: &str = "FRONTEND_AMQP_URL";

impl Apply {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let broker = self.broker.broker(connection)?;
        let logins = if self.make_users { self.logins(&broker)? } else { Vec::new() };
        let scope = if self.without_rights { Scope::WithoutRights } else { Scope::All };
        let before = self.look_before(&broker, scope, &logins).await?;
        let spinner = Spinner::new("Applying");
        // The broker accepts whole definitions from administrators only, who need no rights in the virtual
        // host for that. It accepts single resources from every user with those rights.
        if scope == Scope::WithoutRights {
            for make in make::missing(&definitions(), &before.actual, broker.vhost()) {
                broker.write(make.method, &make.path, &make.body).await?;
            }
        } else if !before.differences.is_empty() {
            broker.write(Method::POST, &broker.definitions_path(), &definitions()).await?;
        }
        for login in &logins {
            let put = provision::user(&login.user, &login.password);
            broker.write(Method::PUT, &put.path, &put.body).await?;
        }
        if scope == Scope::All && !(before.differences.is_empty() && logins.is_empty()) {
            self.apply_rights(&broker).await?;
        }
        drop(spinner);
        let after = look(&broker, &self.names, scope).await?.differences;
        Ok(report(output, &broker, &before.differences, &after, &logins))
    }

    /// Compares before anything is changed, asks for confirmation, and makes the virtual host.
    async fn look_before(&self, broker: &Broker, scope: Scope, logins: &[Login]) -> Result<Seen> {
        let looked = try_for(
            self.wait.limit(),
            |failure: &Failure| failure.exit == Exit::NoAnswer,
            |failure| say(&format!("waiting: {failure}")),
            async || look(broker, &self.names, scope).await,
        )
        .await;
        match looked {
            Err(failure) if failure.status == Some(404) && self.create_vhost => {
                self.check_users(broker, logins).await?;
                confirm(&format!("Create the virtual host {} with all its contents?", broker.vhost()), self.yes)?;
                broker.write(Method::PUT, &broker.vhost_path(), &json!({})).await?;
                look(broker, &self.names, scope).await
            }
            Err(failure) if failure.status == Some(404) && !self.without_rights => {
                let message = format!("{failure}\nGive --create-vhost to create it.");
                Err(Failure { message, ..failure })
            }
            other => {
                let before = other?;
                self.check_users(broker, logins).await?;
                for difference in &before.differences {
                    say(&difference.to_string());
                }
                for login in logins {
                    say(&format!("to be created, or its password set: user {}", login.user));
                }
                if !(before.differences.is_empty() && logins.is_empty()) {
                    confirm(&format!("Apply the topology to {}?", broker.source()), self.yes)?;
                }
                Ok(before)
            }
        }
    }

    /// The users to be made; each must have the name that the topology gives it.
    fn logins(&self, broker: &Broker) -> Result<Vec<Login>> {
        let given = self.urls.read(&Service::MESSAGING, Service::broker_variable)?;
        let mut logins = given
            .iter()
            .map(|ServiceUrl { service, source, url }| {
                self.login(broker, service.name(), service.user_name(), source, url)
            })
            .collect::<Result<Vec<_>>>()?;
        let (source, url) = match &self.frontend_url_file {
            Some(path) => (path.display().to_string(), secret_of_file(path)?),
            None => (FRONTEND_VARIABLE.to_owned(), std::env::var(FRONTEND_VARIABLE).unwrap_or_default()),
        };
        if !url.trim().is_empty() {
            let url = SecretString::from(url.trim().to_owned());
            logins.push(self.login(broker, "the frontend", User::Frontend.name(), &source, &url)?);
        } else if self.frontend_url_file.is_some() {
            return Err(Failure::usage(format!("{source}: contains no URL")));
        }
        Ok(logins)
    }

    /// The user in a URL, which must be the one of `whose`.
    fn login(&self, broker: &Broker, whose: &str, user: &str, source: &str, url: &SecretString) -> Result<Login> {
        let login = Login::of_url(url.expose_secret())
            .ok_or_else(|| Failure::usage(format!("{source}: must look like amqp://user:password@host:port/vhost")))?;
        let expected = format!("{}{user}", self.names.user_prefix);
        if login.user != expected {
            let message = format!("{source}: the user of {whose} must be {expected}, not {}", login.user);
            return Err(Failure::usage(format!("{message} (--user-prefix TEXT puts TEXT before all names)")));
        }
        if login.vhost != broker.vhost() {
            let message = format!("{source}: its virtual host is {}, but --vhost {}", login.vhost, broker.vhost());
            return Err(Failure::usage(message));
        }
        Ok(login)
    }

    /// A user with a tag belongs to a person, above all an administrator, and must not become a service's
    /// user.
    async fn check_users(&self, broker: &Broker, logins: &[Login]) -> Result<()> {
        if logins.is_empty() {
            return Ok(());
        }
        let users = broker.get_global("users").await?;
        for user in users.as_array().into_iter().flatten() {
            // A list since RabbitMQ 3.9, a string before.
            let is_tagged =
                user["tags"].as_array().map_or_else(|| !text(user, "tags").is_empty(), |tags| !tags.is_empty());
            if let Some(login) = logins.iter().find(|login| user["name"] == login.user.as_str() && is_tagged) {
                let message =
                    format!("the user {} has the tags {}: a service's user has none", login.user, user["tags"]);
                return Err(Failure::new(Exit::Refused, message));
            }
        }
        Ok(())
    }

    /// Sets the rights of users that exist; the others are among the differences.
    async fn apply_rights(&self, broker: &Broker) -> Result<()> {
        let users = broker.get_global("users").await?;
        let users = users.as_array().ok_or_else(|| Failure::not_understood("the broker", "no list of users"))?;
        let users: Vec<String> = users.iter().map(|user| text(user, "name")).collect();
        for user in User::ALL {
            let name = format!("{}{}", self.names.user_prefix, user.name());
            if !users.contains(&name) {
                continue;
            }
            for put in provision::rights(broker.vhost(), &name, &user.permissions()) {
                broker.write(Method::PUT, &put.path, &put.body).await?;
            }
        }
        Ok(())
    }
}

fn report(output: Output, broker: &Broker, before: &[Difference], after: &[Difference], logins: &[Login]) -> Exit {
    let done: Vec<&Difference> = before.iter().filter(|difference| !after.contains(difference)).collect();
    for login in logins {
        output.line(format!("set: password of user {}", login.user));
    }
    for difference in &done {
        output.line(format!("set: {}", difference.subject()));
    }
    let well = if done.is_empty() && logins.is_empty() {
        "Nothing to do: everything is as in the topology"
    } else {
        "Applied: everything is as in the topology"
    };
    let exit = print_differences(output, broker, after, well);
    if after.iter().any(Difference::is_other) {
        say("Objects that differ cannot be changed in place: empty them, delete them by hand, and apply again.");
    }
    if after.iter().any(Difference::is_missing_right) {
        say(
            "Rights cannot be given to users that do not exist: create them (--make-users, or rabbitmqctl add_user), and apply again.",
        );
    }
    exit
}
