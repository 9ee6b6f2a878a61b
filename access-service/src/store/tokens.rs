//! Personal access tokens.

use chrono::{DateTime, Utc};
use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use uuid::Uuid;

use super::schema::tokens::{self, dsl};

#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = tokens)]
pub(crate) struct TokenRow {
    pub(crate) id: Uuid,
    pub(crate) person: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    pub(crate) revoked_by: Option<String>,
}

/// A token to insert.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) digest: &'a [u8],
    pub(crate) person: &'a str,
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) days: i32,
    /// Its holder, if the holder has signed in at the identity provider.
    pub(crate) person_id: Option<Uuid>,
}

/// Name of the constraint that allows a person one token of each name.
pub(crate) const ONE_NAME: &str = "tokens_person_name";

pub(crate) async fn insert(connection: &mut AsyncPgConnection, new: &NewToken<'_>) -> Result<TokenRow, StoreError> {
    let row = sql_query(
        "INSERT INTO tokens (id, digest, person, name, role, expires_at, person_id) \
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(days => $6), $7) RETURNING *",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .bind::<Binary, _>(new.digest)
    .bind::<Text, _>(new.person)
    .bind::<Text, _>(new.name)
    .bind::<Text, _>(new.role)
    .bind::<Integer, _>(new.days)
    .bind::<Nullable<SqlUuid>, _>(new.person_id)
    .get_result(connection)
    .await?;
    Ok(row)
}

/// Number of a person's tokens that are neither revoked nor expired.
pub(crate) async fn count(connection: &mut AsyncPgConnection, person: &str) -> Result<i64, StoreError> {
    let valid = dsl::tokens.filter(dsl::person.eq(person).and(dsl::revoked_at.is_null()).and(dsl::expires_at.gt(now)));
    Ok(valid.count().get_result(connection).await?)
}

/// Revokes a token; None if there is none that can still be revoked.
pub(crate) async fn revoke(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    by: &str,
) -> Result<Option<TokenRow>, StoreError> {
    let revoked = diesel::update(dsl::tokens.find(id).filter(dsl::revoked_at.is_null()))
        .set((dsl::revoked_at.eq(now), dsl::revoked_by.eq(by)))
        .returning(TokenRow::as_returning())
        .get_result(connection)
        .await
        .optional()?;
    Ok(revoked)
}

pub(crate) async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<TokenRow>, StoreError> {
    Ok(dsl::tokens.find(id).select(TokenRow::as_select()).get_result(connection).await.optional()?)
}

/// Newest first; `person` selects the tokens of one person.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    person: Option<&str>,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<TokenRow>, StoreError> {
    let mut rows = dsl::tokens.select(TokenRow::as_select()).order(dsl::id.desc()).limit(limit).into_boxed();
    if let Some(person) = person {
        rows = rows.filter(dsl::person.eq(person.to_owned()));
    }
    if let Some(id) = older_than {
        rows = rows.filter(dsl::id.lt(id));
    }
    Ok(rows.load(connection).await?)
}

/// A token that is valid.
#[derive(Debug, QueryableByName)]
pub(crate) struct ValidToken {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) person: String,
    #[diesel(sql_type = Text)]
    pub(crate) role: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) person_id: Option<Uuid>,
}

/// Finds a valid token and notes its use, at most once a minute. A row that is locked is not noted, so that nothing
/// waits for it.
pub(crate) async fn find_valid(
    connection: &mut AsyncPgConnection,
    digest: &[u8],
) -> Result<Option<ValidToken>, StoreError> {
    let found = sql_query(
        "WITH used AS (UPDATE tokens SET last_used_at = now() WHERE id = (SELECT id FROM tokens WHERE digest = $1 \
         AND revoked_at IS NULL AND expires_at > now() \
         AND coalesce(last_used_at, '-infinity') < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)) \
         SELECT id, person, role, person_id FROM tokens WHERE digest = $1 AND revoked_at IS NULL AND expires_at > now()",
    )
    .bind::<Binary, _>(digest)
    .get_result(connection)
    .await
    .optional()?;
    Ok(found)
}

/// Deletes tokens that were revoked or have expired this many days ago; returns their number.
pub(crate) async fn prune(connection: &mut AsyncPgConnection, days: i32, limit: i32) -> Result<usize, StoreError> {
    let deleted = sql_query(
        "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
         WHERE least(revoked_at, expires_at) < now() - make_interval(days => $1) LIMIT $2)",
    )
    .bind::<Integer, _>(days)
    .bind::<Integer, _>(limit)
    .execute(connection)
    .await?;
    Ok(deleted)
}
