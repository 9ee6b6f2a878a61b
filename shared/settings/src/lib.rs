//! Configuration: embedded defaults, then an optional file, then the environment, where a value may
//! also be in a file of its own.
//!
//! The embedded `default.toml` names every key, so it is also the list of what may be set: a key
//! that it does not have is refused. All problems are told at once, and no value is ever printed.

mod from_files;
mod load;
mod section;

use std::path::Path;

use serde::de::DeserializeOwned;

pub use load::{load, load_part};
pub use section::{Sections, require, section};

/// Every problem of a configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not usable:\n{}", .0.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct InvalidSettings(pub Vec<String>);

/// A program's settings: what [`load`] makes and checks.
pub trait Settings: DeserializeOwned + Send + 'static {
    /// The sections that it has in common with others: those of a service, or of a program without a database.
    type Common: Sections;
    /// These sections.
    fn common(&self) -> &Self::Common;
    /// Adds a sentence for each value that cannot work; keys by their full name.
    fn check(&self, problems: &mut Vec<String>);
}

/// Where settings come from.
pub struct Sources<'a> {
    /// The service's `default.toml`.
    pub defaults: &'a str,
    /// A TOML file that overrides defaults.
    pub file: Option<&'a Path>,
    /// `JAEGO_SALES` reads `JAEGO_SALES__HTTP__PORT` as `http.port`, and `http.port` from the file that
    /// `JAEGO_SALES__HTTP__PORT_FILE` names.
    pub env_prefix: &'a str,
    /// The environment.
    pub env: Vec<(String, String)>,
}
