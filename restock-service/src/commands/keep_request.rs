//! Keeps what messages tell of a production request, beside what callbacks have told already.

use shared::db::{Pool, StoreError};

pub(crate) use crate::domain::delivery::Order;
use crate::store;
pub(crate) use crate::store::requests::RequestNews;

/// Adds what was not known.
pub(crate) async fn keep_request(pool: &Pool, news: RequestNews) -> Result<(), StoreError> {
    store::requests::merge(&mut *pool.get().await?, news).await
}
