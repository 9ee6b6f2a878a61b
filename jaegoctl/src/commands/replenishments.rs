//! `jaegoctl replenishments`: decisions to have units made.

use clap::{Args, Subcommand};
use jaego_contracts::ids::{RequestId, Sku};
use serde_json::json;

use super::{
    receipts::Once,
    show::{Column, Limit, List, each, one, text},
};
use crate::{
    args::units,
    ask::confirm,
    connection::Connection,
    failure::{Exit, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/replenishments";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("SKU", "sku"),
    Column::made("RECEIVED", |item| format!("{} of {}", text(item, "received"), text(item, "quantity"))),
    Column::field("STATUS", "status"),
    Column::field("REASON", "reason"),
    Column::field("EXPLANATION", "explanation"),
    Column::field("CREATED", "created_at"),
];

/// Replenishments: decisions to have units made (sales-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Replenishments {
    /// List replenishments, newest first
    Ls(Ls),
    /// Order units from the factory, regardless of the policy
    Order(Order),
    /// Approve proposed replenishments: of mode manual, or above the limit of mode auto
    Approve(Approve),
    /// Close a replenishment before all its goods have arrived; the rest is no longer requested
    Close(Close),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only replenishments in this status: proposed, open, stalled, complete, closed_short, refused or cancelled
    #[arg(long)]
    status: Option<String>,
    /// Only replenishments of this product
    #[arg(long)]
    sku: Option<Sku>,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct Order {
    /// The product
    sku: Sku,
    /// Units to order
    #[arg(long, value_name = "UNITS", value_parser = units)]
    quantity: i64,
    #[command(flatten)]
    once: Once,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The replenishments
    #[arg(required = true, value_name = "ID")]
    ids: Vec<RequestId>,
    /// Do not ask for confirmation when several are approved
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Close {
    /// The replenishment
    id: RequestId,
    /// Reason for closing it
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Replenishments {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Sales)?;
        match self {
            Self::Ls(ls) => {
                let filters = [("status", ls.status), ("sku", ls.sku.map(String::from))];
                let query: Vec<(&str, &str)> =
                    filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                let names = ("replenishment", "replenishments");
                let list = List { names, path: PATH, query: &query, columns: COLUMNS, only: None };
                list.show(&api, &ls.limit, output).await
            }
            Self::Order(Order { sku, quantity, once }) => {
                let answer = once.post(&api, PATH, &json!({"sku": sku, "quantity": quantity})).await?;
                Ok(one(&api, &answer.body, &[], output))
            }
            Self::Approve(Approve { ids, yes }) => {
                if ids.len() > 1 {
                    confirm(&format!("Approve {} replenishments?", ids.len()), yes)?;
                }
                let change = async |id: &str| api.post(&format!("{PATH}/{id}/approve"), &json!(null)).await;
                Ok(each(&api, &ids, output, change, |item| text(item, "status")).await)
            }
            Self::Close(Close { id, reason }) => {
                let closed = api.post(&format!("{PATH}/{id}/close"), &json!({"reason": reason})).await?;
                Ok(one(&api, &closed, &[], output))
            }
        }
    }
}
