//! The service's own tables. Functions take the connection, so that state and outbox share a transaction.

pub mod arrivals;
pub mod attempts;
pub mod books;
pub mod changes;
pub mod factories;
pub mod gates;
pub mod lead_times;
pub mod new_requests;
pub mod requests;
pub mod schema;
pub mod timeline;
pub mod work;

use std::collections::HashSet;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::{FactoryId, RequestId};
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

struct Lock;
impl StatementSql for Lock {
    const SQL: &'static str = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))";
}

async fn lock(connection: &mut AsyncPgConnection, name: String) -> Result<(), StoreError> {
    Statement::<Lock>::new().bind::<Text, _>(name).run(connection).await?;
    Ok(())
}

/// Serializes messages about one request until the transaction ends, whether or not its row exists.
pub async fn lock_request(connection: &mut AsyncPgConnection, id: RequestId) -> Result<(), StoreError> {
    lock(connection, request_lock(&id)).await
}

struct LockAll;
impl StatementSql for LockAll {
    const SQL: &'static str = "SELECT pg_advisory_xact_lock(number) FROM ( \
        SELECT hashtextextended(name, 0) AS number FROM unnest(?) AS name ORDER BY number) AS names";
}

/// The same for several requests; the locks are always taken in the same order.
pub async fn lock_requests(connection: &mut AsyncPgConnection, ids: &[RequestId]) -> Result<(), StoreError> {
    let names: Vec<String> = ids.iter().map(request_lock).collect();
    Statement::<LockAll>::new().bind::<Array<Text>, _>(names).run(connection).await?;
    Ok(())
}

struct LockFree;
impl StatementSql for LockFree {
    const SQL: &'static str = "SELECT wanted.id FROM unnest(?, ?) AS wanted (id, name) \
        LEFT JOIN production_requests stored ON stored.id = wanted.id \
        LEFT JOIN LATERAL (SELECT true AS is_free FROM production_requests p \
            WHERE p.id = wanted.id FOR UPDATE SKIP LOCKED) AS own ON true \
        WHERE (stored.id IS NULL OR own.is_free) AND pg_try_advisory_xact_lock(hashtextextended(wanted.name, 0))";
}

#[derive(QueryableByName)]
struct Free {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// The same for those of the requests that no other transaction has locked, neither by name nor by row; returns them.
pub async fn lock_free_requests(
    connection: &mut AsyncPgConnection,
    ids: &[RequestId],
) -> Result<HashSet<RequestId>, StoreError> {
    let free: Vec<Free> = Statement::<LockFree>::new()
        .bind::<Array<SqlUuid>, _>(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(ids.iter().map(request_lock).collect::<Vec<_>>())
        .load(connection)
        .await?;
    Ok(free.into_iter().map(|row| RequestId(row.id)).collect())
}

fn request_lock(id: &RequestId) -> String {
    format!("request/{id}")
}

/// Serializes changes of one factory until the transaction ends, whether or not its row exists.
pub async fn lock_factory(connection: &mut AsyncPgConnection, id: &FactoryId) -> Result<(), StoreError> {
    lock(connection, format!("factory/{id}")).await
}

/// Serializes the claims of all replicas, so that a factory's limits hold for all of them together.
pub async fn lock_claims(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    lock(connection, "claims".to_owned()).await
}

/// Error for a row that contains what this program never writes.
pub(crate) fn corrupt(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Query(diesel::result::Error::DeserializationError(format!("{what}: {error}").into()))
}

pub(crate) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
