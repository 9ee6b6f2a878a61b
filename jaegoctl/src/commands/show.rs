//! Lists, single items and bulk changes, the same for every kind of resource.

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::Api,
    failure::{Exit, Failure, Result},
    output::{Output, Rows, Spinner, local, say},
};

/// Maximum items that are searched or shown.
pub(crate) const LIMIT_MAX: usize = 10_000;

/// Limit of a list.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Maximum number of items, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=LIMIT_MAX as u64))]
    pub(crate) limit: usize,
}

/// A table column: its title, and how an item's cell is made.
pub(crate) struct Column {
    title: &'static str,
    cell: Cell,
}

enum Cell {
    Field(&'static str),
    Made(fn(&Value) -> String),
}

impl Column {
    /// A cell with one field, such as `policy.mode`.
    pub(crate) const fn field(title: &'static str, name: &'static str) -> Self {
        Self { title, cell: Cell::Field(name) }
    }

    /// A cell made from several fields.
    pub(crate) const fn made(title: &'static str, make: fn(&Value) -> String) -> Self {
        Self { title, cell: Cell::Made(make) }
    }

    fn of(&self, item: &Value) -> String {
        match self.cell {
            Cell::Field(name) => text(item, name),
            Cell::Made(make) => make(item),
        }
    }
}

/// A field for display: times are local, absent values are a dash. A dot leads into an object.
pub(crate) fn text(item: &Value, name: &str) -> String {
    let value = name.split('.').fold(item, |value, part| &value[part]);
    shown(name, value)
}

/// A value for display, formatted by the name of its field.
pub(crate) fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if is_time(name) => {
            DateTime::parse_from_rfc3339(text).map_or_else(|_| text.clone(), |time| local(time.with_timezone(&Utc)))
        }
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) if values.iter().all(|value| !value.is_array() && !value.is_object()) => {
            values.iter().map(|value| shown("", value)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(money) if money.len() == 2 && money.contains_key("amount") && money.contains_key("currency") => {
            format!("{} {}", shown("", &money["amount"]), shown("", &money["currency"]))
        }
        other => other.to_string(),
    }
}

/// Names of the time fields in all of our APIs.
fn is_time(name: &str) -> bool {
    let name = name.rsplit('.').next().unwrap_or(name);
    name == "at" || name.ends_with("_at") || matches!(name, "as_of" | "until" | "paused_until" | "restock_eta")
}

pub(crate) fn table(columns: &[Column], items: &[Value]) -> Rows {
    let mut table = Rows::new(columns.iter().map(|column| column.title));
    for item in items {
        table.row(columns.iter().map(|column| column.of(item)));
    }
    table
}

/// A list of an API and how it is shown.
pub(crate) struct List<'a> {
    /// Singular and plural name of the items.
    pub(crate) names: (&'static str, &'static str),
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) columns: &'a [Column],
    /// Filter for an API that has none of its own.
    pub(crate) only: Option<&'a dyn Fn(&Value) -> bool>,
}

impl List<'_> {
    /// Shows up to `limit` items and their source.
    pub(crate) async fn show(&self, api: &Api, limit: &Limit, output: Output) -> Result<Exit> {
        let spinner = Spinner::new(&format!("{} lists {}", api.service(), self.names.1));
        let limit = limit.limit;
        let mut listed = api.list(self.path, self.query, if self.only.is_some() { LIMIT_MAX } else { limit }).await?;
        drop(spinner);
        if let Some(only) = self.only {
            listed.items.retain(|item| only(item));
            listed.more |= listed.items.len() > limit;
            listed.items.truncate(limit);
        }
        let (items, more) = (listed.items, listed.more);
        if !items.is_empty() {
            output.table(&table(self.columns, &items));
        }
        let count = match items.len() {
            0 => format!("No {}", self.names.1),
            1 => format!("1 {}", self.names.0),
            count => format!("{count} {}", self.names.1),
        };
        let rest = if more { "; there are more, see --limit" } else { "" };
        output.line(format!("{count}, from {} at {}{rest}", api.service(), api.source()));
        output.document(&json!({"source": api.source_document(), "items": items, "more": more}));
        Ok(Exit::Ok)
    }
}

