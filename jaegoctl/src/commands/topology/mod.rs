//! `jaegoctl topology`: exchanges, queues, bindings and rights, from the one table in the code.

mod apply;
mod compare;
mod kubernetes;
mod make;

use clap::{Args, Subcommand};
use jaego_contracts::asyncapi;
use jaego_contracts::definitions::with_rights;
use jaego_contracts::topology::definitions;
use serde_json::{Value, json};

use self::{
    apply::Apply,
    compare::{Actual, Difference, differences},
};
use crate::{
    broker::{Broker, BrokerArgs},
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, Spinner, json, print},
};

/// The broker's exchanges, queues, bindings and the services' rights: print, compare, apply
#[derive(Debug, Subcommand)]
pub(crate) enum Topology {
    Print(Print),
    Diff(Diff),
    Apply(Apply),
}

/// Print the topology as RabbitMQ's definitions, or the events as an AsyncAPI 3 document; needs no broker
///
/// The definitions contain no users: create them with `topology apply --make-users`, or have them created by
/// whoever has the passwords.
#[derive(Debug, Args)]
pub(crate) struct Print {
    /// Print the AsyncAPI 3 document instead
    #[arg(long)]
    asyncapi: bool,
    /// Print users and rights as objects of RabbitMQ's messaging topology operator instead, in YAML
    #[arg(long, conflicts_with = "asyncapi")]
    kubernetes: bool,
    /// The virtual host in the definitions
    #[arg(long, value_name = "NAME", env = "RABBITMQ_VHOST", hide_env_values = true, default_value = "jaego")]
    vhost: String,
    #[command(flatten)]
    names: Names,
}

/// Show how a broker differs from the topology; exits with 5 if it does
///
/// Other programs' own queues and bindings do not count as differences.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Names of the users.
#[derive(Debug, Args)]
struct Names {
    /// Prefix of the users' names, before sales, production, restock and frontend
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
                let found = look(&broker, &names, Scope::All).await?.differences;
                Ok(print_differences(output, &broker, &found, "As in the topology"))
            }
            Self::Apply(apply) => apply.run(connection, output).await,
        }
    }
}

/// Scope of a comparison: only an administrator can read the services' rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    WithoutRights,
}

/// The contents of a broker and how they differ from the topology.
struct Seen {
    actual: Actual,
    differences: Vec<Difference>,
}

async fn look(broker: &Broker, names: &Names, scope: Scope) -> Result<Seen> {
    let spinner = Spinner::new("Looking at the broker");
    if scope == Scope::All {
        let vhost = broker.get("vhosts", &[]).await?;
        if vhost["name"] != broker.vhost() {
            return Err(Failure::not_understood("the broker", "no name of the virtual host"));
        }
    }
    let (exchanges, queues, bindings) =
        tokio::try_join!(list(broker, "exchanges"), list(broker, "queues"), list(broker, "bindings"))?;
    let mut actual = Actual { exchanges, queues, bindings, ..Actual::default() };
    let mut wanted = definitions();
    if scope == Scope::All {
        let (permissions, topic_permissions) =
            tokio::try_join!(broker.get_global("permissions"), broker.get_global("topic-permissions"))?;
        let here = |items: Value| -> Vec<Value> {
            let Value::Array(items) = items else { return Vec::new() };
            items.into_iter().filter(|item| item["vhost"] == broker.vhost()).collect()
        };
        actual.permissions = here(permissions);
        actual.topic_permissions = here(topic_permissions);
        wanted = with_rights(broker.vhost(), &names.user_prefix);
    }
    drop(spinner);
    let differences = differences(&wanted, &actual);
    Ok(Seen { actual, differences })
}

async fn list(broker: &Broker, what: &str) -> Result<Vec<Value>> {
    match broker.get(what, &[]).await? {
        Value::Array(items) => Ok(items),
        _ => Err(Failure::not_understood("the broker", format!("no list of {what}"))),
    }
}

fn print_differences(output: Output, broker: &Broker, found: &[Difference], well: &str) -> Exit {
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
