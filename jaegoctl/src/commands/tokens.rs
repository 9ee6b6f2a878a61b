//! `jaegoctl tokens`: personal access tokens.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

use super::show::{Column, Limit, List, each, text};
use crate::{
    ask::confirm,
    connection::Connection,
    failure::{Exit, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/tokens";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("PERSON", "person"),
    Column::field("NAME", "name"),
    Column::field("ROLE", "role"),
    Column::field("LAST USED", "last_used_at"),
    Column::field("EXPIRES", "expires_at"),
    Column::field("REVOKED", "revoked_at"),
];

/// Personal access tokens, with which programs work in the name of a person (access-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// List tokens, newest first; a viewer sees only their own
    Ls(Ls),
    /// Make a token for yourself, and print it: it is shown only now
    Create(Create),
    /// Revoke tokens; they are refused everywhere within 5 seconds
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Also those that were revoked
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Viewer,
    Operator,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// A name by which you know it
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Rights of the token; it never has more than you
    #[arg(long, value_enum, default_value_t = Role::Viewer)]
    role: Role,
    /// Lifetime in days
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The tokens, by id
    #[arg(required = true, value_name = "ID")]
    ids: Vec<Uuid>,
    /// Reason for revoking them
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask for confirmation when several are revoked
    #[arg(long)]
    yes: bool,
}

impl Tokens {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Access)?;
        match self {
            Self::Ls(Ls { all, limit }) => {
                let valid = |item: &Value| item["revoked_at"].is_null();
                let only: Option<&dyn Fn(&Value) -> bool> = if all { None } else { Some(&valid) };
                let names = ("token", "tokens");
                List { names, path: PATH, query: &[], columns: COLUMNS, only }.show(&api, &limit, output).await
            }
            Self::Create(Create { name, role, days }) => {
                let role = match role {
                    Role::Viewer => "viewer",
                    Role::Operator => "operator",
                };
                let made = api.post(PATH, &json!({"name": name, "role": role, "expires_in_days": days})).await?;
                output.line(made["token"].as_str().unwrap_or_default());
                output.document(&json!({"source": api.source_document(), "item": made}));
                Ok(Exit::Ok)
            }
            Self::Revoke(Revoke { ids, reason, yes }) => {
                if ids.len() > 1 {
                    confirm(&format!("Revoke {} tokens?", ids.len()), yes)?;
                }
                let body = json!({"reason": reason});
                let change = async |id: &str| api.post(&format!("{PATH}/{id}/revoke"), &body).await;
                Ok(each(&api, &ids, output, change, |token| format!("revoked {}", text(token, "revoked_at"))).await)
            }
        }
    }
}
