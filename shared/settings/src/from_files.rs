//! Values that are in files of their own: a secret in the environment is visible to anyone who can inspect the
//! process, while access to a file can be restricted.

use std::fs::File;
use std::io::{self, Read as _};

use config::{Value, ValueKind};

/// Suffix of a variable whose value is the path of a file with the setting's value.
const SUFFIX: &str = "_file";
/// Largest accepted file, bytes.
const BYTES_MAX: u64 = 64 * 1024;
/// Beginnings of the first and the last line of a PEM block.
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// Removes the variables that name files from the environment, and returns the settings that the files contain: key
/// (`database.url`) and value. `prefix` is for example `JAEGO_SALES__`. Problems name the variable and the path,
/// never the content of the file. A key that itself ends with the suffix (`database.ca_file`) is not such a variable.
pub(super) fn take(
    env: &mut Vec<(String, String)>,
    prefix: &str,
    defaults: &Value,
    problems: &mut Vec<String>,
) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let names: Vec<String> = env.iter().map(|(name, _)| name.to_lowercase()).collect();
    let mut index = 0;
    env.retain(|(name, path)| {
        let lower = &names[index];
        index += 1;
        let Some(key) = lower.strip_prefix(&prefix.to_lowercase()) else { return true };
        let Some(plain) = key.strip_suffix(SUFFIX) else { return true };
        if default_of(defaults, key).is_some() {
            return true;
        }
        let Some(default) = default_of(defaults, plain) else { return true };
        if names.iter().any(|other| lower.strip_suffix(SUFFIX) == Some(other)) {
            let value = &name[..name.len() - SUFFIX.len()];
            problems.push(format!("{value} and {name}: give the value or the file, not both"));
            return false;
        }
        match read(path) {
            Ok(text) => found.push((plain.replace("__", "."), value_of(&text, default))),
            Err(error) => problems.push(format!("{name}: cannot read {path}: {error}")),
        }
        false
    });
    found
}

/// Returns the default of a key such as `database__url`; None for an unknown key and for a section.
fn default_of<'a>(defaults: &'a Value, key: &str) -> Option<&'a Value> {
    let found = key.split("__").try_fold(defaults, |value, part| match &value.kind {
        ValueKind::Table(table) => table.get(part),
        _ => None,
    })?;
    (!matches!(found.kind, ValueKind::Table(_))).then_some(found)
}

/// Reads a file, without the newline at its end if there is one.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err(io::Error::other(format!("it contains more than {BYTES_MAX} bytes")));
    }
    let end = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(end);
    Ok(text)
}

fn value_of(text: &str, default: &Value) -> Value {
    match default.kind {
        ValueKind::Array(_) if text.contains(PEM_BEGIN) => Value::from(pem_items(text)),
        ValueKind::Array(_) => {
            let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
            Value::from(items.map(ToOwned::to_owned).collect::<Vec<_>>())
        }
        _ => Value::from(text.to_owned()),
    }
}

/// Splits a text into PEM blocks. A block ends with its END line, with or without a comma after it. Text outside any
/// block becomes an item as well, so that it is checked instead of overlooked.
fn pem_items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    for line in text.split_inclusive(',').flat_map(str::lines) {
        let line = line.trim().trim_end_matches(',');
        let item = items.last_mut();
        let Some(item) = item.filter(|_| !line.is_empty()) else { continue };
        item.push_str(line);
        item.push('\n');
        if line.starts_with(PEM_END) {
            items.push(String::new());
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_blocks_are_found_with_and_without_commas() {
        let block = |name: &str| format!("-----BEGIN X-----\n{name}\n-----END X-----\n");
        let (one, two) = (block("one"), block("two"));
        for text in [format!("{one}{two}"), format!("{},{two}", one.trim_end()), format!("{one},\n\n{two},")] {
            assert_eq!(pem_items(&text), [one.clone(), two.clone()], "{text}");
        }
        assert_eq!(pem_items(&format!("{one}nonsense")), [one, "nonsense\n".to_owned()]);
    }
}
