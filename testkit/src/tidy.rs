//! Finds forbidden imports, cyclic modules, and `table!` definitions that differ from the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Layers that are not edges.
const INNER: [&str; 3] = ["commands", "store", "domain"];

/// Returns a sentence for each import that the layers of a service forbid:
/// `edges -> commands -> {domain, store}`, where the edges are all other folders (http, amqp, ..);
/// `store -> domain`; `domain -> std, jaego_contracts::ids`.
///
/// # Panics
/// When the sources cannot be read.
#[expect(clippy::expect_used, reason = "test support")]
pub fn forbidden_imports(source: &Path) -> Vec<String> {
    let folders: Vec<String> = fs::read_dir(source)
        .expect("a source folder")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let edges: Vec<&str> = folders.iter().map(String::as_str).filter(|name| !INNER.contains(name)).collect();
    assert!(INNER.iter().all(|name| folders.iter().any(|folder| folder == name)), "{folders:?} is not a service");
    let mut found = Vec::new();
    for layer in &folders {
        let others = edges.iter().filter(|edge| *edge != layer);
        let mut forbidden: Vec<String> = others.map(|edge| format!("crate::{edge}")).collect();
        forbidden.push("crate::app".to_owned());
        let more: &[&str] = match layer.as_str() {
            "commands" => &["actix_web", "reqwest"],
            "store" => &["crate::commands", "crate::settings", "actix_web"],
            "domain" => &[],
            _ => &["crate::store", "crate::domain", "diesel"],
        };
        forbidden.extend(more.iter().map(|name| (*name).to_owned()));
        for file in rust_files(&source.join(layer)) {
            let text = fs::read_to_string(&file).expect("a readable source");
            let code = without_test_modules(&text);
            for (number, line) in code.iter().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                let breaks = if layer == "domain" {
                    is_foreign_to_domain(line) && !file.to_string_lossy().contains("tests")
                } else {
                    forbidden.iter().any(|name| mentions(line, name))
                };
                if breaks {
                    found.push(format!("{}:{}: not in {layer}: {}", file.display(), number + 1, line.trim()));
                }
            }
        }
    }
    found
}

/// Modules of a crate that are in an import cycle or between two of them, by the folders and files of `source`,
/// without test modules.
///
/// # Panics
/// When the sources cannot be read.
#[expect(clippy::expect_used, reason = "test support")]
pub fn module_cycle(source: &Path) -> Vec<String> {
    let mut modules: BTreeMap<String, Vec<std::path::PathBuf>> = BTreeMap::new();
    for file in rust_files(source) {
        let inside = file.strip_prefix(source).expect("a file of the folder").with_extension("");
        let module = inside.iter().next().expect("a name").to_string_lossy().into_owned();
        let is_code = !["lib", "main", "bin"].contains(&module.as_str()) && !inside.to_string_lossy().contains("tests");
        if is_code {
            modules.entry(module).or_default().push(file);
        }
    }
    let exported = exported_by_root(source);
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, files) in &modules {
        let of_module = imports.entry(module).or_default();
        for line in files.iter().flat_map(|file| without_test_modules(&text_in_crate(file, source))) {
            let code = line.split("//").next().unwrap_or_default();
            for named in code.split("crate::").skip(1).map(first_word) {
                let owner = exported.get(named).map_or(named, String::as_str);
                if let Some((imported, _)) = modules.get_key_value(owner).filter(|(name, _)| *name != module) {
                    of_module.insert(imported);
                }
            }
        }
    }
    // A module that imports no other, or that no other imports, is not in a cycle. Removing it may free others.
    loop {
        let imported: BTreeSet<&str> = imports.values().flatten().copied().collect();
        let before = imports.len();
        let left: BTreeSet<&str> = imports.keys().copied().collect();
        imports.retain(|module, others| {
            others.retain(|other| left.contains(other));
            !others.is_empty() && imported.contains(module)
        });
        if imports.len() == before {
            return imports.keys().map(|&module| module.to_owned()).collect();
        }
    }
}

