//! Why something is not done, on its way to the caller.

use jaego_pg::StoreError;
use jaego_postbox::outbox::OutboxFull;
use jaego_web::problem::{Problem, ProblemKind};

/// Why a command's transaction was rolled back: a rule said no, or the store failed.
#[derive(Debug)]
pub enum Refused {
    /// A rule says no.
    Problem(Problem),
    /// The store failed.
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

/// Too many events wait for the broker to take in more work: 503.
pub fn outbox_full(_: OutboxFull) -> Problem {
    let detail = "Too many events wait for the message broker; send the request again later.";
    Problem::new(ProblemKind::Unavailable, detail).retry_after(5)
}
