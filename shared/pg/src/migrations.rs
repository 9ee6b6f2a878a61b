//! Migrations: the shared tables first, then the service's own, under one advisory lock.

use std::time::{Duration, Instant};

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Connection, StoreError, connect, is_lock_timeout};
use crate::settings::Database;

/// Outbox, retries, idempotency keys and audit log, which are the same in every service's database.
const SHARED: EmbeddedMigrations = embed_migrations!("../migrations");
/// Key of the advisory lock: any number, but the same in every process that migrates.
const LOCK: i64 = 0x6a61_6567_6f00;
/// Longest time for one statement of a migration, milliseconds.
const STATEMENT_TIMEOUT_MS: u64 = 600_000;
/// While a migration waits for a table lock, every other statement on that table waits behind it, so the migration
/// waits at most a second.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
/// Pause before the next try, in which the statements that waited behind the migration run.
const LOCK_PAUSE: Duration = Duration::from_secs(2);
/// Time after which a table that is still locked needs an operator's attention.
const LOCK_TRIED_MAX: Duration = Duration::from_secs(300);

/// A service's own migrations.
pub type Migrations = EmbeddedMigrations;

/// A migration failed; none of its changes remain.
#[derive(Debug, thiserror::Error)]
#[error("migration failed: {0}")]
pub struct MigrationError(String);

/// Applies the missing migrations and returns their names; processes that start together take turns. Needs the
/// multi-thread runtime.
pub async fn migrate(settings: &Database, own: impl MigrationSource<Pg>) -> Result<Vec<String>, MigrationError> {
    let failed = |error: &dyn std::fmt::Display| MigrationError(error.to_string());
    let mut connection =
        connect(settings, "jaego-migrate", STATEMENT_TIMEOUT_MS).await.map_err(|error| failed(&error))?;
    // The advisory lock needs no timeout: only other migrating processes wait for it, and it is released with the
    // connection.
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

/// Retries until no table that the migration needs is locked by another transaction.
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
