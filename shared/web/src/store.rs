//! What a failed store means to a caller.

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
                tracing::warn!(error = %cause, "a statement waited for too long");
                let detail = "What this needs is held by something else now; send the request again.";
                Problem::new(ProblemKind::Unavailable, detail)
            }
            StoreError::Query(error) => Problem::internal(&error),
        }
    }
}
