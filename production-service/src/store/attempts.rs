//! Calls to factories.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::RequestId;
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::milliseconds;
use super::schema::production_attempts;

/// A call before it is made.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    pub request_id: Uuid,
    /// Number of the call, from 1.
    pub number: i32,
    pub factory_id: String,
    /// Id of the callback token.
    pub jti: String,
    /// By the database's clock.
    pub started_at: DateTime<Utc>,
    pub trace_id: String,
}

/// Time for which a call is left to the process that makes it: the factory's timeout plus `beyond_timeout`, but at
/// least `at_least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub at_least: Duration,
    pub beyond_timeout: Duration,
}

/// A stored call.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = production_attempts)]
pub struct Attempt {
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

/// Result of a call.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    pub request_id: RequestId,
    /// Number of the call, from 1.
    pub number: i32,
    /// `accepted`, `retry`, `refused` or `unknown`.
    pub outcome: &'static str,
    /// None when unknown.
    pub duration_ms: Option<i64>,
    /// HTTP status of the answer.
    pub status: Option<i32>,
    /// Reason why there was no answer.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
}

struct Begin;
impl StatementSql for Begin {
    // The lease begins when the call can begin, not with the transaction.
    const SQL: &'static str = "WITH begun AS (INSERT INTO production_attempts \
            (request_id, number, factory_id, jti, started_at, trace_id) SELECT * FROM unnest(?, ?, ?, ?, ?, ?)) \
        UPDATE production_requests SET status = 'sending', attempt_count = attempt_count + 1, \
        next_attempt_at = NULL, updated_at = now(), lease_until = clock_timestamp() + interval '1 millisecond' * \
        greatest(?, factories.timeout_ms + ?) \
        FROM factories WHERE factories.id = production_requests.factory_id AND production_requests.id = ANY(?)";
}

/// Stores calls before they are made, and marks their locked requests as sending.
pub async fn begin(
    connection: &mut AsyncPgConnection,
    attempts: &[NewAttempt],
    lease: Lease,
) -> Result<(), StoreError> {
    let texts = |pick: fn(&NewAttempt) -> &str| attempts.iter().map(|one| pick(one).to_owned()).collect::<Vec<_>>();
    let ids: Vec<Uuid> = attempts.iter().map(|one| one.request_id).collect();
    Statement::<Begin>::new()
        .bind::<Array<SqlUuid>, _>(ids.clone())
        .bind::<Array<Integer>, _>(attempts.iter().map(|one| one.number).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(texts(|one| &one.factory_id))
        .bind::<Array<Text>, _>(texts(|one| &one.jti))
        .bind::<Array<Timestamptz>, _>(attempts.iter().map(|one| one.started_at).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(texts(|one| &one.trace_id))
        .bind::<BigInt, _>(milliseconds(lease.at_least))
        .bind::<BigInt, _>(milliseconds(lease.beyond_timeout))
        .bind::<Array<SqlUuid>, _>(ids)
        .run_by_index(connection)
        .await?;
    Ok(())
}

struct End;
impl StatementSql for End {
    const SQL: &'static str = "UPDATE production_attempts AS attempt SET outcome = ended.outcome, \
        duration_ms = ended.duration_ms, status = ended.status, error = ended.error, answer = ended.answer \
        FROM unnest(?, ?, ?, ?, ?, ?, ?) AS ended (request_id, number, outcome, duration_ms, status, error, answer) \
        WHERE attempt.request_id = ended.request_id AND attempt.number = ended.number";
}

/// Stores results of distinct calls; a later result replaces `unknown`.
pub async fn end(connection: &mut AsyncPgConnection, ends: &[AttemptEnd]) -> Result<(), StoreError> {
    if ends.is_empty() {
        return Ok(());
    }
    let texts = |pick: fn(&AttemptEnd) -> &Option<String>| ends.iter().map(|one| pick(one).clone()).collect::<Vec<_>>();
    Statement::<End>::new()
        .bind::<Array<SqlUuid>, _>(ends.iter().map(|one| one.request_id.0).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(ends.iter().map(|one| one.number).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(ends.iter().map(|one| one.outcome).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(ends.iter().map(|one| one.duration_ms).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(ends.iter().map(|one| one.status).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(texts(|one| &one.error))
        .bind::<Array<Nullable<Text>>, _>(texts(|one| &one.answer))
        .run_by_index(connection)
        .await?;
    Ok(())
}

/// Calls of a request, oldest first.
pub async fn of_request(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Vec<Attempt>, StoreError> {
    let attempts = production_attempts::table
        .filter(production_attempts::request_id.eq(id.0))
        .order(production_attempts::number)
        .select(Attempt::as_select())
        .load(connection)
        .await?;
    Ok(attempts)
}

struct Leave;
impl StatementSql for Leave {
    const SQL: &'static str = "UPDATE production_requests AS request SET lease_until = now() \
        FROM unnest(?, ?) AS held (id, number) WHERE held.id = request.id AND held.number = request.attempt_count \
        AND request.status = 'sending'";
}

/// Ends the leases of calls in flight (request and number), so that the next check treats them as lost.
pub async fn leave(connection: &mut AsyncPgConnection, held: &[(RequestId, i32)]) -> Result<(), StoreError> {
    let (ids, numbers): (Vec<Uuid>, Vec<i32>) = held.iter().map(|(id, number)| (id.0, *number)).unzip();
    Statement::<Leave>::new().bind::<Array<SqlUuid>, _>(ids).bind::<Array<Integer>, _>(numbers).run(connection).await?;
    Ok(())
}
