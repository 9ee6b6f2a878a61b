//! Errors of the testkit, each with a sentence for the person at the terminal.

use std::{io, path::PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A program that is not installed, and the Debian packages that provide it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{program} is not installed; on Debian or Ubuntu: apt-get install {}", packages.join(" "))]
pub struct Missing {
    pub program: &'static str,
    /// Debian and Ubuntu packages.
    pub packages: &'static [&'static str],
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server program is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),

    /// A program started but did not become ready; the end of its log is included.
    #[error("{what} {reason}\nlog: {}\n{tail}", log.display())]
    NotReady {
        what: String,
        /// The condition that was not met, or how the program ended.
        reason: String,
        /// File with the program's output.
        log: PathBuf,
        /// Last lines of the output.
        tail: String,
    },

    /// The operating system refused an operation.
    #[error("could not {doing}: {source}")]
    Io {
        /// The operation, as an infinitive without `to`.
        doing: String,
        source: io::Error,
    },

    /// PostgreSQL refused an operation.
    #[error("PostgreSQL, while trying to {doing}: {source}")]
    Postgres {
        /// The operation, as an infinitive without `to`.
        doing: String,
        source: tokio_postgres::Error,
    },

    /// RabbitMQ's management API returned an error.
    #[error("RabbitMQ answered {status} to {request}: {answer}")]
    Broker {
        /// Method and path.
        request: String,
        status: u16,
        answer: String,
    },

    /// RabbitMQ reported that it imported definitions, but a queue is missing.
    #[error("RabbitMQ imported the definitions without the queue {queue} in {vhost}")]
    NotImported { vhost: String, queue: String },

    /// An HTTP request got no answer.
    #[error("no answer to {request}: {source}")]
    Http {
        /// Method and URL.
        request: String,
        source: reqwest::Error,
    },

    /// RabbitMQ refused an AMQP operation.
    #[error("AMQP, while trying to {doing}: {source}")]
    Amqp {
        /// The operation, as an infinitive without `to`.
        doing: String,
        source: lapin::Error,
    },

    /// Anything else, as a sentence: mostly an argument that cannot work.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// A failure that one sentence describes.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }
}

/// Adds the operation to an I/O error.
pub(crate) trait Doing<T> {
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
