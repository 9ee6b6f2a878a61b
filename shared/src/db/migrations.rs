//! Migrations: the shared tables first, then the service's own, under one advisory lock.

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncMigrationHarness, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Connection, StoreError, connect};
use crate::settings::Database;

/// Outbox, retries, idempotency keys, audit log: the same in every service's database.
const SHARED: EmbeddedMigrations = embed_migrations!("migrations");
/// Any number; the same in every process that migrates.
const LOCK: i64 = 0x6a61_6567_6f00;
/// A migration may take as long as this, milliseconds.
const STATEMENT_TIMEOUT_MS: u64 = 600_000;

/// A service's own migrations.
pub type Migrations = EmbeddedMigrations;

/// Migrating failed; nothing of the failed migration is left.
#[derive(Debug, thiserror::Error)]
#[error("migration failed: {0}")]
pub struct MigrationError(String);

/// Applies what is missing; processes that start together take turns. Answers the names applied.
/// Needs the multi-thread runtime.
pub async fn migrate(settings: &Database, own: Migrations) -> Result<Vec<String>, MigrationError> {
    let failed = |error: &dyn std::fmt::Display| MigrationError(error.to_string());
    let mut connection =
        connect(settings, "jaego-migrate", STATEMENT_TIMEOUT_MS).await.map_err(|error| failed(&error))?;
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(&mut connection)
        .await
        .map_err(|error| failed(&error))?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let mut applied = Vec::new();
    for source in [SHARED, own] {
        let versions = harness.run_pending_migrations(source).map_err(|error| failed(&error))?;
        applied.extend(versions.iter().map(ToString::to_string));
    }
    // The lock goes with the connection.
    Ok(applied)
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
