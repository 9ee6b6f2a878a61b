//! A transaction whose statements do not wait for each other's answers.
//!
//! Statements that are polled together (`futures::join!`) on one connection are sent in the order in which
//! they are named, and PostgreSQL does them one after the other: a batch costs one round trip for all that
//! it loads and one for all that it writes. `BEGIN` and `COMMIT` are prepared statements like the others,
//! so that they keep their places even when one of the others must be prepared first: diesel-async hands
//! out its statement cache in the order of asking, and sends a statement before it asks for the next.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::result::QueryResult;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;

use super::{Connection, Statement, StatementSql, StoreError};

struct Begin;
impl StatementSql for Begin {
    const SQL: &'static str = "BEGIN";
}

struct Commit;
impl StatementSql for Commit {
    const SQL: &'static str = "COMMIT";
}

/// A transaction that is begun and committed by statements among others. Dropped before [`Self::commit`]
/// was answered it closes its connection, so that the pool never lends one with half a transaction.
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
    /// None only while it is dropped.
    connection: Option<Connection>,
    is_open: AtomicBool,
}

impl Pipeline {
    /// On a connection of its own.
    pub fn new(connection: Connection) -> Self {
        Self { connection: Some(connection), is_open: AtomicBool::new(false) }
    }

    /// What its statements run on. Nothing else may begin or end a transaction there.
    pub fn connection(&self) -> &AsyncPgConnection {
        let connection = self.connection.as_ref();
        connection.unwrap_or_else(|| unreachable!("a connection is given away only by drop"))
    }

    /// A statement that is a transaction of its own. While it is not answered, nobody else is lent its connection.
    pub async fn single<T>(&self, statement: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
        self.is_open.store(true, Ordering::Relaxed);
        let answer = statement.await;
        self.is_open.store(false, Ordering::Relaxed);
        answer
    }

    /// The first statement. Where others are sent before it was answered they rest on it: without it each would be
    /// done for itself. PostgreSQL refuses a `BEGIN` only to who is being cut off, or is cancelled in that instant.
    pub async fn begin(&self) -> Result<(), StoreError> {
        self.is_open.store(true, Ordering::Relaxed);
        Statement::<Begin>::new().run(self.connection()).await?;
        Ok(())
    }

    /// The last statement. PostgreSQL answers a `COMMIT` with success even when it rolled back because a
    /// statement before had failed: all is written only when every one of them succeeded, too. Look at
    /// them first, in the order in which they were sent: those after a failed one only say that it failed.
    pub async fn commit(&self) -> QueryResult<()> {
        Statement::<Commit>::new().run(self.connection()).await?;
        self.is_open.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.is_open.load(Ordering::Relaxed)
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}
