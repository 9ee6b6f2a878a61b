//! `jaegoctl receipts`: goods that arrived.

use clap::{Args, Subcommand};
use jaego_contracts::ids::RequestId;
use serde_json::json;
use uuid::Uuid;

use super::show::{Column, Limit, List, one};
use crate::{
    api::{Answer, Api},
    args::units,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, say},
    service::Service,
};

const PATH: &str = "/api/v1/receipts";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("REQUEST", "request_id"),
    Column::field("SKU", "sku"),
    Column::field("QUANTITY", "quantity"),
    Column::field("FACTORY", "factory_id"),
    Column::field("DELIVERY", "delivery_id"),
    Column::field("BOOKED BY", "booked_by"),
    Column::field("RECEIVED", "received_at"),
];

/// Goods receipts: goods that arrived and were booked (restock-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
    /// List goods receipts, newest first
    Ls(Limit),
    /// Book goods whose callback was lost
    Book(Book),
}

#[derive(Debug, Args)]
pub(crate) struct Book {
    /// The production request that the goods belong to
    #[arg(long, value_name = "ID")]
    request: RequestId,
    /// Units received; at most the open quantity of the request
    #[arg(long, value_name = "UNITS", value_parser = units)]
    quantity: i64,
    /// Reason for booking by hand, such as the number of the delivery note
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    once: Once,
}

/// For changes that would add up if repeated: a repeat under the same key changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Once {
    /// Key of an earlier attempt that got no answer, so that the change is made only once
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Once {
    /// Posts with the given key or a new one. A failure with an unknown outcome names the key for a retry.
    pub(crate) async fn post(self, api: &Api, path: &str, body: &serde_json::Value) -> Result<Answer> {
        let key = self.key.unwrap_or_else(|| Uuid::now_v7().to_string());
        let answer = api.post_once(path, body, &key).await.map_err(|failure| match failure.exit {
            Exit::NoAnswer => Failure {
                message: format!(
                    "{failure}\nIt is not known whether the change was made; to try again without making it twice, add --key {key}"
                ),
                ..failure
            },
            _ => failure,
        })?;
        if answer.replayed {
            say("This change was already made with the same key; its first answer was:");
        }
        Ok(answer)
    }
}

impl Receipts {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Restock)?;
        match self {
            Self::Ls(limit) => {
                let names = ("goods receipt", "goods receipts");
                List { names, path: PATH, query: &[], columns: COLUMNS, only: None }.show(&api, &limit, output).await
            }
            Self::Book(Book { request, quantity, reason, once }) => {
                let body = json!({"request_id": request, "quantity": quantity, "reason": reason});
                let answer = once.post(&api, PATH, &body).await?;
                Ok(one(&api, &answer.body, &[], output))
            }
        }
    }
}
