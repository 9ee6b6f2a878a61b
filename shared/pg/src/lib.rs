//! PostgreSQL: the pool, migrations, and statements that are prepared once.

#![warn(missing_docs)]

mod connect;
mod language;
mod listen;
mod migrations;
mod pipeline;
pub mod provision;
mod rights;
pub mod settings;
mod statement;

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::QueueMode;
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use secrecy::ExposeSecret;

pub use connect::{ConnectError, connect};
pub use listen::listen;
pub use migrations::{MigrationError, Migrations, Migrator, migrate, missing_migrations};
pub use pipeline::{Pipeline, within};
pub use statement::{Statement, StatementSql, Together};

use crate::settings::Database;

/// Pool of connections to the service's own database.
pub type Pool = diesel_async::pooled_connection::deadpool::Pool<AsyncPgConnection>;
/// A connection from the pool.
pub type Connection = Object<AsyncPgConnection>;

/// Failure of a database operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is too busy, or closed the connection. Nothing is known to have been
    /// committed; a retry may succeed later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database works, but this statement waited too long or collided with another one. A retry may help, and
    /// counts as an attempt of its own. Nothing was committed.
    #[error("the database was busy: {0}")]
    Busy(String),
    /// The database answered with an error.
    #[error("{0}")]
    Query(DieselError),
}

impl StoreError {
    /// True if the unique constraint of this name was violated.
    pub fn violates(&self, constraint: &str) -> bool {
        match self {
            Self::Query(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info)) => {
                info.constraint_name() == Some(constraint)
            }
            _ => false,
        }
    }

    /// True if a later retry may succeed without any other change.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            DieselError::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction => Self::Unavailable(error.to_string()),
                DatabaseErrorKind::Unknown if is_busy(info.message()) => Self::Busy(error.to_string()),
                // Diesel has no kind for these: shutdown, start-up, disk full.
                DatabaseErrorKind::Unknown if is_passing(info.message()) => Self::Unavailable(error.to_string()),
                _ => Self::Query(error),
            },
            _ => Self::Query(error),
        }
    }
}

/// A row or table was locked by another transaction for too long, or two transactions waited for each other.
fn is_busy(message: &str) -> bool {
    ["statement timeout", "lock timeout", "deadlock detected"].iter().any(|busy| message.contains(busy))
}

/// A lock was not acquired within `lock_timeout`.
fn is_lock_timeout(message: &str) -> bool {
    message.contains("lock timeout")
}

/// Recognizes transient errors by PostgreSQL's text, because diesel drops the SQLSTATE; see `language.rs` for the
/// language of that text.
fn is_passing(message: &str) -> bool {
    [
        "terminating connection",
        "the database system is",
        "connection closed",
        "No space left",
        "too many clients",
        "remaining connection slots",
        "error communicating",
    ]
    .iter()
    .any(|passing| message.contains(passing))
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Creates a pool that opens connections on demand. Must be called on the runtime that lives as long as the process:
/// the connections are driven there, not on an HTTP worker.
pub fn pool(settings: &Database, application: &'static str) -> Result<Pool, anyhow::Error> {
    let runtime = tokio::runtime::Handle::current();
    let own = settings.clone();
    let timeout = Duration::from_millis(settings.wait_timeout_ms);
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let own = own.clone();
        let connecting = runtime.spawn(async move { connect(&own, application, own.statement_timeout_ms).await });
        Box::pin(async move {
            let connected = connecting.await.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
            connected.map_err(|error| ConnectionError::BadConnection(error.to_string()))
        })
    });
    let manager = AsyncDieselConnectionManager::new_with_config(settings.url.expose_secret(), config);
    Ok(Pool::builder(manager)
        .max_size(settings.pool_size)
        // Reuses the most recent connection first: its server process still has its plans and pages cached.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(timeout))
        .create_timeout(Some(timeout))
        .recycle_timeout(Some(timeout))
        .build()?)
}
