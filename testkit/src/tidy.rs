//! Rules of absence that every service is held to by a test: the import rule and hand-written tables.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Imports that the shape of a service forbids: `http, amqp -> commands -> {domain, store}`;
/// `store -> domain`; `domain -> std, shared::ids`. Answers a sentence for each.
///
/// # Panics
/// When the sources cannot be read.
#[expect(clippy::expect_used, reason = "test support")]
pub fn forbidden_imports(source: &Path) -> Vec<String> {
    let rules: [(&str, &[&str]); 5] = [
        ("domain", &["crate::http", "crate::amqp", "crate::commands", "crate::store", "crate::settings", "crate::app"]),
        ("store", &["crate::http", "crate::amqp", "crate::commands", "crate::settings", "crate::app"]),
        ("commands", &["crate::http", "crate::amqp", "crate::app"]),
        ("http", &["crate::amqp", "crate::app"]),
        ("amqp", &["crate::http", "crate::app"]),
    ];
    let mut found = Vec::new();
    let mut checked = 0;
    for (layer, forbidden) in rules {
        for file in rust_files(&source.join(layer)) {
            checked += 1;
            let text = fs::read_to_string(&file).expect("a readable source");
            for (number, line) in text.lines().enumerate() {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                let mut complain = |what: &str| {
                    found.push(format!("{}:{}: {layer} must not use {what}", file.display(), number + 1));
                };
                for path in forbidden.iter().filter(|path| line.contains(*path)) {
                    complain(path);
                }
                let is_test = file.to_string_lossy().contains("tests");
                let foreign = |word: &str| {
                    !["std", "core", "super", "self", "crate", "shared::ids"].iter().any(|own| {
                        word == *own || word.starts_with(&format!("{own}::")) || word.starts_with(&format!("{own};"))
                    })
                };
                if layer == "domain"
                    && !is_test
                    && let Some(import) = line.trim_start().trim_start_matches("pub ").strip_prefix("use ")
                    && foreign(import)
                    && !in_test_module(&text, number)
                {
                    complain(import);
                }
            }
        }
    }
    assert!(checked > 0, "no sources below {}", source.display());
    found
}

/// Whether line `number` (from 0) lies behind the file's `#[cfg(test)]`.
fn in_test_module(text: &str, number: usize) -> bool {
    text.lines().take(number).any(|line| line.trim() == "#[cfg(test)]")
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

/// Compares diesel's `table!` text with the tables of a migrated database. Answers a sentence for
/// each column that is only in one of them or has another type.
///
/// # Panics
/// When the database cannot be asked.
#[expect(clippy::expect_used, reason = "test support")]
pub async fn schema_differences(admin_url: &str, schema: &str) -> Vec<String> {
    let written = written_columns(schema);
    assert!(!written.is_empty(), "no table in the text");
    let tables: Vec<String> = written.iter().map(|(table, ..)| table.clone()).collect();
    let (client, connection) = tokio_postgres::connect(admin_url, tokio_postgres::NoTls).await.expect("a database");
    let driver = tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY($1)",
            &[&tables],
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
    let only = |what: &str, left: &BTreeSet<(String, String, String)>, right: &BTreeSet<(String, String, String)>| {
        let tell =
            |(table, column, kind): &(String, String, String)| format!("{table}.{column} {kind} is only in the {what}");
        left.difference(right).map(tell).collect::<Vec<_>>()
    };
    [only("code", &written, &there), only("database", &there, &written)].concat()
}

fn written_columns(schema: &str) -> BTreeSet<(String, String, String)> {
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
        "bigint" => "BigInt",
        "integer" => "Integer",
        "smallint" => "SmallInt",
        "boolean" => "Bool",
        "uuid" => "Uuid",
        "jsonb" => "Jsonb",
        "bytea" => "Binary",
        "double precision" => "Double",
        "timestamp with time zone" => "Timestamptz",
        "ARRAY" => "Array",
        _ => "a type that testkit::tidy does not know",
    }
}
