//! Remembers that the topology has been seen. A service without a topology could accept work that no other service
//! learns of, so a new installation is not ready until the topology exists; one that has been in operation stays
//! ready when the broker is away.

use std::time::Duration;

use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use jaego_pg::{Pool, StoreError};
use jaego_telemetry::readiness::{Check, Readiness};
use tokio_util::sync::CancellationToken;

/// Interval at which the topology is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(diesel::QueryableByName)]
struct Seen {
    #[diesel(sql_type = Bool)]
    is_seen: bool,
}

/// Passes `check`, and returns, once the topology has been seen: either the database has a record of it, or all of
/// the `broker` checks pass at once, which is then recorded.
pub async fn await_topology(
    pool: &Pool,
    readiness: &Readiness,
    broker: &[&'static str],
    check: &Check,
    stop: &CancellationToken,
) {
    let mut is_asked = false;
    while !stop.is_cancelled() {
        let is_there = broker.iter().all(|name| readiness.passes(name));
        if is_there || !is_asked {
            match seen(pool, is_there).await {
                Ok(true) => return check.pass(),
                Ok(false) => {
                    is_asked = true;
                    check.fail("the broker's queues and rights are not there yet: run `jaegoctl topology apply`");
                }
                // The database has a check of its own, which reports this.
                Err(error) => tracing::debug!(%error, "cannot check whether the topology was seen"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Returns true when the topology has been seen; `now` records that first.
async fn seen(pool: &Pool, now: bool) -> Result<bool, StoreError> {
    let mut connection = pool.get().await?;
    if now {
        diesel::sql_query("INSERT INTO installation DEFAULT VALUES ON CONFLICT DO NOTHING")
            .execute(&mut connection)
            .await?;
    }
    let asked = diesel::sql_query("SELECT EXISTS (SELECT 1 FROM installation) AS is_seen");
    let answer: Seen = asked.get_result(&mut connection).await?;
    Ok(answer.is_seen)
}
