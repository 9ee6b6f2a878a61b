//! Requests that wait behind a breaker that will not close are given up: they become dead letters.

use std::time::SystemTime;

use diesel_async::AsyncConnection;
use jaego_contracts::ids::FactoryId;
use jaego_pg::StoreError;

use super::{Context, announce};
use crate::store::work;

/// Most requests in one go.
const BATCH: i64 = 100;

/// Whose requests are given up, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hopeless {
    /// The factory that is away.
    pub factory: FactoryId,
    /// Those whose schedule began at this time or before.
    pub begun_by: SystemTime,
    /// What its calls ended with.
    pub error: String,
}

/// Gives up all that are due; answers how many.
pub async fn give_up_waiting(context: &Context, hopeless: &Hopeless) -> Result<usize, StoreError> {
    let mut total = 0;
    loop {
        let mut connection = context.pool.get().await?;
        let count = connection
            .transaction(async |connection| {
                let waiting =
                    work::lock_waiting(connection, &hopeless.factory, hopeless.begun_by.into(), BATCH).await?;
                for stored in &waiting {
                    let Some(change) = stored.state.give_up() else { continue };
                    let trace = announce::trace_of(stored);
                    announce::save(connection, stored, &change, trace, &hopeless.error).await?;
                }
                Ok::<_, StoreError>(waiting.len())
            })
            .await?;
        if count == 0 {
            return Ok(total);
        }
        context.committed();
        total += count;
    }
}