/// The text of a file. In a module of the first level, `use super::` is replaced by `use crate::`.
#[expect(clippy::expect_used, reason = "test support")]
fn text_in_crate(file: &Path, source: &Path) -> String {
    let text = format!("\n{}", fs::read_to_string(file).expect("a readable source"));
    let module = if file.ends_with("mod.rs") { file.parent() } else { Some(file) };
    if module.and_then(Path::parent) == Some(source) { text.replace("\nuse super::", "\nuse crate::") } else { text }
}

/// The names that `lib.rs` re-exports, with the module that each comes from.
fn exported_by_root(source: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(source.join("lib.rs")).unwrap_or_default().replace('\n', " ");
    let mut exported = BTreeMap::new();
    for path in text.split(';').filter_map(|statement| statement.split("pub use ").nth(1)) {
        let path = path.trim_start_matches("self::").trim_start_matches("crate::");
        if let Some((module, names)) = path.split_once("::") {
            let names = names.split(|character: char| !(character.is_alphanumeric() || character == '_'));
            exported.extend(names.filter(|name| !name.is_empty()).map(|name| (name.to_owned(), module.to_owned())));
        }
    }
    exported
}

fn first_word(text: &str) -> &str {
    text.split(|character: char| !(character.is_alphanumeric() || character == '_')).next().unwrap_or_default()
}

/// The lines of a file, with those of its test modules emptied and `crate::{a, b}` expanded, on one line or several.
fn without_test_modules(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut skipping, mut in_group) = (false, false);
    for line in text.lines() {
        skipping |= line.trim() == "#[cfg(test)]";
        let is_last = line == "}" || (line.ends_with(';') && !line.starts_with(' '));
        let spread = |line: &str| line.replace(", ", ", crate::");
        // A line that is indented further belongs to a module named above it.
        let is_of_group = in_group && line.starts_with("    ") && !line.starts_with("     ") && line != "    },";
        in_group = (in_group || line.starts_with("use crate::{")) && !is_last;
        lines.push(match line {
            _ if skipping => String::new(),
            _ if is_of_group => format!("crate::{}", spread(line.trim_start())),
            _ if line.starts_with("use crate::{") => spread(&line.replace("crate::{", "crate::")),
            _ => line.to_owned(),
        });
        skipping &= !is_last;
    }
    lines
}

/// True when a line names a path such as `crate::http` (and not `crate::http_things`).
fn mentions(line: &str, name: &str) -> bool {
    let code = line.split(" //").next().unwrap_or_default();
    code.match_indices(name).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + name.len()..].chars().next();
        let is_word = |character: Option<char>| character.is_some_and(|it| it.is_alphanumeric() || it == '_');
        !is_word(before) && !is_word(after) && (name.contains("::") || after == Some(':'))
    })
}

fn is_foreign_to_domain(line: &str) -> bool {
    let own = ["std::", "core::", "super::", "self::", "crate::domain", "jaego_contracts::ids"];
    let import = line.trim_start().trim_start_matches("pub ").strip_prefix("use ");
    let imports_foreign = import.is_some_and(|path| !own.iter().any(|own| path.starts_with(own)));
    let named = ["crate::", "jaego_", "diesel::", "chrono::", "serde::", "tokio::", "uuid::"];
    let names_foreign = named
        .iter()
        .any(|name| line.match_indices(name).any(|(start, _)| !own.iter().any(|own| line[start..].starts_with(own))));
    imports_foreign || names_foreign
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Tables of `shared`, and diesel's own.
const SHARED_TABLES: [&str; 13] = [
    "outbox",
    "outbox_claims",
    "relay_lease",
    "message_retries",
    "idempotency_keys",
    "audit_log",
    "dead_letters",
    "redrives",
    "installation",
    "heartbeats",
    "audit_turns",
    "redrive_letters",
    "__diesel_schema_migrations",
];

/// Compares diesel's `table!` text with the tables of a service's migrated database. Returns a sentence for
/// each column that is in only one of them or has another type.
///
/// # Panics
/// When the database cannot be queried.
#[expect(clippy::expect_used, reason = "test support")]
pub async fn schema_differences(admin_url: &str, schema: &str) -> Vec<String> {
    let written = written_columns(schema);
    assert!(!written.is_empty(), "no table in the text");
    let (client, connection) = tokio_postgres::connect(admin_url, tokio_postgres::NoTls).await.expect("a database");
    let driver = tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT table_name::text, column_name::text, udt_name::text, is_nullable = 'YES' \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> ALL($1)",
            &[&SHARED_TABLES.as_slice()],
        )
        .await
        .expect("columns");
    driver.abort();
    let there: BTreeSet<_> = rows
        .iter()
        .map(|row| {
            let kind = diesel_type(row.get(2));
            let kind = if row.get(3) { format!("Nullable<{kind}>") } else { kind.to_owned() };
            (row.get::<_, String>(0), row.get::<_, String>(1), kind)
        })
        .collect();
    let only = |place: &str, left: &BTreeSet<Column>, right: &BTreeSet<Column>| {
        let describe = |(table, column, kind): &Column| format!("{table}.{column} {kind} is only in the {place}");
        left.difference(right).map(describe).collect::<Vec<_>>()
    };
    [only("code", &written, &there), only("database", &there, &written)].concat()
}

