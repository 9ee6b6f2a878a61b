//! Set-based changes of requests.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::{FactoryId, RequestId};
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::milliseconds;
use crate::domain::{Request, RequestChange};

/// A call that a factory accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// End of the call.
    pub at: DateTime<Utc>,
    pub by: FactoryId,
    /// The factory's own id for the job.
    pub job_id: Option<String>,
}

/// A change of a locked request.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// The request before the change.
    pub state: &'a Request,
    pub change: &'a RequestChange,
    /// The accepted call that caused the change, if any.
    pub acceptance: Option<&'a Acceptance>,
}

struct Apply;
impl StatementSql for Apply {
    // The earliest of several acceptances is kept.
    const SQL: &'static str = "UPDATE production_requests AS request SET status = changed.status, \
        received = changed.received, factory_id = changed.factory_id, fallback_from = changed.fallback_from, \
        outcome_unknown = changed.outcome_unknown, has_died = changed.has_died, overdue = changed.overdue, \
        last_accepted_at = CASE WHEN changed.accepts THEN now() ELSE request.last_accepted_at END, \
        schedule_began_at = CASE WHEN changed.begins THEN now() ELSE request.schedule_began_at END, \
        next_attempt_at = now() + changed.next_in_ms * interval '1 millisecond', lease_until = NULL, \
        attempts_before_schedule = changed.attempts_before, revision = changed.revision, \
        last_outcome = coalesce(changed.outcome, request.last_outcome), \
        outcome_at = CASE WHEN changed.outcome IS NULL THEN request.outcome_at ELSE now() END, \
        outcome_reason = coalesce(changed.reason, request.outcome_reason), updated_at = now(), \
        accepted_by = CASE WHEN changed.accepted_at < coalesce(request.accepted_at, 'infinity') \
            THEN changed.accepted_by ELSE request.accepted_by END, \
        accepted_at = least(changed.accepted_at, request.accepted_at), \
        factory_job_id = coalesce(changed.job_id, request.factory_job_id), \
        received_at = coalesce(request.received_at, CASE WHEN changed.received >= request.quantity THEN ( \
            SELECT max(receipts.received_at) FROM receipts WHERE receipts.request_id = request.id \
            AND coalesce(receipts.sku, request.sku) = request.sku) END) \
        FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS changed (id, status, received, factory_id, \
            fallback_from, outcome_unknown, has_died, overdue, accepts, begins, next_in_ms, attempts_before, \
            revision, outcome, reason, accepted_at, accepted_by, job_id) \
        WHERE request.id = changed.id";
}

/// Applies changes of distinct locked requests, and stores when the requests were complete.
pub async fn apply(connection: &mut AsyncPgConnection, changes: &[Changed<'_>]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let after: Vec<Request> = changes.iter().map(|one| one.state.after(one.change)).collect();
    let flags = |pick: fn(&Request) -> bool| after.iter().map(pick).collect::<Vec<_>>();
    let numbers = |pick: fn(&Request) -> i64| after.iter().map(pick).collect::<Vec<_>>();
    let outcome =
        |one: &Changed<'_>| one.change.announcement.as_ref().map(|announcement| announcement.outcome.as_str());
    let reason = |one: &Changed<'_>| one.change.announcement.as_ref().map(|announcement| announcement.reason.clone());
    let fallback_from = |one: &Request| one.fallback_from.as_ref().map(ToString::to_string);
    Statement::<Apply>::new()
        .bind::<Array<SqlUuid>, _>(after.iter().map(|one| one.id.0).collect::<Vec<Uuid>>())
        .bind::<Array<Text>, _>(after.iter().map(|one| one.status.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(numbers(|one| one.received))
        .bind::<Array<Text>, _>(after.iter().map(|one| one.factory_id.to_string()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(after.iter().map(fallback_from).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(flags(|one| one.outcome_unknown))
        .bind::<Array<Bool>, _>(flags(|one| one.has_died))
        .bind::<Array<Bool>, _>(flags(|one| one.overdue))
        .bind::<Array<Bool>, _>(changes.iter().map(|one| one.change.is_acceptance()).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(changes.iter().map(|one| one.change.schedule_begins).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(
            changes.iter().map(|one| one.change.next_attempt_in.map(milliseconds)).collect::<Vec<_>>(),
        )
        .bind::<Array<Integer>, _>(after.iter().map(|one| one.attempts_before_schedule).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(numbers(|one| one.revision))
        .bind::<Array<Nullable<Text>>, _>(changes.iter().map(outcome).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(changes.iter().map(reason).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(
            changes.iter().map(|one| one.acceptance.map(|accepted| accepted.at)).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            changes.iter().map(|one| one.acceptance.map(|accepted| accepted.by.to_string())).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            changes.iter().map(|one| one.acceptance.and_then(|accepted| accepted.job_id.clone())).collect::<Vec<_>>(),
        )
        .run_by_index(connection)
        .await?;
    Ok(())
}

struct KeepAcceptances;
impl StatementSql for KeepAcceptances {
    const SQL: &'static str = "UPDATE production_requests AS request SET \
        accepted_by = CASE WHEN accepted.at < coalesce(request.accepted_at, 'infinity') \
            THEN accepted.factory_id ELSE request.accepted_by END, \
        accepted_at = least(accepted.at, request.accepted_at), \
        factory_job_id = coalesce(accepted.job_id, request.factory_job_id) \
        FROM unnest(?, ?, ?, ?) AS accepted (id, at, factory_id, job_id) WHERE request.id = accepted.id";
}

/// Stores acceptances that change nothing else, of distinct locked requests.
pub async fn keep_acceptances(
    connection: &mut AsyncPgConnection,
    accepted: &[(RequestId, &Acceptance)],
) -> Result<(), StoreError> {
    if accepted.is_empty() {
        return Ok(());
    }
    Statement::<KeepAcceptances>::new()
        .bind::<Array<SqlUuid>, _>(accepted.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(accepted.iter().map(|(_, one)| one.at).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(accepted.iter().map(|(_, one)| one.by.to_string()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(accepted.iter().map(|(_, one)| one.job_id.clone()).collect::<Vec<_>>())
        .run_by_index(connection)
        .await?;
    Ok(())
}
