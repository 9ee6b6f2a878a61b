//! `jaegoctl orders`: what shoppers ordered.

use clap::{Args, Subcommand};
use jaego_contracts::ids::{OrderId, Sku};
use serde_json::{Value, json};

use super::show::{Column, Limit, List, each, one, text};
use crate::{
    ask::confirm,
    connection::Connection,
    failure::{Exit, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/orders";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("STATUS", "status"),
    Column::field("CUSTOMER", "customer"),
    Column::made("LINES", lines),
    Column::field("TOTAL", "total"),
    Column::field("CREATED", "created_at"),
];

const LINES: &[Column] = &[
    Column::field("SKU", "sku"),
    Column::field("QUANTITY", "quantity"),
    Column::field("FILLED", "filled"),
    Column::field("UNIT PRICE", "unit_price"),
];

/// Shoppers' orders, including rejected ones (sales-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Orders {
    /// List orders, newest first, including rejected ones
    Ls(Ls),
    /// Show an order
    Show {
        /// The order
        id: OrderId,
    },
    /// Cancel orders and return their units to stock; cancelling again changes nothing
    Cancel(Bulk),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only orders in this status: confirmed, backordered, rejected or cancelled
    #[arg(long)]
    status: Option<String>,
    /// Only orders with a line of this product
    #[arg(long)]
    sku: Option<Sku>,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct Bulk {
    /// The orders
    #[arg(required = true, value_name = "ID")]
    ids: Vec<OrderId>,
    /// Do not ask for confirmation when several are cancelled
    #[arg(long)]
    yes: bool,
}

impl Orders {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Sales)?;
        match self {
            Self::Ls(ls) => {
                let filters = [("status", ls.status), ("sku", ls.sku.map(String::from))];
                let query: Vec<(&str, &str)> =
                    filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                let list = List { names: ("order", "orders"), path: PATH, query: &query, columns: COLUMNS, only: None };
                list.show(&api, &ls.limit, output).await
            }
            Self::Show { id } => {
                let order = api.get(&format!("{PATH}/{id}"), &[]).await?;
                Ok(one(&api, &order, &[("lines", LINES)], output))
            }
            Self::Cancel(Bulk { ids, yes }) => {
                if ids.len() > 1 {
                    confirm(&format!("Cancel {} orders?", ids.len()), yes)?;
                }
                let change = async |id: &str| api.post(&format!("{PATH}/{id}/cancel"), &json!(null)).await;
                Ok(each(&api, &ids, output, change, |order| text(order, "status")).await)
            }
        }
    }
}

fn lines(order: &Value) -> String {
    let line = |line: &Value| format!("{} x {}", text(line, "quantity"), text(line, "sku"));
    order["lines"].as_array().map_or_else(String::new, |lines| lines.iter().map(line).collect::<Vec<_>>().join(", "))
}
