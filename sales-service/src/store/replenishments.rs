//! Replenishments.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::RequestId;
use jaego_pg::{Statement, StatementSql};
use uuid::Uuid;

use super::schema::{receipts_applied, replenishments};
use super::{StoreError, corrupt};
use crate::domain::replenishment::{Replenishment, Status};

/// The reason of a replenishment ordered by a person. The partial indices contain the same literal.
pub const BY_HAND: &str = "manual";

#[derive(Debug, Clone, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = replenishments)]
pub struct ReplenishmentRow {
    /// Also the id of the production request.
    pub id: Uuid,
    pub sku: String,
    pub factory_id: String,
    /// Units ordered.
    pub quantity: i64,
    /// Units received.
    pub received: i64,
    pub status: String,
    /// The reason as a keyword.
    pub reason: String,
    /// The reason as a sentence.
    pub explanation: String,
    /// Revision of the last production outcome that was applied.
    pub revision: i64,
    /// Inventory position that the decision was based on. None for a row written by an earlier release.
    pub position_before: Option<i64>,
    /// Units on order at that time.
    pub on_order_before: Option<i64>,
    /// None while it is only proposed.
    pub ordered_at: Option<DateTime<Utc>>,
    /// Time of the factory's acceptance.
    pub accepted_at: Option<DateTime<Utc>>,
    /// The trace of its cause.
    pub traceparent: String,
    /// Time of the decision.
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Time of the last status change. None in a row written by an earlier release.
    pub status_since: Option<DateTime<Utc>>,
}

impl ReplenishmentRow {
    /// The domain type, for a decision.
    pub fn replenishment(&self) -> Result<Replenishment, StoreError> {
        Ok(Replenishment {
            id: RequestId(self.id),
            quantity: self.quantity,
            received: self.received,
            status: Status::of_name(&self.status).ok_or_else(|| corrupt("a replenishment's status"))?,
            revision: self.revision,
            is_automatic: self.reason != BY_HAND,
        })
    }

    /// Copies the result of a decision into the row.
    pub fn set(&mut self, decided: &Replenishment, now: DateTime<Utc>) {
        (self.quantity, self.received) = (decided.quantity, decided.received);
        if self.status != decided.status.name() {
            decided.status.name().clone_into(&mut self.status);
            self.status_since = Some(now);
        }
        self.revision = decided.revision;
    }
}

struct Insert;
impl StatementSql for Insert {
    const SQL: &'static str = "INSERT INTO replenishments (id, sku, factory_id, quantity, received, status, reason, \
        explanation, revision, position_before, on_order_before, ordered_at, accepted_at, traceparent, created_at, \
        updated_at) SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
}

/// Writes new replenishments. The caller also writes their products' figures ([`super::product_states`]).
pub async fn insert(connection: &AsyncPgConnection, rows: &[ReplenishmentRow]) -> Result<(), StoreError> {
    if !rows.is_empty() {
        inserting(rows).run(connection).await?;
    }
    Ok(())
}

/// The statement of [`insert`], to be combined with others. The rows are bound as arrays, so that there may be any
/// number.
pub fn inserting(rows: &[ReplenishmentRow]) -> Statement<impl StatementSql + use<>> {
    fn column<T>(rows: &[ReplenishmentRow], pick: impl Fn(&ReplenishmentRow) -> T) -> Vec<T> {
        rows.iter().map(pick).collect()
    }
    Statement::<Insert>::new()
        .bind::<Array<SqlUuid>, _>(column(rows, |row| row.id))
        .bind::<Array<Text>, _>(column(rows, |row| row.sku.clone()))
        .bind::<Array<Text>, _>(column(rows, |row| row.factory_id.clone()))
        .bind::<Array<BigInt>, _>(column(rows, |row| row.quantity))
        .bind::<Array<BigInt>, _>(column(rows, |row| row.received))
        .bind::<Array<Text>, _>(column(rows, |row| row.status.clone()))
        .bind::<Array<Text>, _>(column(rows, |row| row.reason.clone()))
        .bind::<Array<Text>, _>(column(rows, |row| row.explanation.clone()))
        .bind::<Array<BigInt>, _>(column(rows, |row| row.revision))
        .bind::<Array<Nullable<BigInt>>, _>(column(rows, |row| row.position_before))
        .bind::<Array<Nullable<BigInt>>, _>(column(rows, |row| row.on_order_before))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows, |row| row.ordered_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows, |row| row.accepted_at))
        .bind::<Array<Text>, _>(column(rows, |row| row.traceparent.clone()))
        .bind::<Array<Timestamptz>, _>(column(rows, |row| row.created_at))
        .bind::<Array<Timestamptz>, _>(column(rows, |row| row.updated_at))
}

