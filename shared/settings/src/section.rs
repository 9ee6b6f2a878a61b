//! Sections of a configuration, read and checked one by one.

use serde::de::DeserializeOwned;

/// Reads one section; a value that does not fit its type becomes a problem that names its key.
pub fn section<T: DeserializeOwned>(merged: &serde_json::Value, name: &str, problems: &mut Vec<String>) -> Option<T> {
    serde_path_to_error::deserialize(&merged[name])
        .map_err(|error| problems.push(format!("{name}.{}: {}", error.path(), error.inner())))
        .ok()
}

/// A group of sections, each read separately so that the problems of all of them are reported.
pub trait Sections: Sized {
    /// Reads all sections. Returns None, and adds to `problems`, when any of them does not fit.
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self>;
    /// Adds a sentence for each invalid value.
    fn check(&self, problems: &mut Vec<String>);
}

/// Adds `problem` unless `good`.
pub fn require(good: bool, problem: &str, problems: &mut Vec<String>) {
    if !good {
        problems.push(problem.to_owned());
    }
}
