//! Documents that are generated from the program.

use std::path::Path;

use crate::program::run;

/// Set to write the documents instead of comparing them.
const WRITE: &str = "JAEGO_WRITE_DOCS";

fn compare(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == wanted,
        "{name} differs from what the program says; {WRITE}=1 cargo nextest run -p jaegoctl docs updates it"
    );
}

#[test]
fn the_reference_is_the_help() {
    compare("docs/jaegoctl.md", &jaegoctl::cli::reference());
}

#[tokio::test]
async fn the_asyncapi_document_is_the_programs() {
    let ran = run(&["topology", "print", "--asyncapi"], &[]).await.ends_with(0);
    compare("docs/asyncapi.json", &ran.stdout);
}

#[tokio::test]
async fn kubernetes_users_have_the_rights_of_the_topology() {
    let ran = run(&["topology", "print", "--kubernetes"], &[]).await.ends_with(0);
    compare("k8s/rabbitmq/users.yaml", &ran.stdout);
}

#[tokio::test]
async fn completions_and_man_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], &[]).await.ends_with(0);
        assert!(ran.stdout.contains("redrive") && ran.stdout.contains("rate"), "{shell}");
    }
    let ran = run(&["man"], &[]).await.ends_with(0);
    assert!(ran.stdout.contains("OPERATOR_TOKEN") && ran.stdout.contains(".TH"), "{}", ran.stdout);
    let dir = tempfile::TempDir::new().unwrap();
    run(&["man", "--dir", dir.path().to_str().unwrap()], &[]).await.ends_with(0);
    assert!(dir.path().join("jaegoctl-dlq-redrive.1").is_file());
}