/// The product of a replenishment, whose figures must be locked before the replenishment itself.
pub async fn sku_of(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<String>, StoreError> {
    Ok(replenishments::table.find(id.0).select(replenishments::sku).first(connection).await.optional()?)
}

/// Locks one replenishment. The caller has locked its product's figures.
pub async fn lock(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<ReplenishmentRow>, StoreError> {
    let query = replenishments::table.find(id.0).select(ReplenishmentRow::as_select()).for_update();
    Ok(query.first(connection).await.optional()?)
}

struct LockFree;
impl StatementSql for LockFree {
    const SQL: &'static str = "SELECT wanted.id FROM unnest(?) AS wanted (id) \
        CROSS JOIN LATERAL (SELECT FROM replenishments WHERE id = wanted.id OFFSET 0) AS known \
        LEFT JOIN LATERAL (SELECT true AS is_free FROM replenishments WHERE id = wanted.id FOR UPDATE SKIP LOCKED) \
            AS lock ON true \
        WHERE lock IS NULL";
}

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Locks those of these replenishments that no other transaction holds, and returns the others. The caller has locked
/// their products' figures.
pub async fn lock_free(
    connection: &AsyncPgConnection,
    ids: &BTreeSet<RequestId>,
) -> Result<BTreeSet<RequestId>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let held: Vec<HeldRow> = Statement::<LockFree>::new().bind::<Array<SqlUuid>, _>(ids).load(connection).await?;
    Ok(held.into_iter().map(|row| RequestId(row.id)).collect())
}

/// Locks several replenishments in id order. The caller has locked their products' figures.
pub async fn lock_all(
    connection: &mut AsyncPgConnection,
    ids: &BTreeSet<RequestId>,
) -> Result<Vec<ReplenishmentRow>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query = replenishments::table.filter(replenishments::id.eq_any(ids)).order(replenishments::id);
    Ok(query.select(ReplenishmentRow::as_select()).for_update().load(connection).await?)
}

struct UpdateReceived;
impl StatementSql for UpdateReceived {
    const SQL: &'static str = "UPDATE replenishments SET received = new.received, status = new.status, \
        status_since = new.since, updated_at = now() \
        FROM unnest(?, ?, ?, ?) AS new (id, received, status, since) WHERE replenishments.id = new.id";
}

/// Writes the columns that goods may change. The caller also writes the products' figures ([`super::product_states`]).
pub async fn update_received(connection: &mut AsyncPgConnection, rows: &[&ReplenishmentRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    Statement::<UpdateReceived>::new()
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.received).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows.iter().map(|row| row.status.clone()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(rows.iter().map(|row| row.status_since).collect::<Vec<_>>())
        .run_by_index(connection)
        .await?;
    Ok(())
}

struct Update;
impl StatementSql for Update {
    const SQL: &'static str = "UPDATE replenishments SET quantity = ?, received = ?, status = ?, revision = ?, \
        ordered_at = ?, accepted_at = ?, status_since = ?, heard_at = now(), asks = 0, updated_at = now() WHERE id = ?";
}

/// Writes the columns that may change after creation. The caller also writes the product's figures
/// ([`super::product_states`]).
pub async fn update(connection: &mut AsyncPgConnection, row: &ReplenishmentRow) -> Result<(), StoreError> {
    Statement::<Update>::new()
        .bind::<BigInt, _>(row.quantity)
        .bind::<BigInt, _>(row.received)
        .bind::<Text, _>(row.status.clone())
        .bind::<BigInt, _>(row.revision)
        .bind::<Nullable<Timestamptz>, _>(row.ordered_at)
        .bind::<Nullable<Timestamptz>, _>(row.accepted_at)
        .bind::<Nullable<Timestamptz>, _>(row.status_since)
        .bind::<SqlUuid, _>(row.id)
        .run(connection)
        .await?;
    Ok(())
}

/// Maximum doublings of the interval between repeated requests.
const DOUBLED_MAX: i32 = 4;

/// Takes the replenishments on order without news for `after`, doubled with each repeated request, and marks them as
/// requested now. Rows locked by another transaction are skipped: that transaction is the news.
pub async fn take_unheard(
    connection: &mut AsyncPgConnection,
    after: Duration,
    limit: i64,
) -> Result<Vec<ReplenishmentRow>, StoreError> {
    let taken = diesel::sql_query(
        "UPDATE replenishments SET heard_at = now(), asks = least(asks + 1, 1000) WHERE id IN (SELECT id \
         FROM replenishments WHERE status IN ('open', 'stalled') AND heard_at <= now() - $1 * interval '1 second' \
         AND heard_at <= now() - $1 * (1 << least(asks, $2)) * interval '1 second' \
         ORDER BY heard_at LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING *",
    )
    .bind::<BigInt, _>(i64::try_from(after.as_secs()).unwrap_or(i64::MAX))
    .bind::<Integer, _>(DOUBLED_MAX)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    Ok(taken)
}

/// A replenishment whose goods are still to come, with its factory's lead time.
#[derive(Debug, QueryableByName)]
pub struct OpenRow {
    #[diesel(sql_type = Text)]
    pub sku: String,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// Units still to come.
    #[diesel(sql_type = BigInt)]
    pub units: i64,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ordered_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    accepted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    lead_time_s: Option<i64>,
}

impl OpenRow {
    /// Expected arrival; None if unknown. The lead time runs from the acceptance, or from the order until there is
    /// one.
    pub fn due(&self) -> Option<DateTime<Utc>> {
        let from = self.accepted_at.or(self.ordered_at).filter(|_| self.status == Status::Open.name())?;
        from.checked_add_signed(TimeDelta::try_seconds(self.lead_time_s?)?)
    }
}

struct FindOpen;
impl StatementSql for FindOpen {
    // The statuses are literals, as in the index, and the query runs product by product: the plan is cached, and one
    // made while the table was empty, or made for a list of products, would read all rows ever written. 64 requests
    // are enough for any date a shop can promise; a product may have any number of requests ordered by hand.
    const SQL: &'static str = "SELECT mine.*, coalesce(factories.lead_time_p50_s, factories.lead_time_s) AS lead_time_s \
        FROM unnest(?) AS wanted (sku) CROSS JOIN LATERAL ( \
            SELECT sku, id, quantity - received AS units, status, ordered_at, accepted_at, factory_id \
            FROM replenishments WHERE sku = wanted.sku AND status IN ('open', 'stalled') \
            ORDER BY id LIMIT 64) AS mine \
        LEFT JOIN factories ON factories.factory_id = mine.factory_id ORDER BY mine.id";
}

/// The replenishments on order for these products, oldest first, at most 64 per product.
pub async fn open(connection: &AsyncPgConnection, skus: &[String]) -> Result<Vec<OpenRow>, StoreError> {
    Ok(Statement::<FindOpen>::new().bind::<Array<Text>, _>(skus.to_vec()).load(connection).await?)
}

struct FindDue;
impl StatementSql for FindDue {
    const SQL: &'static str = "SELECT sku, id, quantity - received AS units, status, ordered_at, accepted_at, \
        coalesce(factories.lead_time_p50_s, factories.lead_time_s) AS lead_time_s \
        FROM replenishments LEFT JOIN factories USING (factory_id) \
        WHERE id = ANY(?) AND status IN ('open', 'stalled')";
}

/// Those of the given replenishments whose goods are still to come.
pub async fn open_of(connection: &AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<OpenRow>, StoreError> {
    Ok(Statement::<FindDue>::new().bind::<Array<SqlUuid>, _>(ids.to_vec()).load(connection).await?)
}

/// Filter for [`list`].
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub sku: Option<&'a str>,
    pub status: Option<&'a str>,
    /// Only replenishments older than this one.
    pub before: Option<Uuid>,
}

/// Replenishments, newest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    filter: Filter<'_>,
    limit: i64,
) -> Result<Vec<ReplenishmentRow>, StoreError> {
    let mut query = replenishments::table.into_boxed();
    if let Some(sku) = filter.sku {
        query = query.filter(replenishments::sku.eq(sku));
    }
    if let Some(status) = filter.status {
        query = query.filter(replenishments::status.eq(status));
    }
    if let Some(before) = filter.before {
        query = query.filter(replenishments::id.lt(before));
    }
    let query = query.order(replenishments::id.desc()).limit(limit).select(ReplenishmentRow::as_select());
    Ok(query.load(connection).await?)
}

