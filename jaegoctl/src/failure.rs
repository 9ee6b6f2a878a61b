//! Failures of commands, and their exit codes.

use std::process::ExitCode;

/// Exit codes. Scripts rely on the numbers, which the help documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success; every check passed.
    Ok = 0,
    /// Failed for another reason.
    Failed = 1,
    /// The command line or the environment is invalid.
    Usage = 2,
    /// A service, the broker or a database does not answer, or is temporarily unavailable.
    NoAnswer = 3,
    /// A service refused: unknown, not allowed, or not possible in its state.
    Refused = 4,
    /// A check failed, for example because books do not agree.
    NotWell = 5,
    /// A bulk change was not confirmed: nothing was changed.
    NotConfirmed = 6,
}

/// The help's section on exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  success; every check passed
  1  failed for another reason, such as an unreadable file or an unexpected answer
  2  the command line or the environment is invalid
  3  a service, the broker or a database does not answer, or is temporarily unavailable
  4  refused: unknown, not allowed, or not possible in the current state
  5  a check failed: the books do not agree, a queue is missing,
     or dead letters failed again
  6  a bulk change was not confirmed (give --yes where there is no terminal): nothing was changed";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's failure, described in sentences.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Description and advice, without secrets. Lines after the first are details.
    pub(crate) message: String,
    /// HTTP status of a refusal.
    pub(crate) status: Option<u16>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), status: None }
    }

    /// Adds the HTTP status of the response.
    #[must_use]
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The command line or the environment is invalid.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The response violates the contract.
    pub(crate) fn not_understood(from: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Self::new(Exit::Failed, format!("{from} gave an unexpected answer: {what}"))
    }
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;
