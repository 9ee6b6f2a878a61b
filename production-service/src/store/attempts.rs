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

/// A call, before it is made.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// For which request.
    pub request_id: Uuid,
    /// Counts from 1.
    pub number: i32,
    /// Which factory is asked.
    pub factory_id: String,
    /// Id of its callback token.
    pub jti: String,
    /// Begun, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// The trace it belongs to.
    pub trace_id: String,
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

/// A call as it is shown.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = production_attempts)]
pub struct Attempt {
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

/// How a call ended.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// Of which request.
    pub request_id: RequestId,
    /// Which call, counted from 1.
    pub number: i32,
    /// `accepted`, `retry`, `refused` or `unknown`.
    pub outcome: &'static str,
    /// How long it took, when that is known.
    pub duration_ms: Option<i64>,
    /// Status of the answer.
    pub status: Option<i32>,
    /// Why there was none.
    pub error: Option<String>,
    /// Beginning of the answer, redacted.
    pub answer: Option<String>,
}

struct Begin;
impl StatementSql for Begin {
    // The lease begins when the call can begin, not when its transaction did.
    const SQL: &'static str = "WITH begun AS (INSERT INTO production_attempts \
            (request_id, number, factory_id, jti, started_at, trace_id) SELECT * FROM unnest(?, ?, ?, ?, ?, ?)) \
        UPDATE production_requests SET status = 'sending', attempt_count = attempt_count + 1, \
        next_attempt_at = NULL, updated_at = now(), lease_until = clock_timestamp() + interval '1 millisecond' * \
        greatest(?, factories.timeout_ms + ?) \
        FROM factories WHERE factories.id = production_requests.factory_id AND production_requests.id = ANY(?)";
}

/// Writes calls down before they are made, and marks their locked requests as being sent.
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

/// Writes down how calls ended, each another one; what is known later replaces `unknown`.
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

/// The calls of a request, oldest first.
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

/// Ends the leases of calls under way (request and number): whoever looks next takes them for lost.
pub async fn leave(connection: &mut AsyncPgConnection, held: &[(RequestId, i32)]) -> Result<(), StoreError> {
    let (ids, numbers): (Vec<Uuid>, Vec<i32>) = held.iter().map(|(id, number)| (id.0, *number)).unzip();
    Statement::<Leave>::new().bind::<Array<SqlUuid>, _>(ids).bind::<Array<Integer>, _>(numbers).run(connection).await?;
    Ok(())
}
