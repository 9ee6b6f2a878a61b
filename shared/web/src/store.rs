//! Failures of the store as problems for the caller.

use jaego_pg::StoreError;

use crate::problem::{Problem, ProblemKind};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => {
                tracing::warn!(error = %cause, "the database is unavailable");
                Problem::new(ProblemKind::Unavailable, "The database does not answer now; send the request again.")
            }
            StoreError::Busy(cause) => {
                tracing::warn!(error = %cause, "a statement waited too long");
                let detail = "Another transaction has locked what this request needs; send the request again.";
                Problem::new(ProblemKind::Unavailable, detail)
            }
            StoreError::Query(error) => Problem::internal(&error),
        }
    }
}
