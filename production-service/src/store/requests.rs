//! Production requests.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{FactoryId, Quantity, RequestId, Sku};
use jaego_pg::StoreError;
use uuid::Uuid;

use super::corrupt;
use super::schema::production_requests;
use crate::domain::{Request, Status};

#[derive(Debug, Clone)]
pub struct StoredRequest {
    /// The part that decisions need.
    pub state: Request,
    /// Time of the next call, if one is scheduled.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The factory's own id for the job.
    pub factory_job_id: Option<String>,
    pub reason: String,
    /// Reason of the last outcome.
    pub outcome_reason: Option<String>,
    /// Start of the current retry schedule.
    pub schedule_began_at: DateTime<Utc>,
    pub traceparent: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The stored columns, without the event.
#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = production_requests)]
pub(super) struct RequestRow {
    id: Uuid,
    sku: String,
    factory_id: String,
    fallback_from: Option<String>,
    quantity: i64,
    received: i64,
    status: String,
    overdue: bool,
    attempt_count: i32,
    attempts_before_schedule: i32,
    outcome_unknown: bool,
    has_died: bool,
    last_accepted_at: Option<DateTime<Utc>>,
    accepted_at: Option<DateTime<Utc>>,
    next_attempt_at: Option<DateTime<Utc>>,
    factory_job_id: Option<String>,
    revision: i64,
    reason: String,
    outcome_reason: Option<String>,
    schedule_began_at: DateTime<Utc>,
    traceparent: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<RequestRow> for StoredRequest {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self, StoreError> {
        let state = Request {
            id: RequestId(row.id),
            sku: Sku::try_from(row.sku).map_err(|error| corrupt("sku", error))?,
            factory_id: FactoryId::try_from(row.factory_id).map_err(|error| corrupt("factory_id", error))?,
            fallback_from: row
                .fallback_from
                .map(FactoryId::try_from)
                .transpose()
                .map_err(|error| corrupt("fallback_from", error))?,
            quantity: Quantity::try_from(row.quantity).map_err(|error| corrupt("quantity", error))?,
            received: row.received,
            status: row.status.parse::<Status>().map_err(|error| corrupt("status", error))?,
            attempt_count: row.attempt_count,
            attempts_before_schedule: row.attempts_before_schedule,
            outcome_unknown: row.outcome_unknown,
            has_died: row.has_died,
            was_accepted: row.last_accepted_at.is_some() || row.accepted_at.is_some(),
            overdue: row.overdue,
            revision: row.revision,
        };
        Ok(Self {
            state,
            next_attempt_at: row.next_attempt_at,
            factory_job_id: row.factory_job_id,
            reason: row.reason,
            outcome_reason: row.outcome_reason,
            schedule_began_at: row.schedule_began_at,
            traceparent: row.traceparent,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub async fn find(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<StoredRequest>, StoreError> {
    let row =
        production_requests::table.find(id.0).select(RequestRow::as_select()).first(connection).await.optional()?;
    row.map(StoredRequest::try_from).transpose()
}

/// Locks a request until the transaction ends.
pub async fn lock(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<StoredRequest>, StoreError> {
    let row = production_requests::table
        .find(id.0)
        .select(RequestRow::as_select())
        .for_update()
        .first(connection)
        .await
        .optional()?;
    row.map(StoredRequest::try_from).transpose()
}

/// Locks requests until the transaction ends, in order of their ids.
pub async fn lock_all(
    connection: &mut AsyncPgConnection,
    ids: &[RequestId],
) -> Result<HashMap<RequestId, StoredRequest>, StoreError> {
    let rows = production_requests::table
        .filter(production_requests::id.eq_any(ids.iter().map(|id| id.0).collect::<Vec<_>>()))
        .order(production_requests::id)
        .select(RequestRow::as_select())
        .for_update()
        .load(connection)
        .await?;
    by_id(rows)
}

/// Locks those of the requests that no other transaction has locked.
pub async fn lock_free(
    connection: &mut AsyncPgConnection,
    ids: &[RequestId],
) -> Result<HashMap<RequestId, StoredRequest>, StoreError> {
    let rows = production_requests::table
        .filter(production_requests::id.eq_any(ids.iter().map(|id| id.0).collect::<Vec<_>>()))
        .select(RequestRow::as_select())
        .for_update()
        .skip_locked()
        .load(connection)
        .await?;
    by_id(rows)
}

fn by_id(rows: Vec<RequestRow>) -> Result<HashMap<RequestId, StoredRequest>, StoreError> {
    let read = |row: RequestRow| Ok((RequestId(row.id), row.try_into()?));
    rows.into_iter().map(read).collect()
}

#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub status: Option<Status>,
    pub factory: Option<FactoryId>,
    pub sku: Option<Sku>,
    /// True: overdue requests only; false: all others.
    pub overdue: Option<bool>,
}

/// Matching requests before `before`, newest first (ids are UUIDv7).
pub async fn list(
    connection: &mut AsyncPgConnection,
    filter: &Filter,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    let mut query = production_requests::table
        .select(RequestRow::as_select())
        .order(production_requests::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(production_requests::status.eq(status.as_str()));
    }
    if let Some(factory) = &filter.factory {
        query = query.filter(production_requests::factory_id.eq(factory.as_str()));
    }
    if let Some(sku) = &filter.sku {
        query = query.filter(production_requests::sku.eq(sku.as_str()));
    }
    if let Some(overdue) = filter.overdue {
        query = query.filter(production_requests::overdue.eq(overdue));
    }
    if let Some(before) = before {
        query = query.filter(production_requests::id.lt(before.0));
    }
    query.load(connection).await?.into_iter().map(StoredRequest::try_from).collect()
}

/// Id and body of the event that asked for a request.
pub async fn original_event(
    connection: &mut AsyncPgConnection,
    id: RequestId,
) -> Result<(String, Vec<u8>), StoreError> {
    let event = production_requests::table
        .find(id.0)
        .select((production_requests::event_id, production_requests::event))
        .first(connection)
        .await?;
    Ok(event)
}
