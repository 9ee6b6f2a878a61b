//! Production requests.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql, StoreError};
use shared::ids::{FactoryId, Quantity, RequestId, Sku};
use uuid::Uuid;

use super::schema::production_requests;
use super::{corrupt, milliseconds};
use crate::domain::{Change, Request, Status};

/// A kept request.
#[derive(Debug, Clone)]
pub struct StoredRequest {
    /// What decisions need.
    pub state: Request,
    /// When the factory is called next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The factory's own id for it.
    pub factory_job_id: Option<String>,
    /// Why it was asked for.
    pub reason: String,
    /// Why it came to its last outcome.
    pub outcome_reason: Option<String>,
    /// The trace it belongs to.
    pub traceparent: String,
    /// Kept.
    pub created_at: DateTime<Utc>,
    /// Changed.
    pub updated_at: DateTime<Utc>,
}

/// Why a request is kept, and by which message.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Why it was asked for.
    pub reason: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// The trace it belongs to.
    pub traceparent: String,
    /// Id of the event that asked for it.
    pub event_id: String,
    /// The event itself.
    pub event: Vec<u8>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = production_requests)]
struct Row {
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
    traceparent: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for StoredRequest {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
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
            traceparent: row.traceparent,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// One request.
pub async fn find(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<StoredRequest>, StoreError> {
    let row = production_requests::table.find(id.0).select(Row::as_select()).first(connection).await.optional()?;
    row.map(StoredRequest::try_from).transpose()
}

/// One request, nobody else's until the transaction ends.
pub async fn lock(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<StoredRequest>, StoreError> {
    let row = production_requests::table
        .find(id.0)
        .select(Row::as_select())
        .for_update()
        .first(connection)
        .await
        .optional()?;
    row.map(StoredRequest::try_from).transpose()
}

/// What a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only in this status.
    pub status: Option<Status>,
    /// Only of this factory.
    pub factory: Option<FactoryId>,
    /// Only of this product.
    pub sku: Option<Sku>,
    /// Only those that are overdue, or that are not.
    pub overdue: Option<bool>,
}

/// Requests that fit, newest first (ids are UUIDv7), before `before`.
pub async fn list(
    connection: &mut AsyncPgConnection,
    filter: &Filter,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    let mut query = production_requests::table
        .select(Row::as_select())
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

/// Keeps a new request as it is before its first change.
pub async fn insert(
    connection: &mut AsyncPgConnection,
    state: &Request,
    origin: &Origin,
) -> Result<StoredRequest, StoreError> {
    let row: Row = diesel::insert_into(production_requests::table)
        .values((
            production_requests::id.eq(state.id.0),
            production_requests::sku.eq(state.sku.as_str()),
            production_requests::factory_id.eq(state.factory_id.as_str()),
            production_requests::quantity.eq(state.quantity.get()),
            production_requests::status.eq(state.status.as_str()),
            production_requests::next_attempt_at.eq(diesel::dsl::now),
            production_requests::reason.eq(&origin.reason),
            production_requests::traceparent.eq(&origin.traceparent),
            production_requests::event_id.eq(&origin.event_id),
            production_requests::event.eq(&origin.event),
            production_requests::requested_at.eq(origin.requested_at),
        ))
        .returning(Row::as_returning())
        .get_result(connection)
        .await?;
    row.try_into()
}

struct Apply;
impl StatementSql for Apply {
    const SQL: &'static str = "UPDATE production_requests SET status = ?, received = ?, factory_id = ?, \
        fallback_from = ?, outcome_unknown = ?, has_died = ?, overdue = ?, \
        last_accepted_at = CASE WHEN ? THEN now() ELSE last_accepted_at END, \
        schedule_began_at = CASE WHEN ? THEN now() ELSE schedule_began_at END, \
        next_attempt_at = now() + ? * interval '1 millisecond', lease_until = NULL, attempts_before_schedule = ?, \
        revision = ?, outcome_reason = coalesce(?, outcome_reason), updated_at = now(), \
        received_at = coalesce(received_at, CASE WHEN ? >= quantity THEN ( \
            SELECT max(receipts.received_at) FROM receipts WHERE receipts.request_id = production_requests.id \
            AND coalesce(receipts.sku, production_requests.sku) = production_requests.sku) END) \
        WHERE id = ?";
}

/// Writes a change of a locked request, and when it was complete.
pub async fn apply(connection: &mut AsyncPgConnection, state: &Request, change: &Change) -> Result<(), StoreError> {
    let after = state.after(change);
    Statement::<Apply>::new()
        .bind::<Text, _>(after.status.as_str())
        .bind::<BigInt, _>(after.received)
        .bind::<Text, _>(after.factory_id.to_string())
        .bind::<Nullable<Text>, _>(after.fallback_from.as_ref().map(ToString::to_string))
        .bind::<Bool, _>(after.outcome_unknown)
        .bind::<Bool, _>(after.has_died)
        .bind::<Bool, _>(after.overdue)
        .bind::<Bool, _>(change.is_acceptance())
        .bind::<Bool, _>(change.schedule_begins)
        .bind::<Nullable<BigInt>, _>(change.next_attempt_in.map(milliseconds))
        .bind::<Integer, _>(after.attempts_before_schedule)
        .bind::<BigInt, _>(after.revision)
        .bind::<Nullable<Text>, _>(change.announcement.as_ref().map(|announcement| announcement.reason.clone()))
        .bind::<BigInt, _>(after.received)
        .bind::<SqlUuid, _>(after.id.0)
        .run(connection)
        .await?;
    Ok(())
}

/// Keeps the factory's own id for the job.
pub async fn keep_job_id(connection: &mut AsyncPgConnection, id: RequestId, job_id: &str) -> Result<(), StoreError> {
    diesel::update(production_requests::table.find(id.0))
        .set(production_requests::factory_job_id.eq(job_id))
        .execute(connection)
        .await?;
    Ok(())
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

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

const LOCK_DUE: &str = "\
    SELECT due.id FROM unnest($1, $2) AS room (factory_id, places) CROSS JOIN LATERAL ( \
        SELECT id, next_attempt_at FROM production_requests \
        WHERE factory_id = room.factory_id AND next_attempt_at <= now() \
        ORDER BY next_attempt_at, id LIMIT room.places FOR UPDATE SKIP LOCKED \
    ) AS due ORDER BY due.next_attempt_at, due.id";

/// Requests to be sent now, oldest first, of each factory no more than it has places; nobody else's until
/// the transaction ends.
pub async fn lock_due(
    connection: &mut AsyncPgConnection,
    places: Vec<(&str, i64)>,
) -> Result<Vec<StoredRequest>, StoreError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let (factories, places): (Vec<&str>, Vec<i64>) = places.into_iter().unzip();
    let query = diesel::sql_query(LOCK_DUE).bind::<Array<Text>, _>(factories).bind::<Array<BigInt>, _>(places);
    let due: Vec<Id> = query.load(connection).await?;
    load_all(connection, due).await
}

const LOCK_WAITING: &str = "SELECT id FROM production_requests \
    WHERE factory_id = $1 AND next_attempt_at <= now() AND schedule_began_at <= $2 \
    AND EXISTS (SELECT FROM factory_breakers WHERE factory_id = $1 AND position <> 'closed') \
    ORDER BY next_attempt_at, id LIMIT $3 FOR UPDATE SKIP LOCKED";

/// Requests that are due at a factory whose breaker is not closed, and whose schedule began by then;
/// nobody else's until the transaction ends.
pub async fn lock_waiting(
    connection: &mut AsyncPgConnection,
    factory: &FactoryId,
    begun_by: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    let waiting: Vec<Id> = diesel::sql_query(LOCK_WAITING)
        .bind::<Text, _>(factory.as_str())
        .bind::<Timestamptz, _>(begun_by)
        .bind::<BigInt, _>(limit)
        .load(connection)
        .await?;
    load_all(connection, waiting).await
}

/// Requests whose call counts as lost, nobody else's until the transaction ends; `held` calls (request and
/// number) are not lost, whatever their lease says.
pub async fn lock_lost(
    connection: &mut AsyncPgConnection,
    held: &[(RequestId, i32)],
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    let lost = "SELECT id FROM production_requests AS request WHERE status = 'sending' AND lease_until <= now() \
        AND NOT EXISTS (SELECT FROM unnest($1, $2) AS held (id, number) \
            WHERE held.id = request.id AND held.number = request.attempt_count) \
        ORDER BY lease_until LIMIT $3 FOR UPDATE SKIP LOCKED";
    let (ids, numbers): (Vec<Uuid>, Vec<i32>) = held.iter().map(|(id, number)| (id.0, *number)).unzip();
    let lost: Vec<Id> = diesel::sql_query(lost)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Integer>, _>(numbers)
        .bind::<BigInt, _>(limit)
        .load(connection)
        .await?;
    load_all(connection, lost).await
}

const LOCK_LATE: &str = "SELECT request.id FROM production_requests AS request \
    JOIN factories ON factories.id = request.factory_id WHERE request.status IN ('accepted', 'partly_received') \
    AND NOT request.overdue \
    AND coalesce(request.last_accepted_at, request.accepted_at, request.updated_at) + interval '1 second' \
        * (factories.overdue_factor * coalesce(factories.lead_time_p50_s, factories.lead_time_s)) <= now() \
    ORDER BY request.last_accepted_at, request.id LIMIT $1 FOR UPDATE OF request SKIP LOCKED";

/// Requests that were accepted and should have been received in full, nobody else's until the transaction ends.
pub async fn lock_late(connection: &mut AsyncPgConnection, limit: i64) -> Result<Vec<StoredRequest>, StoreError> {
    let late: Vec<Id> = diesel::sql_query(LOCK_LATE).bind::<BigInt, _>(limit).load(connection).await?;
    load_all(connection, late).await
}

async fn load_all(connection: &mut AsyncPgConnection, ids: Vec<Id>) -> Result<Vec<StoredRequest>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.into_iter().map(|row| row.id).collect();
    let rows = production_requests::table
        .filter(production_requests::id.eq_any(&ids))
        .select(Row::as_select())
        .load(connection)
        .await?;
    rows.into_iter().map(StoredRequest::try_from).collect()
}

/// How long a call is left to the process that makes it: the factory's time-out and `beyond_timeout`, but
/// never less than `at_least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Whatever the factory's time-out is.
    pub at_least: Duration,
    /// After the factory's time-out.
    pub beyond_timeout: Duration,
}

struct Begin;
impl StatementSql for Begin {
    // The lease begins when the call can begin, not when its transaction did.
    const SQL: &'static str = "UPDATE production_requests SET status = 'sending', attempt_count = attempt_count + 1, \
        next_attempt_at = NULL, updated_at = now(), lease_until = clock_timestamp() + interval '1 millisecond' * \
        greatest(?, factories.timeout_ms + ?) \
        FROM factories WHERE factories.id = production_requests.factory_id AND production_requests.id = ANY(?)";
}

/// Marks locked requests as being sent.
pub async fn begin_sending(connection: &mut AsyncPgConnection, ids: Vec<Uuid>, lease: Lease) -> Result<(), StoreError> {
    Statement::<Begin>::new()
        .bind::<BigInt, _>(milliseconds(lease.at_least))
        .bind::<BigInt, _>(milliseconds(lease.beyond_timeout))
        .bind::<Array<SqlUuid>, _>(ids)
        .run(connection)
        .await?;
    Ok(())
}
