//! Set-based inserts of new requests.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use jaego_pg::{Statement, StatementSql, StoreError};

use super::milliseconds;
use crate::domain::{Request, RequestChange};

/// Reason of a request, and the message that asked for it.
#[derive(Debug, Clone)]
pub struct Origin {
    pub reason: String,
    pub requested_at: DateTime<Utc>,
    pub traceparent: String,
    /// Id of the event that asked for it.
    pub event_id: String,
    /// Body of that event.
    pub event: Vec<u8>,
}

/// A request that arrives for the first time.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// The request after `change`.
    pub state: Request,
    pub change: RequestChange,
    pub origin: Origin,
}

struct Insert;
impl StatementSql for Insert {
    // All goods may have arrived before the request.
    const SQL: &'static str = "INSERT INTO production_requests (id, sku, factory_id, quantity, received, status, \
            next_attempt_at, revision, last_outcome, outcome_at, outcome_reason, reason, traceparent, event_id, event, \
            requested_at, received_at) \
        SELECT new.id, new.sku, new.factory_id, new.quantity, new.received, new.status, \
            now() + new.next_in_ms * interval '1 millisecond', new.revision, \
            new.outcome, CASE WHEN new.outcome IS NOT NULL THEN now() END, new.outcome_reason, new.reason, \
            new.traceparent, new.event_id, new.event, new.requested_at, \
            CASE WHEN new.received >= new.quantity THEN ( \
                SELECT max(receipts.received_at) FROM receipts WHERE receipts.request_id = new.id \
                AND coalesce(receipts.sku, new.sku) = new.sku) END \
        FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS new (id, sku, factory_id, quantity, received, status, \
            next_in_ms, revision, outcome, outcome_reason, reason, traceparent, event_id, event, requested_at)";
}

pub async fn insert(connection: &mut AsyncPgConnection, all: &[NewRequest]) -> Result<(), StoreError> {
    if all.is_empty() {
        return Ok(());
    }
    let texts = |pick: fn(&NewRequest) -> &str| all.iter().map(|one| pick(one).to_owned()).collect::<Vec<_>>();
    let numbers = |pick: fn(&Request) -> i64| all.iter().map(|one| pick(&one.state)).collect::<Vec<_>>();
    let outcome = |one: &NewRequest| one.change.announcement.as_ref().map(|announcement| announcement.outcome.as_str());
    let reason = |one: &NewRequest| one.change.announcement.as_ref().map(|announcement| announcement.reason.clone());
    Statement::<Insert>::new()
        .bind::<Array<SqlUuid>, _>(all.iter().map(|one| one.state.id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(texts(|one| one.state.sku.as_str()))
        .bind::<Array<Text>, _>(texts(|one| one.state.factory_id.as_str()))
        .bind::<Array<BigInt>, _>(numbers(|state| state.quantity.get()))
        .bind::<Array<BigInt>, _>(numbers(|state| state.received))
        .bind::<Array<Text>, _>(texts(|one| one.state.status.as_str()))
        .bind::<Array<Nullable<BigInt>>, _>(
            all.iter().map(|one| one.change.next_attempt_in.map(milliseconds)).collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(numbers(|state| state.revision))
        .bind::<Array<Nullable<Text>>, _>(all.iter().map(outcome).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(all.iter().map(reason).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(texts(|one| &one.origin.reason))
        .bind::<Array<Text>, _>(texts(|one| &one.origin.traceparent))
        .bind::<Array<Text>, _>(texts(|one| &one.origin.event_id))
        .bind::<Array<Binary>, _>(all.iter().map(|one| one.origin.event.clone()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(all.iter().map(|one| one.origin.requested_at).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}
