//! Queries for the timeline of requests.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use jaego_service::timeline::FETCH;
use uuid::Uuid;

use super::schema::{production_attempts, production_requests, receipts};

/// The columns of a request that its timeline needs.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_requests)]
pub struct RequestRow {
    /// Equals the id of the replenishment.
    pub id: Uuid,
    pub sku: String,
    pub factory_id: String,
    /// The factory that refused the request before, or from which it was withdrawn.
    pub fallback_from: Option<String>,
    pub quantity: i64,
    /// Units received so far.
    pub received: i64,
    pub status: String,
    /// Accepted, but not received in full in time.
    pub overdue: bool,
    /// Time of the next call, if one is scheduled.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Time at which the call in flight counts as lost.
    pub lease_until: Option<DateTime<Utc>>,
    /// The factory's own id for the job.
    pub factory_job_id: Option<String>,
    pub reason: String,
    /// The last outcome that was published.
    pub last_outcome: Option<String>,
    pub outcome_reason: Option<String>,
    pub outcome_at: Option<DateTime<Utc>>,
    pub traceparent: String,
    /// Id of the event that asked for the request, also found in its dead letter.
    pub event_id: String,
    pub requested_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// First acceptance.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Factory of the first acceptance.
    pub accepted_by: Option<String>,
    pub last_accepted_at: Option<DateTime<Utc>>,
}

pub async fn requests(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<RequestRow>, StoreError> {
    let rows = production_requests::table.filter(production_requests::id.eq_any(ids)).order(production_requests::id);
    Ok(rows.select(RequestRow::as_select()).load(connection).await?)
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_attempts)]
pub struct AttemptRow {
    pub request_id: Uuid,
    /// Number of the call, from 1.
    pub number: i32,
    pub factory_id: String,
    pub started_at: DateTime<Utc>,
    /// None while the call is in flight, or when unknown.
    pub duration_ms: Option<i64>,
    /// HTTP status of the answer.
    pub status: Option<i32>,
    /// Reason why there was no answer.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
    /// `accepted`, `retry`, `refused` or `unknown`; None while the call is in flight.
    pub outcome: Option<String>,
    pub trace_id: String,
}

/// Newest calls of these requests, at most `FETCH`.
pub async fn attempts(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = production_attempts::table
        .filter(production_attempts::request_id.eq_any(ids))
        .order(production_attempts::started_at.desc())
        .limit(FETCH)
        .select(AttemptRow::as_select())
        .load(connection)
        .await?;
    Ok(rows)
}

/// Goods that were received.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = receipts)]
pub struct ReceiptRow {
    pub id: Uuid,
    pub request_id: Uuid,
    /// None in rows of an early release.
    pub sku: Option<String>,
    pub quantity: i64,
    /// Time of the booking.
    pub received_at: DateTime<Utc>,
}

/// Newest receipts of these requests, at most `FETCH`.
pub async fn receipts(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<ReceiptRow>, StoreError> {
    let rows = receipts::table.filter(receipts::request_id.eq_any(ids)).order(receipts::received_at.desc());
    Ok(rows.limit(FETCH).select(ReceiptRow::as_select()).load(connection).await?)
}
