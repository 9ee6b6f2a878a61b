//! Tokens and sessions for people to read, newest first.

use jaego_pg::{Pool, StoreError};
use uuid::Uuid;

use crate::store;
pub(crate) use crate::store::sessions::SessionRow;
pub(crate) use crate::store::tokens::TokenRow;

/// With `person`, only those of that person.
pub(crate) async fn tokens(
    pool: &Pool,
    person: Option<&str>,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<TokenRow>, StoreError> {
    store::tokens::list(&mut *pool.get().await?, person, older_than, limit).await
}

/// With `person`, only those of that person.
pub(crate) async fn sessions(
    pool: &Pool,
    person: Option<&str>,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SessionRow>, StoreError> {
    store::sessions::list(&mut *pool.get().await?, person, older_than, limit).await
}
