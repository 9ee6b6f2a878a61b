//! Detects examples in the documentation that cargo would run. This is cheaper than starting rustdoc for every crate.

use std::{fs, path::Path};

/// Searches `*/src` of the workspace.
pub(super) fn has_doc_tests(root: &Path) -> bool {
    let Ok(entries) = fs::read_dir(root) else { return true };
    entries.filter_map(Result::ok).any(|entry| any_below(&entry.path().join("src")))
}

fn any_below(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.filter_map(Result::ok).map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            any_below(&path)
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && fs::read_to_string(&path).is_ok_and(|text| has_example(&text))
        }
    })
}

/// Returns whether there is a fence without a language, or with Rust, that is not marked `ignore`.
fn has_example(source: &str) -> bool {
    let mut inside = false;
    for line in source.lines().map(str::trim_start) {
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            inside = false;
            continue;
        };
        let Some(language) = text.trim_start().strip_prefix("```") else { continue };
        let words = || language.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
        let runs = words().all(|word| matches!(word, "rust" | "should_panic" | "no_run" | "compile_fail"));
        if !inside && runs {
            return true;
        }
        inside = !inside;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_examples_that_run_count() {
        assert!(has_example("/// ```\n/// assert!(true);\n/// ```\nfn f() {}"));
        assert!(has_example("    //! ```rust,no_run\n    //! ```"));
        assert!(!has_example("/// ```text\n/// plain\n/// ```\nfn f() {}"));
        assert!(!has_example("/// ```ignore\n/// ```\n// ```\nfn f() {}"));
    }
}
