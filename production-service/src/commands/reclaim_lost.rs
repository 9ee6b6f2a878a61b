//! Calls whose maker is gone: how they ended is unknown, so the factory is asked again.

use diesel_async::AsyncConnection;
use shared::db::StoreError;
use shared::ids::RequestId;

use super::{Context, announce};
use crate::store::attempts::{self, AttemptEnd};
use crate::store::{factories, requests};

/// Most requests in one go.
const BATCH: i64 = 100;
const LOST: &str = "the answer was not recorded within the lease";

/// Takes back requests whose lease ran out; answers how many. The calls that this process still has in
/// hand are not lost: `held` names them by request and number.
pub async fn reclaim_lost(context: &Context, held: &[(RequestId, i32)]) -> Result<usize, StoreError> {
    let mut connection = context.pool.get().await?;
    let count = connection
        .transaction(async |connection| {
            let lost = requests::lock_lost(connection, held, BATCH).await?;
            for stored in &lost {
                let end = AttemptEnd {
                    outcome: "unknown",
                    duration_ms: None,
                    status: None,
                    error: Some(LOST.to_owned()),
                    answer: None,
                };
                attempts::end(connection, stored.state.id, stored.state.attempt_count, end).await?;
                let factory = factories::find(connection, &stored.state.factory_id).await?;
                let own = factory.as_ref().and_then(|factory| factory.settings.retry_schedule.as_deref());
                if let Some(change) = stored.state.attempt_lost(context.schedule(own)) {
                    announce::save(connection, stored, &change, announce::trace_of(stored), LOST).await?;
                }
            }
            Ok::<_, StoreError>(lost.len())
        })
        .await?;
    if count > 0 {
        context.committed();
    }
    Ok(count)
}
