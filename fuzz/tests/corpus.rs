//! Every input of the corpora keeps its property, on any toolchain.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

// Control: any-input.
#[test]
fn every_known_input_keeps_its_property() {
    for (name, _) in fuzz::ALL {
        let corpus = folder("corpus").join(name);
        let inputs: Vec<PathBuf> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{} has no inputs", corpus.display());
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            let kept = std::panic::catch_unwind(|| fuzz::check(name, &bytes));
            assert!(kept.is_ok(), "{} violates the property {name}", input.display());
        }
    }
}

#[test]
fn every_property_has_a_target_and_a_corpus() {
    let properties: BTreeSet<String> = fuzz::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&folder("targets/fuzz_targets")), properties);
    assert_eq!(names_in(&folder("corpus")), properties);
}
