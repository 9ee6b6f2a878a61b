//! Why a command did not do what was asked, and with which exit code it ends.

use std::process::ExitCode;

/// How a command ends. The numbers are a promise to scripts: the help tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; what was checked is well.
    Ok = 0,
    /// Failed for another reason.
    Failed = 1,
    /// The command line or the environment is not usable.
    Usage = 2,
    /// A service, the broker or a database does not answer, or says that it cannot now.
    NoAnswer = 3,
    /// A service refused: unknown, not allowed, or its state does not allow it.
    Refused = 4,
    /// What was checked is not well: books that do not agree, say.
    NotWell = 5,
    /// A bulk change was not confirmed: nothing was changed.
    NotConfirmed = 6,
}

/// The help's section on exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; what was checked is well
  1  failed for another reason (a file, an answer that is not understood)
  2  the command line or the environment is not usable
  3  a service, the broker or a database does not answer, or cannot now
  4  refused: unknown, not allowed, or the state of things does not allow it
  5  what was checked is not well: the books do not agree,
     a queue is missing, dead letters failed again
  6  a bulk change was not confirmed (give --yes where there is no terminal): nothing was changed";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's failure, as sentences for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// How the program ends because of it.
    pub(crate) exit: Exit,
    /// What happened and what to do; no secrets. Lines after the first are details.
    pub(crate) message: String,
    /// The HTTP status of a refusal.
    pub(crate) status: Option<u16>,
}

impl Failure {
    /// Fails with `exit`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), status: None }
    }

    /// The same, answered with this HTTP status.
    #[must_use]
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The command line or the environment is not usable.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An answer that is not what the contract says.
    pub(crate) fn not_understood(from: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Self::new(Exit::Failed, format!("{from} answered something else than expected: {what}"))
    }
}

/// Shorthand for results of commands.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;
