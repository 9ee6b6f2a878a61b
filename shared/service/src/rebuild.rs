//! Figures that are kept beside the rows that explain them, compared with those rows and, when asked
//! to, set to what they say.

use std::fmt;

use diesel::sql_query;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use jaego_contracts::trace::TraceContext;
use jaego_pg::settings::Database;
use jaego_pg::{StoreError, connect};
use serde_json::json;

use crate::audit::{Books, off};
use crate::audit_log;
use crate::audit_log::Action;

/// Longest statement, milliseconds: a whole ledger is added up.
const STATEMENT_TIMEOUT_MS: u64 = 600_000;

/// What was compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Compared {
    /// The rule.
    pub rule: &'static str,
    /// A sentence for each figure that was off.
    pub off: Vec<String>,
    /// How many of them are off no more: they were set to what the rows say.
    pub mended: usize,
}

impl fmt::Display for Compared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.off.is_empty() {
            return write!(formatter, "{}: ok", self.rule);
        }
        write!(formatter, "{}: {} off, {} set to what the rows say", self.rule, self.off.len(), self.mended)?;
        self.off.iter().try_for_each(|sentence| write!(formatter, "\n  {sentence}"))
    }
}

/// Compares every figure that can be rebuilt; with `is_write` sets those that are off, all in one
/// transaction, and notes it in the audit log.
pub async fn rebuild_figures(settings: &Database, books: &Books, is_write: bool) -> Result<Vec<Compared>, StoreError> {
    let connecting = connect(settings, "jaego-rebuild", STATEMENT_TIMEOUT_MS).await;
    let mut connection = connecting.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let rules: Vec<_> = books.rules.iter().filter_map(|rule| Some((rule, rule.mend?))).collect();
    connection
        .transaction(async move |connection| {
            let mut compared = Vec::new();
            if is_write {
                for (_, mend) in &rules {
                    sql_query(mend.lock).execute(connection).await?;
                }
            } else {
                sql_query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(connection).await?;
            }
            for (rule, _) in &rules {
                compared.push(Compared { rule: rule.name, off: off(connection, rule).await?, mended: 0 });
            }
            for ((rule, mend), compared) in
                rules.iter().zip(&mut compared).filter(|(_, one)| is_write && !one.off.is_empty())
            {
                sql_query(mend.sql).execute(connection).await?;
                compared.mended = compared.off.len() - off(connection, rule).await?.len();
                record(connection, rule.name, &compared.off).await?;
            }
            Ok(compared)
        })
        .await
}

async fn record(connection: &mut AsyncPgConnection, rule: &str, off: &[String]) -> Result<(), StoreError> {
    let action = Action {
        actor: "rebuild-figures",
        action: "figures.rebuild",
        subject: rule,
        reason: None,
        detail: json!({ "off": off }),
        trace: TraceContext::new_root(),
    };
    audit_log::record(connection, &action).await
}
