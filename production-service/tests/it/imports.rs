//! `http, amqp, delivery -> commands -> {domain, store}`, `store -> domain`, `domain -> std, shared::ids`.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Each path behind a `use` or in the text, such as `crate::store` or `diesel`.
fn offences(layer: &str, forbidden: &[&str]) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
    let files = sources(&dir);
    assert!(!files.is_empty(), "{layer} is empty");
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in forbidden.iter().filter(|word| code.contains(**word)) {
                found.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    found
}

#[test]
fn imports_go_one_way() {
    let rules: [(&str, &[&str]); 6] = [
        ("http", &["crate::store", "crate::amqp", "crate::delivery", "diesel"]),
        ("amqp", &["crate::store", "crate::http", "crate::delivery", "diesel"]),
        ("delivery", &["crate::store", "crate::http", "crate::amqp", "diesel"]),
        ("commands", &["crate::http", "crate::amqp", "crate::delivery", "actix_web", "reqwest"]),
        ("store", &["crate::http", "crate::amqp", "crate::delivery", "crate::commands", "actix_web"]),
        (
            "domain",
            &[
                "crate::",
                "diesel",
                "chrono",
                "serde",
                "tokio",
                "uuid::",
                "shared::db",
                "shared::contracts",
                "shared::trace",
            ],
        ),
    ];
    let found: Vec<String> = rules.iter().flat_map(|(layer, forbidden)| offences(layer, forbidden)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_domain_takes_only_ids_from_shared() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain");
    for file in sources(&dir) {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| line.contains("shared::")) {
            assert!(line.contains("shared::ids"), "{}: {line}", file.display());
        }
    }
}