/// Table, column, type.
type Column = (String, String, String);

fn written_columns(schema: &str) -> BTreeSet<Column> {
    let mut table = String::new();
    let mut columns = BTreeSet::new();
    for line in schema.lines().map(str::trim) {
        if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            columns.insert((table.clone(), column.to_owned(), kind.to_owned()));
        } else if let Some((name, _)) = line.split_once(" (")
            && line.ends_with('{')
        {
            name.clone_into(&mut table);
        }
    }
    columns
}

fn diesel_type(postgres: &str) -> &'static str {
    match postgres {
        "text" => "Text",
        "int8" => "BigInt",
        "int4" => "Integer",
        "int2" => "SmallInt",
        "bool" => "Bool",
        "uuid" => "Uuid",
        "jsonb" => "Jsonb",
        "bytea" => "Binary",
        "float8" => "Double",
        "timestamptz" => "Timestamptz",
        "_text" => "Array<Text>",
        "_int8" => "Array<BigInt>",
        _ => "a type that testkit::tidy does not know",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_cycle_is_reported_without_the_modules_that_lead_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\npub use c::Thing;\n");
        write("a.rs", "use crate::b::x;\n");
        write("b.rs", "use crate::{Thing, d};\n");
        write("c.rs", "fn f() { crate::b::x() }\n");
        write("d.rs", "// crate::b\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n");
        write("e.rs", "use crate::{\n    d::{\n        a,\n    },\n    f, g,\n};\n");
        write("f.rs", "use super::d;\n");
        fs::create_dir(folder.path().join("g")).expect("made");
        write("g/mod.rs", "mod inner;\nuse super::{\n    e::x,\n};\n");
        write("g/inner.rs", "use super::{f, x};\n");
        assert_eq!(module_cycle(folder.path()), ["b", "c", "e", "g"]);
        write("c.rs", "");
        assert_eq!(module_cycle(folder.path()), ["e", "g"]);
        write("g/mod.rs", "");
        assert_eq!(module_cycle(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_forbidden_path_is_seen_and_a_similar_word_is_not() {
        assert!(mentions("use crate::store::orders;", "crate::store"));
        assert!(mentions("    diesel::insert_into(x)", "diesel"));
        assert!(!mentions("use crate::stores;", "crate::store"));
        assert!(!mentions("let diesel = 1;", "diesel") && !mentions("use diesel_async::x;", "diesel"));
        assert!(is_foreign_to_domain("use chrono::Utc;") && is_foreign_to_domain("    let x = jaego_pg::Pool;"));
        assert!(!is_foreign_to_domain("use jaego_contracts::ids::Sku;") && !is_foreign_to_domain("use std::fmt;"));
        assert!(!is_foreign_to_domain("use super::stock::Figures;"));
        let lines = without_test_modules("use crate::{http, store};\n#[cfg(test)]\nmod tests;\nuse crate::store::x;\n");
        assert!(mentions(&lines[0], "crate::store") && lines[2].is_empty() && mentions(&lines[3], "crate::store"));
    }
}
