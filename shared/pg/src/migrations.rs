//! Migrations: the shared tables first, then the service's own, under one advisory lock.

use std::time::{Duration, Instant};

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Connection, StoreError, connect, is_lock_timeout};
use crate::settings::Database;

/// Outbox, retries, idempotency keys, audit log: the same in every service's database.
const SHARED: EmbeddedMigrations = embed_migrations!("../migrations");
/// Any number; the same in every process that migrates.
const LOCK: i64 = 0x6a61_6567_6f00;
/// A migration may take as long as this, milliseconds.
const STATEMENT_TIMEOUT_MS: u64 = 600_000;
/// While a migration waits for a table, everybody else waits behind it: it waits for a second at the most.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
/// Those who waited behind it are served before it tries again.
const LOCK_PAUSE: Duration = Duration::from_secs(2);
/// When a table is still held after so long, a person must look.
const LOCK_TRIED_MAX: Duration = Duration::from_secs(300);

/// A service's own migrations.
pub type Migrations = EmbeddedMigrations;

/// Migrating failed; nothing of the failed migration is left.
#[derive(Debug, thiserror::Error)]
#[error("migration failed: {0}")]
pub struct MigrationError(String);

/// Applies what is missing; processes that start together take turns. Answers the names applied.
/// Needs the multi-thread runtime.
pub async fn migrate(settings: &Database, own: impl MigrationSource<Pg>) -> Result<Vec<String>, MigrationError> {
    let failed = |error: &dyn std::fmt::Display| MigrationError(error.to_string());
    let mut connection =
        connect(settings, "jaego-migrate", STATEMENT_TIMEOUT_MS).await.map_err(|error| failed(&error))?;
    // Nobody waits behind this one but others that migrate. It goes with the connection.
    connection.batch_execute("SET lock_timeout = 0").await.map_err(|error| failed(&error))?;
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(&mut connection)
        .await
        .map_err(|error| failed(&error))?;
    connection.batch_execute(LOCK_TIMEOUT).await.map_err(|error| failed(&error))?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let mut applied = Vec::new();
    let pending = harness.pending_migrations(SHARED).map_err(|error| failed(&error))?;
    for migration in pending {
        applied.push(apply(&mut harness, &*migration).await?);
    }
    let pending = harness.pending_migrations(own).map_err(|error| failed(&error))?;
    for migration in pending {
        applied.push(apply(&mut harness, &*migration).await?);
    }
    Ok(applied)
}

/// Tries until no table that it needs is held by somebody else.
async fn apply(
    harness: &mut AsyncMigrationHarness<AsyncPgConnection>,
    migration: &dyn Migration<Pg>,
) -> Result<String, MigrationError> {
    let begun = Instant::now();
    loop {
        let error = match harness.run_migration(migration) {
            Ok(version) => return Ok(version.to_string()),
            Err(error) => error.to_string(),
        };
        let name = migration.name();
        if !is_lock_timeout(&error) {
            return Err(MigrationError(format!("{name}: {error}")));
        }
        if begun.elapsed() >= LOCK_TRIED_MAX {
            return Err(MigrationError(format!(
                "{name}: a table that it changes was held for {LOCK_TRIED_MAX:?}; end the transaction that holds it \
                 (the oldest in pg_stat_activity) and migrate again"
            )));
        }
        tracing::info!(%name, "a table that the migration changes is held by a transaction; trying again");
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

#[derive(diesel::QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// The migrations that this program needs and the database lacks.
pub async fn missing_migrations(connection: &mut Connection, own: &Migrations) -> Result<Vec<String>, StoreError> {
    let applied: Vec<Applied> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(connection).await?;
    let mut missing = Vec::new();
    for source in [&SHARED, own] {
        let needed: Vec<Box<dyn Migration<Pg>>> = MigrationSource::<Pg>::migrations(source).unwrap_or_default();
        for migration in needed {
            let version = migration.name().version().to_string();
            if !applied.iter().any(|row| row.version == version) {
                missing.push(version);
            }
        }
    }
    Ok(missing)
}
