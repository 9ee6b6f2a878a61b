//! People who have signed in at the identity provider.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;
use uuid::Uuid;

use super::schema::people::{self, dsl};

/// Name of the constraint by which a name belongs to one person.
pub(crate) const ONE_NAME: &str = "people_name_key";

/// A person as the identity provider describes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) client: &'a str,
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = people)]
pub(crate) struct PersonRow {
    pub(crate) id: Uuid,
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) role: Option<String>,
}

/// The role of a person, and how well it is known.
#[derive(Debug, QueryableByName)]
pub(crate) struct Standing {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) role: Option<String>,
    /// Time since the provider last said so, seconds.
    #[diesel(sql_type = Double)]
    pub(crate) age_s: f64,
    /// True if the provider did not answer lately.
    #[diesel(sql_type = Bool)]
    pub(crate) is_provider_away: bool,
}

/// Time for which a failed check counts, seconds.
const FAILURE_COUNTS_S: i32 = 30;

pub(crate) async fn standing(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    issuer: &str,
) -> Result<Option<Standing>, StoreError> {
    let found = sql_query(
        "SELECT name, role, extract(epoch FROM now() - checked_at)::float8 AS age_s, \
         coalesce(failed_at > checked_at AND failed_at > now() - make_interval(secs => $3), false) \
         AS is_provider_away FROM people WHERE id = $1 AND issuer = $2",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(issuer)
    .bind::<Integer, _>(FAILURE_COUNTS_S)
    .get_result(connection)
    .await
    .optional()?;
    Ok(found)
}

/// Finds and locks a person by the provider's identifier.
pub(crate) async fn find(
    connection: &mut AsyncPgConnection,
    issuer: &str,
    subject: &str,
) -> Result<Option<PersonRow>, StoreError> {
    let own = dsl::people.filter(dsl::issuer.eq(issuer).and(dsl::subject.eq(subject)));
    Ok(own.select(PersonRow::as_select()).for_update().get_result(connection).await.optional()?)
}

/// Finds who has a name.
pub(crate) async fn named(connection: &mut AsyncPgConnection, name: &str) -> Result<Option<PersonRow>, StoreError> {
    let named = dsl::people.filter(dsl::name.eq(name)).select(PersonRow::as_select());
    Ok(named.get_result(connection).await.optional()?)
}

/// Inserts a person, or replaces what is known of them; a check that is under way no longer counts.
pub(crate) async fn put(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    person: &Person<'_>,
    sealed_grant: &[u8],
) -> Result<(), StoreError> {
    sql_query(
        "INSERT INTO people (id, issuer, subject, name, role, client, sealed_grant) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (id) DO UPDATE SET name = $4, role = $5, client = $6, sealed_grant = $7, checked_at = now(), \
         failed_at = NULL, leased_until = NULL",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(person.issuer)
    .bind::<Text, _>(person.subject)
    .bind::<Text, _>(person.name)
    .bind::<Text, _>(person.role)
    .bind::<Text, _>(person.client)
    .bind::<Binary, _>(sealed_grant)
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives a person another name, also in the lists of their sessions and tokens.
pub(crate) async fn rename(connection: &mut AsyncPgConnection, id: Uuid, name: &str) -> Result<(), StoreError> {
    for statement in [
        "UPDATE people SET name = $2 WHERE id = $1",
        "UPDATE sessions SET person = $2 WHERE person_id = $1",
        "UPDATE tokens SET person = $2 WHERE person_id = $1",
    ] {
        sql_query(statement).bind::<SqlUuid, _>(id).bind::<Text, _>(name).execute(connection).await?;
    }
    Ok(())
}

/// A check of a person at the provider, which one process alone carries out until its lease ends.
#[derive(Debug, QueryableByName)]
pub(crate) struct Check {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) subject: String,
    #[diesel(sql_type = Text)]
    pub(crate) client: String,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) sealed_grant: Option<Vec<u8>>,
    /// Recognizes the lease.
    #[diesel(sql_type = Text)]
    pub(crate) lease: String,
}

/// Pause after a failed check, seconds.
const PAUSE_S: i32 = 5;

/// Begins a check if the last answer is at least this old and no other process is checking. A locked row is skipped.
pub(crate) async fn begin_check(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    age_s: i32,
    lease_s: i32,
) -> Result<Option<Check>, StoreError> {
    let begun = sql_query(
        "UPDATE people SET leased_until = now() + make_interval(secs => $4) WHERE id = (SELECT id FROM people \
         WHERE id = $1 AND role IS NOT NULL AND checked_at <= now() - make_interval(secs => $2) \
         AND coalesce(failed_at, '-infinity') <= now() - make_interval(secs => $3) \
         AND coalesce(leased_until, '-infinity') <= now() FOR UPDATE SKIP LOCKED) \
         RETURNING name, subject, client, sealed_grant, leased_until::text AS lease",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(age_s)
    .bind::<Integer, _>(PAUSE_S)
    .bind::<Integer, _>(lease_s)
    .get_result(connection)
    .await
    .optional()?;
    Ok(begun)
}

/// Notes the role and tokens that a check has found; false if the check no longer counts.
pub(crate) async fn pass(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    lease: &str,
    role: &str,
    sealed_grant: &[u8],
) -> Result<bool, StoreError> {
    let changed = sql_query(
        "UPDATE people SET role = $3, sealed_grant = $4, checked_at = now(), failed_at = NULL, leased_until = NULL \
         WHERE id = $1 AND leased_until = $2::timestamptz",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(lease)
    .bind::<Text, _>(role)
    .bind::<Binary, _>(sealed_grant)
    .execute(connection)
    .await?;
    Ok(changed > 0)
}

/// Notes that the person has no access any more; false if the check no longer counts.
pub(crate) async fn remove(connection: &mut AsyncPgConnection, id: Uuid, lease: &str) -> Result<bool, StoreError> {
    let changed = sql_query(
        "UPDATE people SET role = NULL, sealed_grant = NULL, checked_at = now(), failed_at = NULL, \
         leased_until = NULL WHERE id = $1 AND leased_until = $2::timestamptz",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(lease)
    .execute(connection)
    .await?;
    Ok(changed > 0)
}

/// Notes that the provider gave no answer.
pub(crate) async fn fail(connection: &mut AsyncPgConnection, id: Uuid, lease: &str) -> Result<(), StoreError> {
    sql_query(
        "UPDATE people SET failed_at = now(), leased_until = NULL WHERE id = $1 AND leased_until = $2::timestamptz",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(lease)
    .execute(connection)
    .await?;
    Ok(())
}