/// Shows one item with all its fields; lists in it become tables.
pub(crate) fn one(api: &Api, item: &Value, lists: &[(&str, &[Column])], output: Output) -> Exit {
    output.document(&json!({"source": api.source_document(), "item": item}));
    let mut lines = Vec::new();
    flatten("", item, lists, &mut lines);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 1;
    for (name, value) in lines {
        output.line(format!("{:width$} {value}", format!("{name}:")));
    }
    for (name, columns) in lists {
        match item[name].as_array().map_or(&[][..], Vec::as_slice) {
            [] => output.line(format!("no {name}")),
            items => output.table(&table(columns, items)),
        }
    }
    output.line(format!("from {} at {}", api.service(), api.source()));
    Exit::Ok
}

/// Fields that are shown first.
const FIRST: [&str; 4] = ["id", "sku", "name", "status"];

fn flatten(prefix: &str, item: &Value, lists: &[(&str, &[Column])], lines: &mut Vec<(String, String)>) {
    let Value::Object(fields) = item else {
        lines.push((prefix.trim_end_matches('.').to_owned(), shown("", item)));
        return;
    };
    // The other fields keep the order of the service's JSON.
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| rank(name));
    for (name, value) in fields {
        let full = format!("{prefix}{name}");
        if lists.iter().any(|(list, _)| *list == full) {
            continue;
        }
        match value {
            Value::Object(inner) if prefix.is_empty() && !inner.contains_key("currency") => {
                flatten(&format!("{full}."), value, lists, lines);
            }
            _ => lines.push((full.clone(), shown(&full, value))),
        }
    }
}

/// Finds one item in a list whose API cannot fetch a single one.
pub(crate) async fn find(api: &Api, path: &str, what: &str, id: &str) -> Result<Value> {
    let listed = api.list(path, &[], LIMIT_MAX).await?;
    let found = listed.items.into_iter().find(|item| item["id"] == id);
    found.ok_or_else(|| {
        let scope = if listed.more { format!(" among the newest {LIMIT_MAX}") } else { String::new() };
        Failure::new(Exit::Refused, format!("{} has no {what} {id}{scope}", api.service()))
    })
}

/// Applies a change to several items, one after the other. Continues after a refusal, and returns the exit
/// code of the first failure.
pub(crate) async fn each<T: ToString>(
    api: &Api,
    ids: &[T],
    output: Output,
    change: impl AsyncFn(&str) -> Result<Value>,
    describe: impl Fn(&Value) -> String,
) -> Exit {
    let (mut exit, mut results) = (Exit::Ok, Vec::new());
    for id in ids.iter().map(ToString::to_string) {
        match change(&id).await {
            Ok(item) => {
                output.line(format!("{id}: {}", describe(&item)));
                results.push(json!({"id": id, "ok": true, "item": item}));
            }
            Err(failure) => {
                say(&format!("error: {id}: {failure}"));
                results.push(json!({"id": id, "ok": false, "error": failure.message}));
                if exit == Exit::Ok {
                    exit = failure.exit;
                }
            }
        }
    }
    output.document(&json!({"source": api.source_document(), "items": results}));
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_by_their_type() {
        let item = json!({
            "sku": "A", "quantity": 3, "overdue": false, "next_attempt_at": null, "created_at": "2026-11-22T21:13:58Z",
            "policy": {"mode": "auto"}, "ids": ["x", 1], "total": {"amount": 5, "currency": "KRW"}, "note": "2026-11-22T21:13:58Z",
        });
        for (name, shown) in [
            ("sku", "A"),
            ("quantity", "3"),
            ("overdue", "false"),
            ("next_attempt_at", "-"),
            ("policy.mode", "auto"),
            ("ids", "x, 1"),
            ("total", "5 KRW"),
            ("note", "2026-11-22T21:13:58Z"),
            ("nothing.there", "-"),
        ] {
            assert_eq!(text(&item, name), shown, "{name}");
        }
        assert!(text(&item, "created_at").starts_with("2026-11-2"), "{}", text(&item, "created_at"));
        assert!(!text(&item, "created_at").contains('Z'), "local, not UTC");
    }
}
