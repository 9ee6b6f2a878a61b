//! Gives up requests that wait behind a breaker that does not close: they become dead letters.

use std::time::SystemTime;

use diesel_async::AsyncConnection;
use jaego_contracts::ids::FactoryId;
use jaego_pg::StoreError;

use super::{Context, announce};
use crate::store::work;

/// Maximum requests per transaction.
const BATCH: i64 = 100;

/// Requests of one factory to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// The factory that is away.
    pub factory: FactoryId,
    /// Requests whose schedule began at or before this time are given up.
    pub begun_by: SystemTime,
    /// Last error of its calls.
    pub error: String,
}

/// Gives up all matching requests; returns their number.
pub async fn give_up_waiting(context: &Context, exhausted: &Exhausted) -> Result<usize, StoreError> {
    let mut total = 0;
    loop {
        let mut connection = context.pool.get().await?;
        let count = connection
            .transaction(async |connection| {
                let waiting =
                    work::lock_waiting(connection, &exhausted.factory, exhausted.begun_by.into(), BATCH).await?;
                for stored in &waiting {
                    let Some(change) = stored.state.give_up() else { continue };
                    let trace = announce::trace_of(stored);
                    announce::save(connection, stored, &change, trace, &exhausted.error).await?;
                }
                Ok::<_, StoreError>(waiting.len())
            })
            .await?;
        if count == 0 {
            return Ok(total);
        }
        context.wake_after_commit();
        total += count;
    }
}
