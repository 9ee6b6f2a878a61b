//! `jaegoctl topology`: exchanges, queues, bindings and rights, from the one table in code.

mod compare;
mod kubernetes;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    amqp::{
        definitions::with_rights,
        topology::{User, definitions},
    },
    contracts::asyncapi,
};

use self::compare::{Actual, Difference, differences};
use crate::{
    ask::confirm,
    broker::{Broker, BrokerArgs},
    commands::show::text,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, Spinner, json, print, say},
};

/// The broker's exchanges, queues, bindings and the services' rights: print, compare, apply
#[derive(Debug, Subcommand)]
pub(crate) enum Topology {
    Print(Print),
    Diff(Diff),
    Apply(Apply),
}

/// Print the topology as RabbitMQ's definitions, or the events as an AsyncAPI 3 document; asks nobody
///
/// The definitions hold no users: whoever has the passwords makes the users sales, production and
/// restock, before the rights are applied.
#[derive(Debug, Args)]
pub(crate) struct Print {
    /// The AsyncAPI 3 document instead
    #[arg(long)]
    asyncapi: bool,
    /// Users and rights as objects of RabbitMQ's messaging topology operator instead, in YAML
    #[arg(long, conflicts_with = "asyncapi")]
    kubernetes: bool,
    /// The virtual host in the definitions
    #[arg(long, value_name = "NAME", env = "RABBITMQ_VHOST", hide_env_values = true, default_value = "jaego")]
    vhost: String,
    #[command(flatten)]
    names: Names,
}

/// Tell how a broker differs from the topology; ends with 5 when it does
///
/// Queues and bindings that other programs have of their own are no difference.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Make what is missing on a broker, and set the services' rights; never deletes anything
///
/// May be done again and again. What exists with other arguments cannot be changed in place: it is
/// told, and the command ends with 5. Rights of users that do not exist are told, too: whoever has the
/// passwords makes the users first.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Make the virtual host when it is missing
    #[arg(long)]
    create_vhost: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// How the users are called.
#[derive(Debug, Args)]
struct Names {
    /// Comes before sales, production and restock in the names of the services' users
    #[arg(long, value_name = "TEXT", default_value = "")]
    user_prefix: String,
}

impl Topology {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        match self {
            Self::Print(Print { kubernetes: true, vhost, .. }) => {
                print(kubernetes::objects(&vhost).trim_end());
                Ok(Exit::Ok)
            }
            Self::Print(Print { asyncapi, vhost, names, .. }) => {
                let document = if asyncapi { asyncapi::document() } else { with_rights(&vhost, &names.user_prefix) };
                print(&json(&document));
                Ok(Exit::Ok)
            }
            Self::Diff(Diff { names, broker }) => {
                let broker = broker.broker(connection)?;
                let found = look(&broker, &names).await?;
                Ok(tell(output, &broker, &found, "As in the topology"))
            }
            Self::Apply(apply) => apply.run(connection, output).await,
        }
    }
}

impl Apply {
    async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let broker = self.broker.broker(connection)?;
        let before = match look(&broker, &self.names).await {
            Err(failure) if failure.status == Some(404) && self.create_vhost => {
                confirm(&format!("Make the virtual host {} and all that is in it?", broker.vhost()), self.yes)?;
                broker.write(Method::PUT, "vhosts", None, &json!({})).await?;
                look(&broker, &self.names).await?
            }
            Err(failure) if failure.status == Some(404) => {
                let message = format!("{failure}\nGive --create-vhost to make it.");
                return Err(Failure { message, ..failure });
            }
            other => {
                let before = other?;
                if !before.is_empty() {
                    for difference in &before {
                        say(&difference.to_string());
                    }
                    confirm(&format!("Apply the topology to {}?", broker.source()), self.yes)?;
                }
                before
            }
        };
        if !before.is_empty() {
            let spinner = Spinner::new("Applying");
            broker.write(Method::POST, "definitions", None, &definitions()).await?;
            self.apply_rights(&broker).await?;
            drop(spinner);
        }
        let after = look(&broker, &self.names).await?;
        let done: Vec<&Difference> = before.iter().filter(|difference| !after.contains(difference)).collect();
        for difference in &done {
            output.line(format!("set: {}", difference.subject()));
        }
        let exit = tell(
            output,
            &broker,
            &after,
            if done.is_empty() {
                "Nothing to do: all is as in the topology"
            } else {
                "Applied: all is as in the topology"
            },
        );
        if after.iter().any(Difference::is_other) {
            say("What is different cannot be changed in place: empty it, delete it by hand, and apply again.");
        }
        if after.iter().any(Difference::is_missing_right) {
            say(
                "Rights cannot be given to users that do not exist: make them (rabbitmqctl add_user), and apply again.",
            );
        }
        Ok(exit)
    }

    /// Of users that exist; the others are among the differences.
    async fn apply_rights(&self, broker: &Broker) -> Result<()> {
        let users = broker.get_global("users").await?;
        let users = users.as_array().ok_or_else(|| Failure::not_understood("the broker", "no list of users"))?;
        let users: Vec<String> = users.iter().map(|user| text(user, "name")).collect();
        for user in User::ALL {
            let (name, rights) = (format!("{}{}", self.names.user_prefix, user.name()), user.permissions());
            if !users.contains(&name) {
                continue;
            }
            // First what narrows: without topic permissions every routing key is allowed.
            for (exchange, keys) in &rights.topics {
                let body = json!({"exchange": exchange, "write": keys, "read": "^$"});
                broker.write(Method::PUT, "topic-permissions", Some(&name), &body).await?;
            }
            let body = json!({"configure": rights.configure, "write": rights.write, "read": rights.read});
            broker.write(Method::PUT, "permissions", Some(&name), &body).await?;
        }
        Ok(())
    }
}

async fn look(broker: &Broker, names: &Names) -> Result<Vec<Difference>> {
    let spinner = Spinner::new("Looking at the broker");
    let vhost = broker.get("vhosts", &[]).await?;
    if vhost["name"] != broker.vhost() {
        return Err(Failure::not_understood("the broker", "no name of the virtual host"));
    }
    let (exchanges, queues, bindings) =
        tokio::try_join!(list(broker, "exchanges"), list(broker, "queues"), list(broker, "bindings"))?;
    let (permissions, topic_permissions) =
        tokio::try_join!(broker.get_global("permissions"), broker.get_global("topic-permissions"))?;
    let here = |items: Value| -> Vec<Value> {
        let Value::Array(items) = items else { return Vec::new() };
        items.into_iter().filter(|item| item["vhost"] == broker.vhost()).collect()
    };
    drop(spinner);
    let actual = Actual {
        exchanges,
        queues,
        bindings,
        permissions: here(permissions),
        topic_permissions: here(topic_permissions),
    };
    Ok(differences(&with_rights(broker.vhost(), &names.user_prefix), &actual))
}

async fn list(broker: &Broker, what: &str) -> Result<Vec<Value>> {
    match broker.get(what, &[]).await? {
        Value::Array(items) => Ok(items),
        _ => Err(Failure::not_understood("the broker", format!("no list of {what}"))),
    }
}

fn tell(output: Output, broker: &Broker, found: &[Difference], well: &str) -> Exit {
    for difference in found {
        output.line(difference.to_string());
    }
    if found.is_empty() {
        output.line(format!("{well} ({}).", broker.source()));
    } else {
        output.line(format!("{} differences at {}.", found.len(), broker.source()));
    }
    output.document(&json!({"ok": found.is_empty(), "broker": broker.source(), "differences": found}));
    if found.is_empty() { Exit::Ok } else { Exit::NotWell }
}
