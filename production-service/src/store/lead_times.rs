//! Times from acceptance to completion of requests.

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_pg::StoreError;

#[derive(QueryableByName)]
struct LeadTimeRow {
    #[diesel(sql_type = Text)]
    factory_id: String,
    #[diesel(sql_type = Array<BigInt>)]
    samples_ms: Vec<i64>,
}

const NEWEST: &str = "\
    SELECT asked.factory AS factory_id, array( \
        SELECT (extract(epoch FROM request.received_at - request.accepted_at) * 1000)::bigint \
        FROM production_requests AS request \
        WHERE request.accepted_by = asked.factory \
        AND request.accepted_at IS NOT NULL AND request.received_at IS NOT NULL \
        ORDER BY request.received_at DESC, request.id DESC LIMIT $2 \
    ) AS samples_ms FROM unnest($1) AS asked (factory)";

/// Lead times of the newest `limit` completed requests of each factory, by factory id.
pub async fn newest(
    connection: &mut AsyncPgConnection,
    factories: Vec<&str>,
    limit: i64,
) -> Result<HashMap<String, Vec<Duration>>, StoreError> {
    let query = diesel::sql_query(NEWEST).bind::<Array<Text>, _>(factories).bind::<BigInt, _>(limit);
    let rows: Vec<LeadTimeRow> = query.load(connection).await?;
    // Receipt and acceptance have different clocks; a negative difference counts as zero.
    let duration = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    Ok(rows.into_iter().map(|row| (row.factory_id, row.samples_ms.into_iter().map(duration).collect())).collect())
}
