//! Finds out whether a batch was written after the database's answer was lost. If it was not, makes sure that it
//! never will be.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::join;
use jaego_contracts::ids::Sku;
use jaego_pg::{Pipeline, Pool};
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{StoreError, orders, product_states};

/// Pause between two attempts.
const AGAIN: Duration = Duration::from_millis(100);

/// Returns whether these orders of one batch, of these products, were written. None if that cannot be found out
/// before `deadline`.
pub(super) async fn was_written(pool: &Pool, ids: &[Uuid], skus: &BTreeSet<Sku>, deadline: Instant) -> Option<bool> {
    loop {
        match tokio::time::timeout_at(deadline, look(pool, ids, skus)).await {
            Ok(Ok(is_written)) => return Some(is_written),
            Ok(Err(error)) => tracing::warn!(%error, "it is not known yet whether a batch of orders was written"),
            Err(_) => return None,
        }
        if tokio::time::timeout_at(deadline, tokio::time::sleep(AGAIN)).await.is_err() {
            return None;
        }
    }
}

/// Locks the rows first, which waits for a transaction that is still working on them. Then either the orders exist,
/// or the versions are raised, so that a statement still on its way to the server finds them changed and writes
/// nothing.
async fn look(pool: &Pool, ids: &[Uuid], skus: &BTreeSet<Sku>) -> Result<bool, StoreError> {
    let transaction = Pipeline::new(pool.get().await?);
    let connection = transaction.connection();
    let (begun, locked) = join!(transaction.begin(), product_states::lock_rows(connection, skus));
    begun?;
    locked?;
    let is_written = orders::exists(connection, ids.to_vec()).await?;
    if !is_written {
        product_states::raise_versions(connection, skus).await?;
    }
    transaction.commit().await?;
    Ok(is_written)
}
