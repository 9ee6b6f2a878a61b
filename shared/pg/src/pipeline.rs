//! A transaction whose statements do not wait for each other's results.
//!
//! Statements that are polled together (`futures::join!`) on one connection are sent in the order in which they are
//! listed, and PostgreSQL executes them one after the other: a batch costs one round trip for everything it loads and
//! one for everything it writes. `BEGIN` and `COMMIT` are prepared statements like the others, so that they keep
//! their places even when one of the others must be prepared first: diesel-async grants access to its statement cache
//! in the order of the requests, and sends a statement before it requests access for the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::result::QueryResult;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;

use super::{Connection, Pool, Statement, StatementSql, StoreError};

struct Begin;
impl StatementSql for Begin {
    const SQL: &'static str = "BEGIN";
}

struct Commit;
impl StatementSql for Commit {
    const SQL: &'static str = "COMMIT";
}

/// A transaction whose `BEGIN` and `COMMIT` are statements among others. If it is dropped before [`Self::commit`] was
/// answered, it closes its connection, so that the pool never hands out a connection with an open transaction.
///
/// ```ignore
/// let transaction = Pipeline::new(pool.get().await?);
/// let (begun, rows) = join!(transaction.begin(), load(transaction.connection()));
/// begun?;
/// let decided = decide(rows?);
/// let (written, committed) = join!(write(transaction.connection(), decided), transaction.commit());
/// written?;
/// committed?;
/// ```
pub struct Pipeline {
    /// None only during drop.
    connection: Option<Connection>,
    /// Transactions that were begun and not yet committed.
    open: AtomicUsize,
}

impl Pipeline {
    /// Prepares a transaction on a connection of its own; nothing is sent yet.
    pub fn new(connection: Connection) -> Self {
        Self { connection: Some(connection), open: AtomicUsize::new(0) }
    }

    /// Connection for the transaction's statements. Nothing else may begin or end a transaction on it.
    pub fn connection(&self) -> &AsyncPgConnection {
        let connection = self.connection.as_ref();
        connection.unwrap_or_else(|| unreachable!("a connection is given away only by drop"))
    }

    /// Runs a statement that is a transaction of its own. If it is dropped before the answer, the connection does not
    /// return to the pool.
    pub async fn single<T, E>(&self, statement: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let answer = statement.await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Must be the first statement. Statements that are sent before it was answered rely on it: without it each would
    /// be committed by itself. PostgreSQL refuses a `BEGIN` only when the session is being terminated, or is
    /// cancelled at that moment.
    pub async fn begin(&self) -> Result<(), StoreError> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Statement::<Begin>::new().run(self.connection()).await?;
        Ok(())
    }

    /// Must be the last statement. PostgreSQL answers a `COMMIT` with success even when it rolled back because an
    /// earlier statement had failed: everything is written only if all of them succeeded as well. Check their results
    /// first, in the order in which they were sent: those after a failed one only report that the transaction has
    /// failed.
    pub async fn commit(&self) -> QueryResult<()> {
        Statement::<Commit>::new().run(self.connection()).await?;
        self.open.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Gives up work on the database after `limit`: the server's own limits are of no use when the server process, or the link
/// to it, hangs. Idle connections of the pool are closed then, because they may hang as well. `work` must use a
/// [`Pipeline`], which closes its connection when it is dropped.
pub async fn within<T>(
    limit: Duration,
    pool: &Pool,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        pool.retain(|_, _| false);
        Err(StoreError::Unavailable(format!("no answer within {limit:?}")))
    })
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.open.load(Ordering::Relaxed) > 0
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}
