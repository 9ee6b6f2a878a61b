//! `jaegoctl requests`: production requests to factories.

use clap::{Args, Subcommand};
use jaego_contracts::ids::{FactoryId, RequestId, Sku};
use serde_json::{Value, json};

use super::show::{Column, Limit, List, each, one, text};
use crate::{
    ask::confirm,
    connection::Connection,
    failure::{Exit, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/production-requests";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("SKU", "sku"),
    Column::field("FACTORY", "factory_id"),
    Column::made("RECEIVED", |item| format!("{} of {}", text(item, "received"), text(item, "quantity"))),
    Column::made("STATUS", status),
    Column::field("ATTEMPTS", "attempt_count"),
    Column::field("NEXT ATTEMPT", "next_attempt_at"),
    Column::field("CREATED", "created_at"),
];

const ATTEMPTS: &[Column] = &[
    Column::field("#", "number"),
    Column::field("AT", "at"),
    Column::field("FACTORY", "factory_id"),
    Column::field("MS", "duration_ms"),
    Column::field("STATUS", "status"),
    Column::field("OUTCOME", "outcome"),
    Column::field("ERROR", "error"),
    Column::field("ANSWER", "answer"),
    Column::field("TRACE", "trace_id"),
];

/// Production requests: what factories are asked to make (production-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Requests {
    /// List production requests, newest first
    Ls(Ls),
    /// Show a production request with every call to the factory
    Show {
        /// The production request
        id: RequestId,
    },
    /// Send requests that are retrying, dead-lettered or overdue to their factories now
    Retry(Retry),
    /// Cancel requests; goods that still arrive for them go to the quarantine
    Cancel(Bulk),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only requests in this status: requested, sending, retrying, accepted, partly_received, received,
    /// dead_lettered, refused or cancelled
    #[arg(long)]
    status: Option<String>,
    /// Only requests to this factory
    #[arg(long, value_name = "ID")]
    factory: Option<FactoryId>,
    /// Only requests for this product
    #[arg(long)]
    sku: Option<Sku>,
    /// Only requests that were accepted but not received in time
    #[arg(long)]
    overdue: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct Bulk {
    /// The production requests
    #[arg(required = true, value_name = "ID")]
    ids: Vec<RequestId>,
    /// Do not ask for confirmation when several are changed
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    bulk: Bulk,
    /// Withdraw them from their factories for good, and hand them to the fallback factories; only possible for
    /// requests that are waiting or dead-lettered, and that no factory can have accepted
    #[arg(long)]
    fallback: bool,
}

impl Requests {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Production)?;
        let (verb, bulk, body) = match self {
            Self::Ls(ls) => {
                let filters = [
                    ("status", ls.status),
                    ("factory", ls.factory.map(String::from)),
                    ("sku", ls.sku.map(String::from)),
                    ("overdue", ls.overdue.then(|| "true".to_owned())),
                ];
                let query: Vec<(&str, &str)> =
                    filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                let names = ("production request", "production requests");
                let list = List { names, path: PATH, query: &query, columns: COLUMNS, only: None };
                return list.show(&api, &ls.limit, output).await;
            }
            Self::Show { id } => {
                let request = api.get(&format!("{PATH}/{id}"), &[]).await?;
                return Ok(one(&api, &request, &[("attempts", ATTEMPTS)], output));
            }
            Self::Retry(Retry { bulk, fallback: false }) => ("retry", bulk, json!(null)),
            Self::Retry(Retry { bulk, fallback: true }) => ("retry", bulk, json!({"fallback": true})),
            Self::Cancel(bulk) => ("cancel", bulk, json!(null)),
        };
        if bulk.ids.len() > 1 {
            confirm(&format!("{verb} {} production requests?", bulk.ids.len()), bulk.yes)?;
        }
        let change = async |id: &str| api.post(&format!("{PATH}/{id}/{verb}"), &body).await;
        Ok(each(&api, &bulk.ids, output, change, status).await)
    }
}

fn status(request: &Value) -> String {
    let overdue = if request["overdue"] == true { ", overdue" } else { "" };
    format!("{}{overdue}", text(request, "status"))
}
