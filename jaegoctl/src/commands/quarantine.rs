//! `jaegoctl quarantine`: deliveries that do not match what was requested, and wait for an operator.

use clap::{Args, Subcommand, ValueEnum};
use jaego_contracts::ids::{QuarantineId, Sku};
use serde_json::{Value, json};

use super::show::{Column, Limit, List, each, find, one, text};
use crate::{
    args::units,
    ask::confirm,
    connection::Connection,
    failure::{Exit, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/quarantine";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("STATUS", "status"),
    Column::field("REASON", "reason"),
    Column::field("SKU", "sku"),
    Column::field("QUANTITY", "quantity"),
    Column::field("CLAIMED SKU", "claimed_sku"),
    Column::field("REQUEST", "request_id"),
    Column::field("ARRIVED", "created_at"),
];

/// Quarantine: deliveries that wait for an operator's decision (restock-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List deliveries in quarantine, newest first
    Ls(Ls),
    /// Show an entry with the body that was received
    Show {
        /// The entry
        id: QuarantineId,
    },
    /// Accept a delivery and book its goods
    Accept(Accept),
    /// Discard deliveries without booking anything
    Discard(Discard),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Waiting,
    Accepted,
    Discarded,
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only deliveries in this status
    #[arg(long, value_enum, default_value_t = Status::Waiting)]
    status: Status,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct Accept {
    /// The entry
    id: QuarantineId,
    /// Reason for accepting it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Product that arrived; required if the delivery names a different one from the request
    #[arg(long)]
    sku: Option<Sku>,
    /// Units that arrived, if different from the number in the entry
    #[arg(long, value_name = "UNITS", value_parser = units)]
    quantity: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct Discard {
    /// The entries
    #[arg(required = true, value_name = "ID")]
    ids: Vec<QuarantineId>,
    /// Reason for discarding them
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask for confirmation when several are discarded
    #[arg(long)]
    yes: bool,
}

impl Quarantine {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Restock)?;
        match self {
            Self::Ls(Ls { status, limit }) => {
                let wanted = match status {
                    Status::Waiting => Some("waiting"),
                    Status::Accepted => Some("accepted"),
                    Status::Discarded => Some("discarded"),
                    Status::All => None,
                };
                let filter = |item: &Value| wanted.is_none_or(|wanted| item["status"] == wanted);
                let only: Option<&dyn Fn(&Value) -> bool> = if wanted.is_some() { Some(&filter) } else { None };
                let names = ("delivery in quarantine", "deliveries in quarantine");
                List { names, path: PATH, query: &[], columns: COLUMNS, only }.show(&api, &limit, output).await
            }
            Self::Show { id } => {
                let entry = find(&api, PATH, "quarantine entry", &id.to_string()).await?;
                Ok(one(&api, &entry, &[], output))
            }
            Self::Accept(Accept { id, reason, sku, quantity }) => {
                let mut body = json!({"reason": reason});
                if let Some(sku) = sku {
                    body["sku"] = json!(sku);
                }
                if let Some(quantity) = quantity {
                    body["quantity"] = json!(quantity);
                }
                let entry = api.post(&format!("{PATH}/{id}/accept"), &body).await?;
                Ok(one(&api, &entry, &[], output))
            }
            Self::Discard(Discard { ids, reason, yes }) => {
                if ids.len() > 1 {
                    confirm(&format!("Discard {} deliveries?", ids.len()), yes)?;
                }
                let body = json!({"reason": reason});
                let change = async |id: &str| api.post(&format!("{PATH}/{id}/discard"), &body).await;
                Ok(each(&api, &ids, output, change, |entry| text(entry, "status")).await)
            }
        }
    }
}
