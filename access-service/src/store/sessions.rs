//! Sessions.

use chrono::{DateTime, Utc};
use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use uuid::Uuid;

use super::schema::sessions::{self, dsl};

#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = sessions)]
pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) person: String,
    pub(crate) source: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) ended_by: Option<String>,
}

/// A session to insert.
#[derive(Debug)]
pub(crate) struct NewSession<'a> {
    pub(crate) digest: &'a [u8],
    pub(crate) person: &'a str,
    pub(crate) configured_digest: &'a [u8],
    pub(crate) source: &'a str,
    pub(crate) ttl_s: i32,
}

pub(crate) async fn insert(connection: &mut AsyncPgConnection, new: &NewSession<'_>) -> Result<SessionRow, StoreError> {
    let row = sql_query(
        "INSERT INTO sessions (id, digest, person, configured_digest, source, expires_at) \
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) RETURNING *",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .bind::<Binary, _>(new.digest)
    .bind::<Text, _>(new.person)
    .bind::<Binary, _>(new.configured_digest)
    .bind::<Text, _>(new.source)
    .bind::<Integer, _>(new.ttl_s)
    .get_result(connection)
    .await?;
    Ok(row)
}

/// Ends a session; None if there is none that still runs.
pub(crate) async fn end(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    by: &str,
) -> Result<Option<SessionRow>, StoreError> {
    let ended = diesel::update(dsl::sessions.find(id).filter(dsl::ended_at.is_null()))
        .set((dsl::ended_at.eq(now), dsl::ended_by.eq(by)))
        .returning(SessionRow::as_returning())
        .get_result(connection)
        .await
        .optional()?;
    Ok(ended)
}

/// Ends a person's sessions except the newest `keep`, and returns those that ran until now.
pub(crate) async fn end_all(
    connection: &mut AsyncPgConnection,
    person: &str,
    keep: i64,
    by: &str,
) -> Result<Vec<SessionRow>, StoreError> {
    let ended = sql_query(
        "UPDATE sessions SET ended_at = now(), ended_by = $3 WHERE id IN (SELECT id FROM sessions \
         WHERE person = $1 AND ended_at IS NULL AND expires_at > now() ORDER BY created_at DESC, id DESC OFFSET $2) \
         AND ended_at IS NULL RETURNING *",
    )
    .bind::<Text, _>(person)
    .bind::<BigInt, _>(keep)
    .bind::<Text, _>(by)
    .load(connection)
    .await?;
    Ok(ended)
}

pub(crate) async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<SessionRow>, StoreError> {
    Ok(dsl::sessions.find(id).select(SessionRow::as_select()).get_result(connection).await.optional()?)
}

pub(crate) async fn id_of(connection: &mut AsyncPgConnection, digest: &[u8]) -> Result<Option<Uuid>, StoreError> {
    let id = dsl::sessions.filter(dsl::digest.eq(digest)).select(dsl::id);
    Ok(id.get_result(connection).await.optional()?)
}

/// Newest first; `person` selects the sessions of one person.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    person: Option<&str>,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SessionRow>, StoreError> {
    let mut rows = dsl::sessions.select(SessionRow::as_select()).order(dsl::id.desc()).limit(limit).into_boxed();
    if let Some(person) = person {
        rows = rows.filter(dsl::person.eq(person.to_owned()));
    }
    if let Some(id) = older_than {
        rows = rows.filter(dsl::id.lt(id));
    }
    Ok(rows.load(connection).await?)
}

/// A session that runs.
#[derive(Debug, QueryableByName)]
pub(crate) struct ValidSession {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Binary)]
    pub(crate) configured_digest: Vec<u8>,
}

/// Finds a session that runs and notes that it was seen, at most once a minute. A row that is locked is not noted, so
/// that nothing waits for it.
pub(crate) async fn find_valid(
    connection: &mut AsyncPgConnection,
    digest: &[u8],
) -> Result<Option<ValidSession>, StoreError> {
    let found = sql_query(
        "WITH seen AS (UPDATE sessions SET last_seen_at = now() WHERE id = (SELECT id FROM sessions WHERE digest = $1 \
         AND ended_at IS NULL AND expires_at > now() \
         AND last_seen_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)) \
         SELECT id, configured_digest FROM sessions WHERE digest = $1 AND ended_at IS NULL AND expires_at > now()",
    )
    .bind::<Binary, _>(digest)
    .get_result(connection)
    .await
    .optional()?;
    Ok(found)
}

/// Deletes sessions that were ended or have expired this many days ago; returns their number.
pub(crate) async fn prune(connection: &mut AsyncPgConnection, days: i32, limit: i32) -> Result<usize, StoreError> {
    let deleted = sql_query(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions \
         WHERE least(ended_at, expires_at) < now() - make_interval(days => $1) LIMIT $2)",
    )
    .bind::<Integer, _>(days)
    .bind::<Integer, _>(limit)
    .execute(connection)
    .await?;
    Ok(deleted)
}
