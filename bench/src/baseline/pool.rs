//! A pool of connections with their prepared statements. The longest waiter is served first.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Statement};

use crate::database;

/// A connection and the statements that are prepared on it.
pub(super) struct Connection<const N: usize> {
    pub(super) client: Client,
    pub(super) statements: [Statement; N],
}

pub(super) struct Pool<const N: usize> {
    idle: Mutex<Vec<Connection<N>>>,
    permits: Semaphore,
}

/// A connection in use, which returns to the pool when it is dropped.
pub(super) struct Lent<'a, const N: usize> {
    connection: Option<Connection<N>>,
    pool: &'a Pool<N>,
    _permit: SemaphorePermit<'a>,
}

impl<const N: usize> Pool<N> {
    pub(super) async fn open(url: &str, size: usize, sql: [&str; N]) -> anyhow::Result<Self> {
        let mut idle = Vec::with_capacity(size);
        for _ in 0..size {
            let client = database::connect(url).await?;
            let mut statements = Vec::with_capacity(N);
            for sql in sql {
                statements.push(client.prepare(sql).await.with_context(|| format!("cannot prepare {sql}"))?);
            }
            let statements = statements.try_into().ok().context("the number of prepared statements is wrong")?;
            idle.push(Connection { client, statements });
        }
        Ok(Self { idle: Mutex::new(idle), permits: Semaphore::new(size) })
    }

    pub(super) async fn get(&self) -> anyhow::Result<Lent<'_, N>> {
        let permit = self.permits.acquire().await?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Lent { connection: Some(connection.context("a permit without a connection")?), pool: self, _permit: permit })
    }
}

impl<const N: usize> Deref for Lent<'_, N> {
    type Target = Connection<N>;

    #[expect(clippy::expect_used, reason = "it is taken only when it is dropped")]
    fn deref(&self) -> &Connection<N> {
        self.connection.as_ref().expect("a lent connection")
    }
}

impl<const N: usize> Drop for Lent<'_, N> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
