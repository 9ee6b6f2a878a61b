//! Configuration: embedded defaults, then an optional file, then the environment, where a value may also be in a file
//! of its own.
//!
//! The embedded `default.toml` contains every key, so it is also the list of valid keys: any other key is refused.
//! All problems are reported at once, and no value is ever printed.

mod from_files;
mod load;
mod section;

use std::path::Path;

use serde::de::DeserializeOwned;

pub use load::{load, load_part};
pub use section::{Sections, require, section};

/// Every problem of a configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is invalid:\n{}", .0.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct InvalidSettings(pub Vec<String>);

/// A program's settings, read and checked by [`load`].
pub trait Settings: DeserializeOwned + Send + 'static {
    /// The sections that other programs have as well: those of a service, or of a program without a database.
    type Common: Sections;
    fn common(&self) -> &Self::Common;
    /// Adds a sentence for each invalid value, with the full name of its key.
    fn check(&self, problems: &mut Vec<String>);
}

/// The sources of settings: defaults, then the file, then the environment.
pub struct Sources<'a> {
    /// Content of the program's `default.toml`.
    pub defaults: &'a str,
    /// A TOML file that overrides defaults.
    pub file: Option<&'a Path>,
    /// `JAEGO_SALES` reads `JAEGO_SALES__HTTP__PORT` as `http.port`, and `http.port` from the file that
    /// `JAEGO_SALES__HTTP__PORT_FILE` names.
    pub env_prefix: &'a str,
    pub env: Vec<(String, String)>,
}
