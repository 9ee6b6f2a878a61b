//! Deletion of old rows in small batches.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use uuid::Uuid;

use super::StoreError;

/// Deletes up to 1,000 refused orders from before `cutoff`; they took nothing from stock. An order with an
/// Idempotency-Key must also be from before `answers_cutoff`, because it holds the stored answer.
pub async fn delete_refused_orders(
    connection: &mut AsyncPgConnection,
    cutoff: DateTime<Utc>,
    answers_cutoff: DateTime<Utc>,
) -> Result<usize, StoreError> {
    connection
        .transaction(async |connection| {
            // The ids are selected once and locked, so that concurrent pruning selects others.
            let old: Vec<Old> = sql_query(
                "SELECT id FROM orders WHERE status = 'rejected' AND created_at < $1 \
                 AND (key_hash IS NULL OR created_at < $2) ORDER BY created_at, id LIMIT 1000 FOR UPDATE SKIP LOCKED",
            )
            .bind::<Timestamptz, _>(cutoff)
            .bind::<Timestamptz, _>(answers_cutoff)
            .load(connection)
            .await?;
            let ids: Vec<Uuid> = old.into_iter().map(|row| row.id).collect();
            for (table, column) in [("order_replenishments", "order_id"), ("order_lines", "order_id"), ("orders", "id")]
            {
                sql_query(format!("DELETE FROM {table} WHERE {column} = ANY($1)"))
                    .bind::<Array<SqlUuid>, _>(&ids)
                    .execute(connection)
                    .await?;
            }
            Ok(ids.len())
        })
        .await
}

#[derive(QueryableByName)]
struct Old {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Deletes up to 1,000 stored answers from before `cutoff`.
pub async fn delete_kept_answers(
    connection: &mut AsyncPgConnection,
    cutoff: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let deleted = sql_query(
        "DELETE FROM idempotency_keys USING (SELECT endpoint, caller, key FROM idempotency_keys \
         WHERE created_at < $1 ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED) AS old \
         WHERE (idempotency_keys.endpoint, idempotency_keys.caller, idempotency_keys.key) \
         = (old.endpoint, old.caller, old.key)",
    )
    .bind::<Timestamptz, _>(cutoff)
    .execute(connection)
    .await?;
    Ok(deleted)
}
