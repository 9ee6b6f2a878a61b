//! The hand-written schema is the database's, and migrating back leaves nothing.

use std::collections::BTreeMap;

use crate::world::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
const DOWN: &str = include_str!("../../migrations/0002-01-01-000000_production/down.sql");
const UP: &str = include_str!("../../migrations/0002-01-01-000000_production/up.sql");
/// Tables that `shared` brings, and diesel's own.
const OTHERS: [&str; 5] = ["outbox", "message_retries", "idempotency_keys", "audit_log", "__diesel_schema_migrations"];

type Tables = BTreeMap<String, Vec<(String, String)>>;

/// Tables with columns and types as `schema.rs` has them.
fn written() -> Tables {
    let mut tables = Tables::new();
    let mut current = String::new();
    for line in SCHEMA.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            name.clone_into(&mut current);
        } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            tables.entry(current.clone()).or_default().push((column.to_owned(), kind.to_owned()));
        }
    }
    tables
}

fn diesel_type(udt: &str, nullable: bool) -> String {
    let kind = match udt {
        "text" => "Text",
        "int4" => "Integer",
        "int8" => "BigInt",
        "float8" => "Double",
        "bool" => "Bool",
        "uuid" => "Uuid",
        "bytea" => "Binary",
        "timestamptz" => "Timestamptz",
        "_int8" => "Array<BigInt>",
        "_text" => "Array<Text>",
        other => panic!("what is {other}?"),
    };
    if nullable { format!("Nullable<{kind}>") } else { kind.to_owned() }
}

async fn real(world: &World) -> Tables {
    let query = "SELECT table_name::text, column_name::text, udt_name::text, is_nullable = 'YES' \
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
    let mut tables = Tables::new();
    for row in world.sql().await.query(query, &[]).await.unwrap() {
        let (table, column, udt, nullable): (String, String, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if !OTHERS.contains(&table.as_str()) {
            tables.entry(table).or_default().push((column, diesel_type(&udt, nullable)));
        }
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_code_is_the_databases_and_down_undoes_up() {
    let world = World::new("1").await;
    let written = written();
    assert_eq!(written.len(), 5, "{written:?}");
    assert_eq!(real(&world).await, written);
    let sql = world.sql().await;
    sql.batch_execute(DOWN).await.unwrap();
    assert!(real(&world).await.is_empty());
    sql.batch_execute(UP).await.unwrap();
    assert_eq!(real(&world).await, written);
}
