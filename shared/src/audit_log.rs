//! Who did what, when, to what, why: one row for each action of an operator, in its transaction.

use diesel::sql_query;
use diesel::sql_types::{Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use crate::db::StoreError;
use crate::trace::TraceContext;

/// One action.
#[derive(Debug, Clone)]
pub struct Action<'a> {
    /// The operator's name.
    pub actor: &'a str,
    /// Such as `product.put`.
    pub action: &'static str,
    /// What it was done to, such as a SKU.
    pub subject: &'a str,
    /// The operator's reason, where one is asked for.
    pub reason: Option<&'a str>,
    /// What was asked for.
    pub detail: Value,
    /// The request's trace.
    pub trace: TraceContext,
}

/// Writes the action down.
pub async fn record(connection: &mut AsyncPgConnection, action: &Action<'_>) -> Result<(), StoreError> {
    sql_query("INSERT INTO audit_log (id, actor, action, subject, reason, detail, trace_id) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind::<SqlUuid, _>(Uuid::now_v7())
        .bind::<Text, _>(action.actor)
        .bind::<Text, _>(action.action)
        .bind::<Text, _>(action.subject)
        .bind::<Nullable<Text>, _>(action.reason)
        .bind::<Jsonb, _>(&action.detail)
        .bind::<Text, _>(action.trace.trace_id())
        .execute(connection)
        .await?;
    Ok(())
}
