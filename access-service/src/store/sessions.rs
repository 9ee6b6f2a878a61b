//! Sessions.

use chrono::{DateTime, Utc};
use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text, Uuid as SqlUuid};
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

/// The credential that a session was begun with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum With<'a> {
    /// A configured token.
    Configured { digest: &'a [u8] },
    /// A sign-in of a person at the identity provider.
    Provider { person_id: Uuid, sign_in_digest: &'a [u8] },
}

/// Name of the constraint by which a sign-in begins one session.
pub(crate) const ONE_SIGN_IN: &str = "sessions_sign_in_digest";

/// A session to insert.
#[derive(Debug)]
pub(crate) struct NewSession<'a> {
    pub(crate) digest: &'a [u8],
    pub(crate) person: &'a str,
    pub(crate) with: With<'a>,
    pub(crate) source: &'a str,
    pub(crate) ttl_s: i32,
}

pub(crate) async fn insert(connection: &mut AsyncPgConnection, new: &NewSession<'_>) -> Result<SessionRow, StoreError> {
    let (configured_digest, person_id, sign_in_digest) = match new.with {
        With::Configured { digest } => (Some(digest), None, None),
        With::Provider { person_id, sign_in_digest } => (None, Some(person_id), Some(sign_in_digest)),
    };
    let row = sql_query(
        "INSERT INTO sessions (id, digest, person, configured_digest, source, expires_at, person_id, sign_in_digest) \
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7, $8) RETURNING *",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .bind::<Binary, _>(new.digest)
    .bind::<Text, _>(new.person)
    .bind::<Nullable<Binary>, _>(configured_digest)
    .bind::<Text, _>(new.source)
    .bind::<Integer, _>(new.ttl_s)
    .bind::<Nullable<SqlUuid>, _>(person_id)
    .bind::<Nullable<Binary>, _>(sign_in_digest)
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

/// The person of the identity provider whose session it is, if any.
pub(crate) async fn person_of(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Uuid>, StoreError> {
    let person = dsl::sessions.find(id).select(dsl::person_id);
    Ok(person.get_result::<Option<Uuid>>(connection).await.optional()?.flatten())
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
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) configured_digest: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) person_id: Option<Uuid>,
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
         SELECT id, configured_digest, person_id FROM sessions WHERE digest = $1 AND ended_at IS NULL AND expires_at > now()",
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
