//! Requests that need work now: found by time, and locked until the transaction ends.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::{FactoryId, RequestId};
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::requests::{RequestRow, StoredRequest};

/// Columns that [`RequestRow`] reads, from the alias `request`.
macro_rules! columns {
    () => {
        "request.id, request.sku, request.factory_id, request.fallback_from, request.quantity, request.received, \
         request.status, request.overdue, request.attempt_count, request.attempts_before_schedule, \
         request.outcome_unknown, request.has_died, request.last_accepted_at, request.accepted_at, \
         request.next_attempt_at, request.factory_job_id, request.revision, request.reason, request.outcome_reason, \
         request.schedule_began_at, request.traceparent, request.created_at, request.updated_at"
    };
}

async fn load<S: StatementSql>(
    connection: &mut AsyncPgConnection,
    statement: Statement<S>,
) -> Result<Vec<StoredRequest>, StoreError> {
    let rows: Vec<RequestRow> = statement.load(connection).await?;
    rows.into_iter().map(StoredRequest::try_from).collect()
}

struct Due;
impl StatementSql for Due {
    const SQL: &'static str = concat!(
        "SELECT request.* FROM unnest(?, ?) AS room (factory_id, places) CROSS JOIN LATERAL (SELECT ",
        columns!(),
        " FROM production_requests AS request \
            WHERE request.factory_id = room.factory_id AND request.next_attempt_at <= now() \
            ORDER BY request.next_attempt_at, request.id LIMIT room.places FOR UPDATE SKIP LOCKED \
        ) AS request ORDER BY request.next_attempt_at, request.id"
    );
}

/// Requests to send now, oldest first, for each factory at most as many as it has places.
pub async fn lock_due(
    connection: &mut AsyncPgConnection,
    places: Vec<(&str, i64)>,
) -> Result<Vec<StoredRequest>, StoreError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let (factories, places): (Vec<String>, Vec<i64>) =
        places.into_iter().map(|(factory, places)| (factory.to_owned(), places)).unzip();
    let due = Statement::<Due>::new().bind::<Array<Text>, _>(factories).bind::<Array<BigInt>, _>(places);
    load(connection, due).await
}

struct Waiting;
impl StatementSql for Waiting {
    const SQL: &'static str = concat!(
        "SELECT ",
        columns!(),
        " FROM production_requests AS request \
        WHERE request.factory_id = ? AND request.next_attempt_at <= now() AND request.schedule_began_at <= ? \
        AND EXISTS (SELECT FROM factory_breakers \
            WHERE factory_breakers.factory_id = request.factory_id AND position <> 'closed') \
        ORDER BY request.next_attempt_at, request.id LIMIT ? FOR UPDATE SKIP LOCKED"
    );
}

/// Due requests of a factory whose breaker is not closed, if their schedule began at or before `begun_by`.
pub async fn lock_waiting(
    connection: &mut AsyncPgConnection,
    factory: &FactoryId,
    begun_by: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    let waiting = Statement::<Waiting>::new()
        .bind::<Text, _>(factory.to_string())
        .bind::<Timestamptz, _>(begun_by)
        .bind::<BigInt, _>(limit);
    load(connection, waiting).await
}

struct Lost;
impl StatementSql for Lost {
    const SQL: &'static str = concat!(
        "SELECT ",
        columns!(),
        " FROM production_requests AS request WHERE request.status = 'sending' AND request.lease_until <= now() \
        AND NOT EXISTS (SELECT FROM unnest(?, ?) AS held (id, number) \
            WHERE held.id = request.id AND held.number = request.attempt_count) \
        ORDER BY request.lease_until LIMIT ? FOR UPDATE SKIP LOCKED"
    );
}

/// Requests whose call counts as lost; calls in `held` (request and number) are not lost, whatever their leases say.
pub async fn lock_lost(
    connection: &mut AsyncPgConnection,
    held: &[(RequestId, i32)],
    limit: i64,
) -> Result<Vec<StoredRequest>, StoreError> {
    let (ids, numbers): (Vec<Uuid>, Vec<i32>) = held.iter().map(|(id, number)| (id.0, *number)).unzip();
    let lost = Statement::<Lost>::new()
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Integer>, _>(numbers)
        .bind::<BigInt, _>(limit);
    load(connection, lost).await
}

struct Late;
impl StatementSql for Late {
    const SQL: &'static str = concat!(
        "SELECT ",
        columns!(),
        " FROM production_requests AS request \
        JOIN factories ON factories.id = request.factory_id WHERE request.status IN ('accepted', 'partly_received') \
        AND NOT request.overdue \
        AND coalesce(request.last_accepted_at, request.accepted_at, request.updated_at) + interval '1 second' \
            * (factories.overdue_factor * coalesce(factories.lead_time_p50_s, factories.lead_time_s)) <= now() \
        ORDER BY request.last_accepted_at, request.id LIMIT ? FOR UPDATE OF request SKIP LOCKED"
    );
}

/// Accepted requests that should have been received in full by now.
pub async fn lock_late(connection: &mut AsyncPgConnection, limit: i64) -> Result<Vec<StoredRequest>, StoreError> {
    load(connection, Statement::<Late>::new().bind::<BigInt, _>(limit)).await
}

#[derive(QueryableByName)]
struct NextRow {
    #[diesel(sql_type = Nullable<Double>)]
    in_s: Option<f64>,
}

struct Next;
impl StatementSql for Next {
    const SQL: &'static str = "SELECT extract(epoch FROM min(first.at) - now())::float8 AS in_s FROM factories \
        CROSS JOIN LATERAL (SELECT least( \
            (SELECT CASE WHEN min(next_attempt_at) IS NOT NULL \
                THEN greatest(min(next_attempt_at), factories.not_before) END FROM production_requests \
                WHERE factory_id = factories.id AND next_attempt_at IS NOT NULL AND factories.enabled), \
            (SELECT min(lease_until) FROM production_requests \
                WHERE factory_id = factories.id AND status = 'sending')) AS at) AS first";
}

/// Seconds until the next request is due or the next call counts as lost; negative when a request is held back by its
/// factory. None: nothing is scheduled.
pub async fn next_in_s(connection: &AsyncPgConnection) -> Result<Option<f64>, StoreError> {
    let rows: Vec<NextRow> = Statement::<Next>::new().load(connection).await?;
    Ok(rows.into_iter().next().and_then(|row| row.in_s))
}
