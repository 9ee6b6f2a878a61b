//! The threat model and the tests name each other.

use std::collections::BTreeSet;
use std::fs;

use crate::structure::root;

/// A row of the tables of controls.
struct Control<'a> {
    id: &'a str,
    test: &'a str,
    file: &'a str,
}

fn controls(document: &str) -> Vec<Control<'_>> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let names: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        match names[..] {
            [id, .., test, file] => Control { id, test, file },
            _ => panic!("a control needs its id, its test and the test's file: {line}"),
        }
    })
    .collect()
}

/// The comment lines directly above the test function, without its attributes.
fn comment_above<'a>(source: &'a str, test: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let function = ["fn ", "async fn "].map(|start| format!("{start}{test}("));
    let at = lines.iter().position(|line| function.iter().any(|start| line.starts_with(start)))?;
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("//") || line.starts_with('#'));
    Some(above.copied().filter(|line| line.starts_with("//")).collect())
}

#[test]
fn controls_and_tests_name_each_other() {
    let document = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let controls = controls(&document);
    assert!(controls.len() > 30, "only {} controls", controls.len());
    let ids: BTreeSet<&str> = controls.iter().map(|control| control.id).collect();
    assert_eq!(ids.len(), controls.len(), "a control is listed twice");
    let mut wrong = Vec::new();
    for Control { id, test, file } in controls {
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        match comment_above(&source, test) {
            None => wrong.push(format!("{id}: {file} has no test {test}")),
            Some(comment) if !comment.contains(&&*format!("// Control: {id}.")) => {
                wrong.push(format!("{id}: {test} in {file} lacks the comment `// Control: {id}.`"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
