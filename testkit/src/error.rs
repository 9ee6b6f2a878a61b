//! What can go wrong while the testkit works, each with a sentence for the person at the terminal.

use std::{io, path::PathBuf};

use crate::servers::Missing;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the testkit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server program is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),

    /// A program started, but did not become ready; its last words are included.
    #[error("{what} {reason}\nlog: {}\n{tail}", log.display())]
    NotReady {
        /// The program.
        what: String,
        /// What was waited for, or how it ended.
        reason: String,
        /// Where its output is.
        log: PathBuf,
        /// The last lines of its output.
        tail: String,
    },

    /// The operating system refused something.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },

    /// PostgreSQL refused something.
    #[error("PostgreSQL, while trying to {doing}: {source}")]
    Postgres {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: tokio_postgres::Error,
    },

    /// RabbitMQ's management API answered something else than success.
    #[error("RabbitMQ answered {status} to {request}: {answer}")]
    Broker {
        /// Method and path.
        request: String,
        /// The status code.
        status: u16,
        /// The answer's body.
        answer: String,
    },

    /// An HTTP request got no answer.
    #[error("no answer to {request}: {source}")]
    Http {
        /// Method and URL.
        request: String,
        /// Why it failed.
        source: reqwest::Error,
    },

    /// RabbitMQ refused something over AMQP.
    #[error("AMQP, while trying to {doing}: {source}")]
    Amqp {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: lapin::Error,
    },

    /// Anything else, as a sentence: mostly an argument that cannot work.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// A failure that is told in one sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }
}

/// Adds to an I/O error what was being done.
pub(crate) trait Doing<T> {
    /// Names what was tried.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: doing(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(io::Error::from).doing(doing)
    }
}
