//! What restock-service knows of factories.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Statement, StatementSql, StoreError};
use shared::ids::FactoryId;

use super::schema::factories::dsl;

struct Apply;
impl StatementSql for Apply {
    const SQL: &'static str = "INSERT INTO factories AS known (id, callback_sources, revision) VALUES (?, ?, ?) \
        ON CONFLICT (id) DO UPDATE SET callback_sources = excluded.callback_sources, revision = excluded.revision \
        WHERE known.revision < excluded.revision";
}

/// Keeps a factory's newest revision; false when this one is not newer.
pub(crate) async fn apply(
    connection: &mut AsyncPgConnection,
    id: FactoryId,
    callback_sources: Vec<String>,
    revision: i64,
) -> Result<bool, StoreError> {
    let changed = Statement::<Apply>::new()
        .bind::<Text, _>(String::from(id))
        .bind::<Array<Text>, _>(callback_sources)
        .bind::<BigInt, _>(revision)
        .run(connection)
        .await?;
    Ok(changed == 1)
}

/// Where a factory's callbacks may come from; empty (as for one that is not known) allows all.
pub(crate) async fn callback_sources(
    connection: &mut AsyncPgConnection,
    id: &FactoryId,
) -> Result<Vec<String>, StoreError> {
    let row = dsl::factories.find(id.as_str()).select(dsl::callback_sources);
    let sources: Option<Vec<String>> = row.first(connection).await.optional()?;
    Ok(sources.unwrap_or_default())
}
