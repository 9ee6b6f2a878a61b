//! Deleting what is old, in small batches.

use chrono::{DateTime, Utc};
use diesel::sql_query;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::StoreError;

/// Deletes up to a thousand refused orders from before `cutoff`: they took nothing from stock.
pub async fn delete_refused_orders(
    connection: &mut AsyncPgConnection,
    cutoff: DateTime<Utc>,
) -> Result<usize, StoreError> {
    connection
        .transaction(async |connection| {
            const OLD: &str =
                "SELECT id FROM orders WHERE status = 'rejected' AND created_at < $1 ORDER BY created_at, id LIMIT 1000";
            for table in ["order_replenishments", "order_lines"] {
                sql_query(format!("DELETE FROM {table} WHERE order_id IN ({OLD})"))
                    .bind::<Timestamptz, _>(cutoff)
                    .execute(connection)
                    .await?;
            }
            let deleted = sql_query(format!("DELETE FROM orders WHERE id IN ({OLD})"))
                .bind::<Timestamptz, _>(cutoff)
                .execute(connection)
                .await?;
            Ok(deleted)
        })
        .await
}

/// Deletes up to a thousand kept answers from before `cutoff`.
pub async fn delete_kept_answers(
    connection: &mut AsyncPgConnection,
    cutoff: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let deleted = sql_query(
        "DELETE FROM idempotency_keys WHERE ctid IN \
         (SELECT ctid FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT 1000)",
    )
    .bind::<Timestamptz, _>(cutoff)
    .execute(connection)
    .await?;
    Ok(deleted)
}
