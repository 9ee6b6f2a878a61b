//! Migrations: the shared tables first, then the service's own, under one advisory lock.

use std::time::{Duration, Instant};

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use secrecy::ExposeSecret as _;
use tokio_postgres::Config;

use super::{Connection, StoreError, connect, is_lock_timeout, rights};
use crate::settings::{Database, SchemaOwner};

/// Outbox, retries, idempotency keys and audit log, which are the same in every service's database.
const SHARED: Migrations = crate::migrations!("../migrations");
/// Key of the advisory lock: any number, but the same in every process that changes the schema or its owner.
pub(super) const LOCK: i64 = 0x6a61_6567_6f00;
/// Longest time for one statement of a migration, milliseconds.
const STATEMENT_TIMEOUT_MS: u64 = 600_000;
/// While a migration waits for a table lock, every other statement on that table waits behind it, so the migration
/// waits at most a second.
pub(super) const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
/// Pause before the next try, in which the statements that waited behind the migration run.
pub(super) const LOCK_PAUSE: Duration = Duration::from_secs(2);
/// Time after which a table that is still locked needs an operator's attention.
pub(super) const LOCK_TRIED_MAX: Duration = Duration::from_secs(300);

/// A service's own migrations.
pub struct Migrations<S = EmbeddedMigrations> {
    /// The migrations themselves.
    pub steps: S,
    /// Tables among theirs whose rows the service adds and never changes: one name a line, after comments with `#`.
    pub append_only: &'static str,
}

impl Migrations {
    /// For a program that has the shared tables only.
    pub const NONE: Self = Self { steps: EmbeddedMigrations::new(&[]), append_only: "" };
}

/// Embeds a folder of migrations and its file `append_only`. The calling crate needs `diesel_migrations`.
#[macro_export]
macro_rules! migrations {
    ($folder:literal) => {
        $crate::Migrations {
            steps: ::diesel_migrations::embed_migrations!($folder),
            append_only: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/append_only")),
        }
    };
}

/// The login that migrates.
#[derive(Debug, Clone)]
pub struct Migrator {
    /// A role that owns the schema.
    pub login: Database,
    /// The service's role, which gets its rights from the owner; none if it is the owner itself.
    service: Option<String>,
}

impl Migrator {
    /// Migrates as the owner of the schema if there is one besides the service's role. Fails with the problems of
    /// these settings.
    pub fn new(database: Database, owner: SchemaOwner) -> Result<Self, String> {
        let mut problems = Vec::new();
        owner.check(&database, &mut problems);
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        if owner.owner_url.expose_secret().is_empty() {
            return Ok(Self { login: database, service: None });
        }
        let config: Result<Config, _> = database.url.expose_secret().parse();
        let role = config.ok().and_then(|config| config.get_user().map(ToOwned::to_owned));
        let service = role.ok_or("database.url: must name the service's role")?;
        Ok(Self { login: Database { url: owner.owner_url, ..database }, service: Some(service) })
    }
}

/// A migration failed; none of its changes remain.
#[derive(Debug, thiserror::Error)]
#[error("migration failed: {0}")]
pub struct MigrationError(pub(super) String);

/// Applies the missing migrations and returns their names; processes that start together take turns. Then the service's
/// role gets exactly the rights that it needs. Needs the multi-thread runtime.
pub async fn migrate(
    migrator: &Migrator,
    own: Migrations<impl MigrationSource<Pg>>,
) -> Result<Vec<String>, MigrationError> {
    let failed = |error: &dyn std::fmt::Display| MigrationError(error.to_string());
    let mut connection =
        connect(&migrator.login, "jaego-migrate", STATEMENT_TIMEOUT_MS).await.map_err(|error| failed(&error))?;
    // The advisory lock needs no timeout: only other migrating processes wait for it, and it is released with the
    // connection.
    connection.batch_execute("SET lock_timeout = 0").await.map_err(|error| failed(&error))?;
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(&mut connection)
        .await
        .map_err(|error| failed(&error))?;
    connection.batch_execute(LOCK_TIMEOUT).await.map_err(|error| failed(&error))?;
    rights::check_owner(&mut connection).await.map_err(MigrationError)?;
    if let Some(service) = &migrator.service {
        rights::prepare(&mut connection, service).await.map_err(|error| failed(&error))?;
    }
    let mut harness = AsyncMigrationHarness::new(connection);
    let append_only: Vec<&str> = names(SHARED.append_only).chain(names(own.append_only)).collect();
    let applied = apply_all(&mut harness, own.steps).await;
    let Some(service) = &migrator.service else { return applied };
    // Also after a migration that failed: the tables of those before it are in use.
    let excess = rights::narrow(&mut harness.into_inner(), service, &append_only).await;
    // When the connection is lost, both fail, and the migration's failure says what was under way.
    let (applied, excess) = (applied?, excess.map_err(|error| failed(&error))?);
    if !excess.is_empty() {
        return Err(MigrationError(format!(
            "the schema is the newest, but {service} has more rights than a service needs: {excess}. Where it owns \
             tables, `jaegoctl database apply` gives them to the owner; otherwise revoke its roles"
        )));
    }
    Ok(applied)
}

async fn apply_all(
    harness: &mut AsyncMigrationHarness<AsyncPgConnection>,
    own: impl MigrationSource<Pg>,
) -> Result<Vec<String>, MigrationError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| MigrationError(error.to_string());
    let mut applied = Vec::new();
    for migration in harness.pending_migrations(SHARED.steps).map_err(failed)? {
        applied.push(apply(harness, &*migration).await?);
    }
    for migration in harness.pending_migrations(own).map_err(failed)? {
        applied.push(apply(harness, &*migration).await?);
    }
    Ok(applied)
}

/// Names in a file `append_only`.
fn names(file: &str) -> impl Iterator<Item = &str> {
    file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
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
    for source in [&SHARED.steps, &own.steps] {
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
