//! The service's tables. Functions take the connection, so that callers choose the transaction.

pub(crate) mod books;
pub(crate) mod deliveries;
pub(crate) mod factories;
pub(crate) mod quarantine;
pub(crate) mod receipts;
pub(crate) mod requests;
mod schema;
pub(crate) mod timeline;

use jaego_pg::{Migrations, StoreError};

/// The service's own migrations; the shared tables come before them.
pub(crate) fn migrations() -> Migrations {
    const OWN: Migrations = jaego_pg::migrations!("migrations");
    OWN
}

/// Error for a row that this program cannot have written.
pub(crate) fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Query(diesel::result::Error::DeserializationError(cause.into()))
}

/// Returns the element of `asked` that a result row belongs to; places count from one.
fn place_of<T: Copy>(asked: &[T], place: i64) -> Result<T, StoreError> {
    let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
    index.and_then(|index| asked.get(index)).copied().ok_or_else(|| unreadable("a row that was not asked for"))
}
