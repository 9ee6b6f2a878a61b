//! Sections of a configuration, read and checked one by one.

use serde::de::DeserializeOwned;

/// One section; a value that does not fit its type is told with its key.
pub fn section<T: DeserializeOwned>(merged: &serde_json::Value, name: &str, problems: &mut Vec<String>) -> Option<T> {
    serde_path_to_error::deserialize(&merged[name])
        .map_err(|error| problems.push(format!("{name}.{}: {}", error.path(), error.inner())))
        .ok()
}

/// Sections that are told one by one when they do not fit.
pub trait Sections: Sized {
    /// All of them, or the problems of those that do not fit.
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self>;
    /// Adds a sentence for each value that cannot work.
    fn check(&self, problems: &mut Vec<String>);
}

/// Adds `problem` unless `good`.
pub fn require(good: bool, problem: &str, problems: &mut Vec<String>) {
    if !good {
        problems.push(problem.to_owned());
    }
}
