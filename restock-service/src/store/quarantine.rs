//! Deliveries that wait for a person.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::StoreError;
use shared::ids::QuarantineId;
use uuid::Uuid;

use super::schema::quarantine::{self, dsl};
use super::unreadable;
use crate::domain::decision::Reason;
use crate::domain::judgement::Status;

/// A row.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = quarantine)]
pub(crate) struct QuarantineRow {
    pub(crate) id: Uuid,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) request_id: Uuid,
    pub(crate) jti: String,
    pub(crate) delivery_id: Option<String>,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) sku: String,
    pub(crate) factory_id: String,
    pub(crate) quantity: Option<i64>,
    pub(crate) claimed_product: Option<String>,
    pub(crate) claimed_factory: Option<String>,
    pub(crate) body: String,
    pub(crate) traceparent: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) decided_by: Option<String>,
    pub(crate) decided_at: Option<DateTime<Utc>>,
    pub(crate) decision_reason: Option<String>,
    pub(crate) receipt_id: Option<Uuid>,
}

impl QuarantineRow {
    /// What became of it.
    pub(crate) fn read_status(&self) -> Result<Status, StoreError> {
        Status::from_name(&self.status).ok_or_else(|| unreadable(format!("status {:?}", self.status)))
    }
}

/// What an operator decided about an entry.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    /// What became of it.
    pub(crate) status: Status,
    /// Who.
    pub(crate) by: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// The receipt of an accepted one.
    pub(crate) receipt_id: Option<Uuid>,
}

/// Locks an entry for the rest of the transaction. An entry is locked before its request.
pub(crate) async fn find_and_lock(
    connection: &mut AsyncPgConnection,
    id: QuarantineId,
) -> Result<Option<QuarantineRow>, StoreError> {
    let row = dsl::quarantine.find(id.0).select(QuarantineRow::as_select()).for_update();
    Ok(row.get_result(connection).await.optional()?)
}

/// Writes down what was decided about a locked entry.
pub(crate) async fn judge(
    connection: &mut AsyncPgConnection,
    id: QuarantineId,
    verdict: &Verdict<'_>,
) -> Result<QuarantineRow, StoreError> {
    let judged = diesel::update(dsl::quarantine.find(id.0))
        .set((
            dsl::status.eq(verdict.status.name()),
            dsl::decided_by.eq(verdict.by),
            dsl::decided_at.eq(verdict.at),
            dsl::decision_reason.eq(verdict.reason),
            dsl::receipt_id.eq(verdict.receipt_id),
        ))
        .returning(QuarantineRow::as_returning())
        .get_result(connection)
        .await?;
    Ok(judged)
}

/// Adds an entry.
pub(crate) async fn insert(connection: &mut AsyncPgConnection, row: &QuarantineRow) -> Result<(), StoreError> {
    diesel::insert_into(dsl::quarantine).values(row).execute(connection).await?;
    Ok(())
}

/// How many entries a token has, and why the delivery with this fingerprint is among them. (Of an
/// over-delivery only the excess is: the delivery itself was booked.)
pub(crate) async fn of_token(
    connection: &mut AsyncPgConnection,
    jti: &str,
    fingerprint: &[u8],
) -> Result<(i64, Option<Reason>), StoreError> {
    let entries: Vec<(String, bool)> = dsl::quarantine
        .filter(dsl::jti.eq(jti))
        .select((dsl::reason, dsl::fingerprint.eq(fingerprint)))
        .load(connection)
        .await?;
    let reason = entries
        .iter()
        .filter(|(_, same)| *same)
        .filter_map(|(slug, _)| Reason::from_slug(slug))
        .find(|reason| *reason != Reason::OverDelivery);
    Ok((i64::try_from(entries.len()).unwrap_or(i64::MAX), reason))
}

/// Newest first; ids rise with time.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    let mut query = dsl::quarantine.select(QuarantineRow::as_select()).order(dsl::id.desc()).limit(limit).into_boxed();
    if let Some(id) = older_than {
        query = query.filter(dsl::id.lt(id));
    }
    Ok(query.load(connection).await?)
}
