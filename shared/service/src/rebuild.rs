//! Compares kept figures with the rows that explain them and, on request, corrects the figures.

use std::fmt;

use diesel::sql_query;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use jaego_contracts::trace::TraceContext;
use jaego_pg::settings::Database;
use jaego_pg::{StoreError, connect};
use serde_json::json;

use crate::audit::{Books, violations};
use crate::audit_log;
use crate::audit_log::Action;

/// Statement timeout, milliseconds: long enough to sum up a whole ledger.
const STATEMENT_TIMEOUT_MS: u64 = 600_000;

/// The result of one rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Compared {
    pub rule: &'static str,
    /// One sentence for each figure that was wrong.
    pub violations: Vec<String>,
    /// Number of these figures that were corrected.
    pub repaired: usize,
}

impl fmt::Display for Compared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.violations.is_empty() {
            return write!(formatter, "{}: ok", self.rule);
        }
        write!(formatter, "{}: {} wrong, {} corrected", self.rule, self.violations.len(), self.repaired)?;
        self.violations.iter().try_for_each(|sentence| write!(formatter, "\n  {sentence}"))
    }
}

/// Compares every figure that can be rebuilt. With `is_write`, corrects the wrong ones, all in one transaction, and
/// records that in the audit log.
pub async fn rebuild_figures(settings: &Database, books: &Books, is_write: bool) -> Result<Vec<Compared>, StoreError> {
    let connecting = connect(settings, "jaego-rebuild", STATEMENT_TIMEOUT_MS).await;
    let mut connection = connecting.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let rules: Vec<_> = books.rules.iter().filter_map(|rule| Some((rule, rule.repair?))).collect();
    connection
        .transaction(async move |connection| {
            let mut compared = Vec::new();
            if is_write {
                for (_, repair) in &rules {
                    sql_query(repair.lock).execute(connection).await?;
                }
            } else {
                sql_query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(connection).await?;
            }
            for (rule, _) in &rules {
                compared.push(Compared {
                    rule: rule.name,
                    violations: violations(connection, rule).await?,
                    repaired: 0,
                });
            }
            for ((rule, repair), compared) in
                rules.iter().zip(&mut compared).filter(|(_, one)| is_write && !one.violations.is_empty())
            {
                sql_query(repair.sql).execute(connection).await?;
                compared.repaired = compared.violations.len() - violations(connection, rule).await?.len();
                record(connection, rule.name, &compared.violations).await?;
            }
            Ok(compared)
        })
        .await
}

async fn record(connection: &mut AsyncPgConnection, rule: &str, violations: &[String]) -> Result<(), StoreError> {
    let action = Action {
        actor: "rebuild-figures",
        action: "figures.rebuild",
        subject: rule,
        reason: None,
        detail: json!({ "violations": violations }),
        trace: TraceContext::new_root(),
    };
    audit_log::record(connection, &action).await
}
