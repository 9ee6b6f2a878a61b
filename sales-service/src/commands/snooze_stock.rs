//! Pauses automatic orders of a product at an operator's request.

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use jaego_contracts::ids::Sku;
use jaego_web::problem::Problem;

use super::adjust_stock::no_such_product;
use super::{Asked, Context, Refused};
use crate::store::{StoreError, stock};

/// Pauses automatic orders of this product until the given time.
pub async fn snooze_stock(context: &Context, sku: Sku, until: DateTime<Utc>, asked: Asked<'_>) -> Result<(), Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    connection
        .transaction(async move |connection| {
            if !stock::snooze(connection, &sku, until).await? {
                return Err(no_such_product(&sku).into());
            }
            asked.record(connection, "stock.snooze", sku.as_str()).await?;
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(())
}