/// A receipt to be applied.
#[derive(Debug, Insertable)]
#[diesel(table_name = receipts_applied)]
pub struct AppliedReceipt<'a> {
    pub receipt_id: Uuid,
    /// The production request that the receipt answers.
    pub request_id: Uuid,
    pub sku: &'a str,
    /// Units received.
    pub quantity: i64,
    /// Time when restock-service booked it.
    pub received_at: DateTime<Utc>,
}

struct NoteReceipts;
impl StatementSql for NoteReceipts {
    const SQL: &'static str = "INSERT INTO receipts_applied (receipt_id, request_id, sku, quantity, received_at) \
        SELECT * FROM unnest(?, ?, ?, ?, ?) ON CONFLICT (receipt_id) DO NOTHING RETURNING receipt_id";
}

#[derive(QueryableByName)]
struct Noted {
    #[diesel(sql_type = SqlUuid)]
    receipt_id: Uuid,
}

/// Records receipts. Returns the ids of those that were not applied before.
pub async fn note_receipts(
    connection: &mut AsyncPgConnection,
    receipts: &[AppliedReceipt<'_>],
) -> Result<Vec<Uuid>, StoreError> {
    let ids = |pick: fn(&AppliedReceipt<'_>) -> Uuid| receipts.iter().map(pick).collect::<Vec<_>>();
    let noted: Vec<Noted> = Statement::<NoteReceipts>::new()
        .bind::<Array<SqlUuid>, _>(ids(|receipt| receipt.receipt_id))
        .bind::<Array<SqlUuid>, _>(ids(|receipt| receipt.request_id))
        .bind::<Array<Text>, _>(receipts.iter().map(|receipt| receipt.sku.to_owned()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(receipts.iter().map(|receipt| receipt.quantity).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(receipts.iter().map(|receipt| receipt.received_at).collect::<Vec<_>>())
        .load(connection)
        .await?;
    Ok(noted.into_iter().map(|row| row.receipt_id).collect())
}
