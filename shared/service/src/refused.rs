//! The error of a command, on its way to the caller.

use jaego_pg::StoreError;
use jaego_postbox::outbox::OutboxFull;
use jaego_web::problem::{Problem, ProblemKind};

/// Reason why a command's transaction was rolled back: a rule refused it, or the store failed.
#[derive(Debug)]
pub enum Refused {
    Problem(Problem),
    Store(StoreError),
}

impl From<diesel::result::Error> for Refused {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}
impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Problem(problem) => problem,
            Refused::Store(error) => error.into(),
        }
    }
}

/// The problem (503) for a full outbox: too many events wait for the broker, so no more work is accepted.
pub fn outbox_full(_: OutboxFull) -> Problem {
    let detail = "Too many events wait for the message broker; send the request again later.";
    Problem::new(ProblemKind::Unavailable, detail).retry_after(5)
}
