//! The hand-written schema matches the database, and migrating down leaves nothing behind.

use crate::harness::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
struct Migration {
    up: &'static str,
    down: &'static str,
    /// Number of columns that the migration adds.
    columns: usize,
}

macro_rules! migration {
    ($name:literal, $columns:literal) => {
        Migration {
            up: include_str!(concat!("../../migrations/", $name, "/up.sql")),
            down: include_str!(concat!("../../migrations/", $name, "/down.sql")),
            columns: $columns,
        }
    };
}

const FIRST: Migration = migration!("0002-01-01-000000_production", 0);
const RECEIPT_SKU: Migration = migration!("0002-01-02-000000_receipt_sku", 1);
const LEAD_TIME: Migration = migration!("0002-01-03-000000_lead_time", 7);
/// Migrations after the first, in order.
const LATER: [Migration; 8] = [
    RECEIPT_SKU,
    LEAD_TIME,
    migration!("0002-01-04-000000_fallback", 2),
    migration!("0002-01-05-000000_breaker", 13),
    migration!("0002-01-06-000000_overdue", 1),
    migration!("0002-01-07-000000_partly_overdue", 0),
    migration!("0002-01-08-000000_outcome", 2),
    migration!("0002-01-09-000000_left_alone", 1),
];

async fn differences(world: &World) -> Vec<String> {
    testkit::tidy::schema_differences(&world.own.database.admin_url, SCHEMA).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_code_is_the_databases_and_down_undoes_up() {
    let world = World::new("1").await;
    assert!(differences(&world).await.is_empty(), "{:#?}", differences(&world).await);
    let columns = SCHEMA.matches(" -> ").count();
    let sql = world.as_admin().await;
    // Step by step: reverting the newest leaves exactly what the previous one created.
    let mut gone = 0;
    for migration in LATER.iter().rev() {
        sql.batch_execute(migration.down).await.unwrap();
        gone += migration.columns;
        assert_eq!(differences(&world).await.len(), gone, "{}", migration.down);
    }
    sql.batch_execute(FIRST.down).await.unwrap();
    assert_eq!(differences(&world).await.len(), columns, "every column is gone, and nothing else is there");
    sql.batch_execute(FIRST.up).await.unwrap();
    for migration in &LATER {
        sql.batch_execute(migration.up).await.unwrap();
    }
    assert!(differences(&world).await.is_empty());
}

// Control: least-rights-production.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_taken_over_changes_neither_its_schema_nor_its_books() {
    World::new("1").await.may_only_do_its_work(&["audit_log", "receipts"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_of_another_product_are_not_migrated_into_the_requested_one() {
    let world = World::new("1").await;
    let rows = "INSERT INTO production_requests \
                (id, sku, factory_id, quantity, status, reason, traceparent, event_id, event, requested_at) \
                VALUES (gen_random_uuid(), 'S', 'F', 5, 'accepted', '', '', '', '', now()); \
                INSERT INTO receipts (id, request_id, sku, quantity, received_at) \
                SELECT id, id, 'T', quantity, now() FROM production_requests";
    let sql = world.as_admin().await;
    sql.batch_execute(rows).await.unwrap();
    let refused = sql.batch_execute(RECEIPT_SKU.down).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().starts_with("goods of another product"), "{refused:?}");
    assert!(differences(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lead_times_of_the_release_before_are_found_again() {
    let world = World::new("1").await;
    let rows = "INSERT INTO production_requests \
                (id, sku, factory_id, quantity, received, status, reason, traceparent, event_id, event, requested_at) \
                VALUES (gen_random_uuid(), 'S', 'F', 5, 5, 'received', '', '', '', '', now()), \
                       (gen_random_uuid(), 'S', 'F', 6, 5, 'partly_received', '', '', '', '', now()); \
                INSERT INTO production_attempts (request_id, number, factory_id, jti, started_at, duration_ms, outcome, trace_id) \
                SELECT id, number, 'F', gen_random_uuid(), '2026-01-01T10:00:00Z', 9000 - 1000 * number, outcome, '' \
                FROM production_requests, (VALUES (1, 'accepted'), (2, 'accepted'), (3, 'retry')) AS call (number, outcome); \
                INSERT INTO receipts (id, request_id, sku, quantity, received_at) \
                SELECT gen_random_uuid(), id, came.sku, units, came.at::timestamptz FROM production_requests, \
                (VALUES ('S', 2, '2026-01-01T10:00:47Z'), (NULL, 3, '2026-01-01T10:00:37Z'), ('T', 9, '2026-01-02')) \
                AS came (sku, units, at)";
    let sql = world.as_admin().await;
    sql.batch_execute(rows).await.unwrap();
    sql.batch_execute(&[LEAD_TIME.down, LEAD_TIME.up].concat()).await.unwrap();
    let seconds = "SELECT accepted_by, extract(epoch FROM received_at - accepted_at)::bigint \
        FROM production_requests ORDER BY quantity";
    let found: Vec<(String, Option<i64>)> =
        sql.query(seconds, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [("F".to_owned(), Some(40)), ("F".to_owned(), None)]);
}
