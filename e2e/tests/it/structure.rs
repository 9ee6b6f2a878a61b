//! Allowed dependencies between packages and between modules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::tidy::module_cycle;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Names of the crates that a package is linked with.
fn linked(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none"]);
    let tree = cargo.args(["--package", package]).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect()
}

#[test]
fn nobody_is_linked_with_what_it_does_not_use() {
    let service = linked("sales-service");
    assert!(service.contains("actix-web") && service.contains("diesel"), "{service:?}");
    assert!(!linked("jaegoctl").contains("actix-web"), "the command line serves nothing");
    assert!(!linked("frontend").contains("diesel"), "the frontend keeps nothing");
    assert!(!linked("jaego-postbox").contains("actix-web"), "messages need no HTTP");
    assert!(!linked("testkit").contains("actix-web"), "the testkit serves nothing");
    for shipped in ["sales-service", "frontend", "jaegoctl", "factory-simulator", "smoke-test"] {
        assert!(!linked(shipped).contains("testkit"), "{shipped} is shipped, and the testkit is for tests");
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let shared = std::fs::read_dir(root().join("shared")).unwrap().flatten().map(|entry| entry.path());
    let services = ["sales-service", "production-service", "restock-service", "frontend"].map(|name| root().join(name));
    let crates: Vec<PathBuf> = shared.chain(services).filter(|path| path.join("src").is_dir()).collect();
    assert!(crates.len() >= 14, "{crates:?}");
    for path in crates {
        assert_eq!(module_cycle(&path.join("src")), Vec::<String>::new(), "{}", path.display());
    }
}
