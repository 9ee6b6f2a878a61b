//! Factories, as far as this service needs them.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::FactoryId;
use jaego_pg::{Statement, StatementSql, StoreError};

use super::schema::factories::dsl;

struct Apply;
impl StatementSql for Apply {
    const SQL: &'static str = "INSERT INTO factories AS known (id, callback_sources, revision) VALUES (?, ?, ?) \
        ON CONFLICT (id) DO UPDATE SET callback_sources = excluded.callback_sources, revision = excluded.revision \
        WHERE known.revision < excluded.revision";
}

/// Stores a factory's newest revision; false if this one is not newer.
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

/// Networks that the callbacks of these factories may come from, by factory. An empty list allows all. An unknown
/// factory is left out, which allows all, too.
pub(crate) async fn callback_sources(
    mut connection: &AsyncPgConnection,
    ids: &[&FactoryId],
) -> Result<HashMap<String, Vec<String>>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let rows = dsl::factories.filter(dsl::id.eq_any(ids)).select((dsl::id, dsl::callback_sources));
    let sources: Vec<(String, Vec<String>)> = rows.load(&mut connection).await?;
    Ok(sources.into_iter().collect())
}
