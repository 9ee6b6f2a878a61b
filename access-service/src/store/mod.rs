//! The service's tables. Functions take the connection, so that callers choose the transaction.

pub(crate) mod people;
mod schema;
pub(crate) mod sessions;
pub(crate) mod tokens;

use diesel::sql_query;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::{Migrations, StoreError};

/// The service's own migrations; the shared tables come before them.
pub(crate) fn migrations() -> Migrations {
    const OWN: Migrations = jaego_pg::migrations!("migrations");
    OWN
}

/// Lets one transaction at a time change the credentials of a person, so that their number stays within its limit.
pub(crate) async fn lock_person(connection: &mut AsyncPgConnection, person: &str) -> Result<(), StoreError> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('person ' || $1, 0))")
        .bind::<Text, _>(person)
        .execute(connection)
        .await?;
    Ok(())
}

/// Error for a row that this program cannot have written.
pub(crate) fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Query(diesel::result::Error::DeserializationError(cause.into()))
}
