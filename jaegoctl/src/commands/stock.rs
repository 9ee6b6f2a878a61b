//! `jaegoctl stock`: figures, ledger, decisions.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use jaego_contracts::ids::Sku;
use serde_json::json;

use super::{
    receipts::Once,
    show::{Column, Limit, List, one},
};
use crate::{
    connection::Connection,
    failure::{Exit, Result},
    output::{Output, local},
    service::Service,
};

const PATH: &str = "/api/v1/stock";

const COLUMNS: &[Column] = &[
    Column::field("SKU", "sku"),
    Column::field("ON HAND", "on_hand"),
    Column::field("BACKORDERED", "backordered"),
    Column::field("ON ORDER", "on_order"),
    Column::field("POSITION", "position"),
    Column::field("REORDER POINT", "policy.reorder_point"),
    Column::field("UP TO", "policy.order_up_to"),
    Column::field("LOT", "policy.lot_size"),
    Column::field("MODE", "policy.mode"),
    Column::field("SHORTAGE", "policy.shortage"),
];

const MOVEMENTS: &[Column] = &[
    Column::field("AT", "at"),
    Column::field("CAUSE", "cause"),
    Column::field("DELTA", "delta"),
    Column::field("BEFORE", "before"),
    Column::field("AFTER", "after"),
    Column::field("ACTOR", "actor"),
    Column::field("REFERENCE", "reference"),
    Column::field("NOTE", "note"),
];

/// Stock: units on hand, backordered and on order, and the ledger (sales-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Stock {
    /// List the stock figures of all products
    Ls(Limit),
    /// Show the figures and the policy of a product
    Show {
        /// The product
        sku: Sku,
    },
    /// List a product's ledger, newest entry first
    Movements {
        /// The product
        sku: Sku,
        #[command(flatten)]
        limit: Limit,
    },
    /// Explain whether more would be ordered now, and why
    Decision {
        /// The product
        sku: Sku,
    },
    /// Adjust the stock on hand after a count, damage, a return or a correction
    Adjust(Adjust),
    /// Pause automatic replenishment until a time
    Snooze(Snooze),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Reason {
    /// A count gave a different number
    CycleCount,
    /// Broken or lost
    Damage,
    /// Returned by a customer
    Return,
    /// An earlier entry was wrong
    Correction,
}

#[derive(Debug, Args)]
pub(crate) struct Adjust {
    /// The product
    sku: Sku,
    /// Units, signed, such as -3
    #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
    delta: i64,
    /// Reason for the change
    #[arg(long, value_enum)]
    reason: Reason,
    /// Note for the ledger
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    once: Once,
}

#[derive(Debug, Args)]
pub(crate) struct Snooze {
    /// The product
    sku: Sku,
    /// End of the pause, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    until: DateTime<Utc>,
    /// Reason for the pause
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Stock {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Sales)?;
        match self {
            Self::Ls(limit) => {
                let names = ("product", "products");
                List { names, path: PATH, query: &[], columns: COLUMNS, only: None }.show(&api, &limit, output).await
            }
            Self::Show { sku } => {
                let stock = api.get(&format!("{PATH}/{sku}"), &[]).await?;
                Ok(one(&api, &stock, &[], output))
            }
            Self::Movements { sku, limit } => {
                let (names, path) = (("ledger entry", "ledger entries"), format!("{PATH}/{sku}/movements"));
                List { names, path: &path, query: &[], columns: MOVEMENTS, only: None }.show(&api, &limit, output).await
            }
            Self::Decision { sku } => {
                let decision = api.get(&format!("{PATH}/{sku}/replenishment-decision"), &[]).await?;
                Ok(one(&api, &decision, &[], output))
            }
            Self::Adjust(Adjust { sku, delta, reason, note, once }) => {
                let reason = reason.to_possible_value();
                let reason = reason.as_ref().map(clap::builder::PossibleValue::get_name);
                let mut body = json!({"delta": delta, "reason": reason});
                if let Some(note) = note {
                    body["note"] = json!(note);
                }
                let answer = once.post(&api, &format!("/api/v1/products/{sku}/adjustments"), &body).await?;
                Ok(one(&api, &answer.body, &[], output))
            }
            Self::Snooze(Snooze { sku, until, reason }) => {
                let body = json!({"until": until, "reason": reason});
                api.post(&format!("{PATH}/{sku}/snooze"), &body).await?;
                output.line(format!("{sku}: automatic replenishment is paused until {}", local(until)));
                let item = json!({"sku": sku, "until": until});
                output.document(&json!({"source": api.source_document(), "item": item}));
                Ok(Exit::Ok)
            }
        }
    }
}
