//! The audit log: one row for each action of an operator (actor, time, action, subject, reason), written in the
//! transaction of the action.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::trace::TraceContext;
use jaego_pg::{Pool, StoreError};
use jaego_web::auth::Viewer;
use jaego_web::problem::Problem;
use jaego_web::{PageQuery, Paged};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Action<'a> {
    /// The operator's name.
    pub actor: &'a str,
    /// Such as `product.put`.
    pub action: &'static str,
    /// Subject of the action, such as a SKU.
    pub subject: &'a str,
    /// The operator's reason, where the endpoint takes one.
    pub reason: Option<&'a str>,
    /// Content of the request; null if it had none.
    pub detail: Value,
    /// The request's trace.
    pub trace: TraceContext,
}

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

/// An action of an operator.
#[derive(Debug, Serialize, QueryableByName, ToSchema)]
#[schema(example = json!({"detail": {"until": "2030-01-31T00:00:00Z", "reason": "season is over"}}))]
pub struct AuditLogEntry {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    /// The operator's name.
    #[diesel(sql_type = Text)]
    #[schema(example = "kim")]
    actor: String,
    /// The action, such as `product.put`.
    #[diesel(sql_type = Text)]
    #[schema(example = "stock.snooze")]
    action: String,
    /// Id of the thing that it was done to, such as a SKU.
    #[diesel(sql_type = Text)]
    #[schema(example = "CP-502101")]
    subject: String,
    /// The operator's reason, if the action takes one.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required, example = "season is over")]
    reason: Option<String>,
    /// Content of the request.
    #[diesel(sql_type = Jsonb)]
    detail: Value,
    /// Id of the request's trace.
    #[diesel(sql_type = Text)]
    #[schema(example = "948201e16e0450bf03af103fe5fca74b")]
    trace_id: String,
}

/// Name of the list in cursors.
const LIST: &str = "audit-log";

/// List the actions of operators, newest first.
#[utoipa::path(
    tag = "audit",
    operation_id = "listAuditLog",
    security(("operator" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of actions.", body = Paged<AuditLogEntry>)),
)]
#[get("/api/v1/audit-log")]
pub async fn list_audit_log(_: Viewer, pool: Data<Pool>, query: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let page = query.page(LIST)?;
    let before = page.after_id()?;
    let mut connection = pool.get().await.map_err(StoreError::from)?;
    let rows: Vec<AuditLogEntry> = sql_query(
        "SELECT id, at, actor, action, subject, reason, detail, trace_id FROM audit_log \
         WHERE $1 IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
    )
    .bind::<Nullable<SqlUuid>, _>(before)
    .bind::<BigInt, _>(page.fetch())
    .load(&mut connection)
    .await
    .map_err(StoreError::from)?;
    Ok(HttpResponse::Ok().json(page.answer(LIST, rows, |entry| entry.id.to_string())))
}
