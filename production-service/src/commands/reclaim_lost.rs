//! Reclaims calls whose process is gone: their results are unknown, so the factory is called again.

use diesel_async::AsyncConnection;
use jaego_contracts::ids::RequestId;
use jaego_pg::StoreError;

use super::Context;
use super::announce::{self, Saving};
use crate::domain::{Request, RequestChange, Verdict};
use crate::store::attempts::{self, AttemptEnd};
use crate::store::requests::StoredRequest;
use crate::store::{factories, work};

/// Maximum requests per transaction.
const BATCH: i64 = 100;
const LOST: &str = "the answer was not recorded within the lease";

/// Reclaims requests whose leases have expired; returns their number. Calls that are still in flight in this process
/// are not lost: `held` lists them by request and number.
pub async fn reclaim_lost(context: &Context, held: &[(RequestId, i32)]) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let count = connection
        .transaction(async |connection| {
            let lost = work::lock_lost(connection, held, BATCH).await?;
            if lost.is_empty() {
                return Ok(0);
            }
            attempts::end(connection, &lost.iter().map(|stored| unknown(&stored.state)).collect::<Vec<_>>()).await?;
            let names: Vec<&str> = lost.iter().map(|stored| stored.state.factory_id.as_str()).collect();
            let factories = factories::find_all(connection, &names).await?;
            let change = |stored: &StoredRequest| {
                let factory = factories.iter().find(|factory| factory.id == stored.state.factory_id);
                let own = factory.and_then(|factory| factory.settings.retry_schedule.as_deref());
                stored.state.attempt_lost(context.schedule(own))
            };
            let changes: Vec<(&StoredRequest, RequestChange)> =
                lost.iter().filter_map(|stored| Some((stored, change(stored)?))).collect();
            let saving = |(stored, change)| Saving {
                stored,
                change,
                acceptance: None,
                trace: announce::trace_of(stored),
                last_error: LOST,
            };
            let saving: Vec<Saving<'_>> = changes.iter().map(|(stored, change)| saving((*stored, change))).collect();
            announce::save_all(connection, &saving).await?;
            Ok::<_, StoreError>(lost.len())
        })
        .await?;
    if count > 0 {
        context.wake_after_commit();
    }
    Ok(count)
}

fn unknown(request: &Request) -> AttemptEnd {
    AttemptEnd {
        request_id: request.id,
        number: request.attempt_count,
        outcome: Verdict::Unknown.as_str(),
        duration_ms: None,
        status: None,
        error: Some(LOST.to_owned()),
        answer: None,
    }
}
