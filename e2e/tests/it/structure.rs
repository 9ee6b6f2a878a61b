//! Allowed dependencies between packages and between modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::tidy::module_cycle;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Crates with their versions, as `cargo tree` lists them.
fn tree(arguments: &[&str]) -> Vec<(String, String)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--offline", "--locked", "--prefix", "none"]);
    let tree = cargo.args(arguments).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    let words = text.lines().map(|line| line.split(' '));
    words
        .filter_map(|mut line| Some((line.next()?.to_owned(), line.next()?.trim_start_matches('v').to_owned())))
        .collect()
}

fn deny_toml() -> serde_json::Value {
    let file = config::File::from(root().join("deny.toml"));
    config::Config::builder().add_source(file).build().unwrap().try_deserialize().unwrap()
}

/// Names of the crates that a package is linked with.
fn linked(package: &str) -> BTreeSet<String> {
    tree(&["--edges", "normal", "--package", package]).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn programs_link_only_the_frameworks_that_they_use() {
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
fn crates_are_linked_twice_only_as_deny_toml_says() {
    let deny = deny_toml();
    let targets = deny["graph"]["targets"].as_array().unwrap().iter().flat_map(|it| ["--target", it.as_str().unwrap()]);
    let doubled = ["--workspace", "--duplicates", "--depth", "0"].into_iter().chain(targets).collect::<Vec<_>>();
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, version) in tree(&doubled) {
        versions.entry(name).or_default().insert(version);
    }
    let skip = deny["bans"]["skip"].as_array().unwrap();
    for skipped in skip.iter().map(|skip| skip["crate"].as_str().unwrap()) {
        let (name, prefix) = skipped.split_once('@').unwrap();
        let found = versions.get_mut(name).unwrap_or_else(|| panic!("{skipped} is no longer linked twice"));
        let before = found.len();
        found.retain(|version| !version.starts_with(&format!("{prefix}.")));
        assert_eq!(found.len(), before - 1, "{skipped} is not one of the versions");
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "linked twice without a reason: {versions:?}");
}

// Control: no-banned-crate.
#[test]
fn no_program_is_linked_with_a_banned_crate() {
    let deny = deny_toml();
    let banned = deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap());
    let banned: BTreeSet<&str> = banned.collect();
    assert!(banned.contains("rsa"), "{banned:?}");
    let linked = tree(&["--workspace"]);
    let linked = linked.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>();
    assert!(linked.contains("rustls"), "{linked:?}");
    assert_eq!(linked.intersection(&banned).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn no_modules_import_each_other_in_a_cycle() {
    let shared = std::fs::read_dir(root().join("shared")).unwrap().flatten().map(|entry| entry.path());
    let services = ["sales-service", "production-service", "restock-service", "frontend"].map(|name| root().join(name));
    let tools = ["factory-simulator", "smoke-test", "testkit", "localstack", "jaegoctl", "tasks", "bench"];
    let tools = tools.map(|name| root().join(name));
    let crates: Vec<PathBuf> = shared.chain(services).chain(tools).filter(|path| path.join("src").is_dir()).collect();
    assert!(crates.len() >= 21, "{crates:?}");
    for path in crates {
        assert_eq!(module_cycle(&path.join("src")), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn architecture_names_files_that_exist() {
    let listed = Command::new("git").current_dir(root()).arg("ls-files").output().unwrap();
    let files: Vec<String> = String::from_utf8(listed.stdout).unwrap().lines().map(|path| format!("/{path}")).collect();
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let is_file = |name: &&str| [".rs", ".tpl", ".py", ".yaml", ".md", ".toml"].iter().any(|end| name.ends_with(end));
    let named: BTreeSet<&str> = text.split('`').skip(1).step_by(2).filter(is_file).collect();
    assert!(named.len() > 20, "{named:?}");
    let exists = |name: &&&str| files.iter().any(|path| path.ends_with(&format!("/{name}")));
    let missing: Vec<_> = named.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
