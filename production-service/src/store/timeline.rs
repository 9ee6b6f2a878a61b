//! What a timeline looks up of some requests.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use jaego_service::timeline::FETCH;
use uuid::Uuid;

use super::schema::{production_attempts, production_requests, receipts};

/// A request, as far as it tells when something was.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_requests)]
pub struct RequestRow {
    /// Its replenishment's id, too.
    pub id: Uuid,
    /// What.
    pub sku: String,
    /// Who makes it.
    pub factory_id: String,
    /// Who refused it, or from whom it was withdrawn, before.
    pub fallback_from: Option<String>,
    /// Units asked for.
    pub quantity: i64,
    /// Units that came.
    pub received: i64,
    /// Where it stands.
    pub status: String,
    /// Accepted, and not received in full in time.
    pub overdue: bool,
    /// When the factory is called next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the call under way counts as lost.
    pub lease_until: Option<DateTime<Utc>>,
    /// The factory's own id for it.
    pub factory_job_id: Option<String>,
    /// Why it was asked for.
    pub reason: String,
    /// What everybody was told last.
    pub last_outcome: Option<String>,
    /// Why.
    pub outcome_reason: Option<String>,
    /// When.
    pub outcome_at: Option<DateTime<Utc>>,
    /// The trace it belongs to.
    pub traceparent: String,
    /// Id of the event that asked for it: its dead letter has it, too.
    pub event_id: String,
    /// Asked for.
    pub requested_at: DateTime<Utc>,
    /// Kept.
    pub created_at: DateTime<Utc>,
    /// Changed.
    pub updated_at: DateTime<Utc>,
    /// First accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// By whom.
    pub accepted_by: Option<String>,
    /// Last accepted.
    pub last_accepted_at: Option<DateTime<Utc>>,
}

/// These requests.
pub async fn requests(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<RequestRow>, StoreError> {
    let rows = production_requests::table.filter(production_requests::id.eq_any(ids)).order(production_requests::id);
    Ok(rows.select(RequestRow::as_select()).load(connection).await?)
}

/// A call to a factory.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = production_attempts)]
pub struct AttemptRow {
    /// For which request.
    pub request_id: Uuid,
    /// Counts from 1.
    pub number: i32,
    /// Which factory was asked.
    pub factory_id: String,
    /// Begun.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// Status of the answer.
    pub status: Option<i32>,
    /// Why there was none.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
    /// `accepted`, `retry`, `refused`, `unknown`; None while it is under way.
    pub outcome: Option<String>,
    /// The trace it belongs to.
    pub trace_id: String,
}

/// The newest calls for them.
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

/// Goods that came.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = receipts)]
pub struct ReceiptRow {
    /// The receipt.
    pub id: Uuid,
    /// For which request.
    pub request_id: Uuid,
    /// What came; None in a row of an early release.
    pub sku: Option<String>,
    /// Units.
    pub quantity: i64,
    /// When they were booked.
    pub received_at: DateTime<Utc>,
}

/// The newest goods that came for them.
pub async fn receipts(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<ReceiptRow>, StoreError> {
    let rows = receipts::table.filter(receipts::request_id.eq_any(ids)).order(receipts::received_at.desc());
    Ok(rows.limit(FETCH).select(ReceiptRow::as_select()).load(connection).await?)
}
