//! SQL, and only SQL. Every function takes the caller's connection, so that a change, its ledger entries and its
//! events share one transaction. Rows of `stock` are locked before any others, in SKU order.

pub mod books;
pub mod factories;
pub mod incoming;
pub mod orders;
pub mod product_states;
pub mod products;
pub mod replenishments;
pub mod retention;
mod schema;
pub mod stock;
pub mod timeline;

pub use jaego_pg::StoreError;

/// Error for a row that this program cannot have written.
pub fn corrupt(what: &str) -> StoreError {
    StoreError::Query(diesel::result::Error::DeserializationError(format!("{what} cannot be read").into()))
}
