//! Checks the allowed imports between modules.

use std::path::Path;

#[test]
fn layers_import_only_as_the_table_allows() {
    let found = testkit::tidy::forbidden_imports(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(found.is_empty(), "{found:#?}");
}
