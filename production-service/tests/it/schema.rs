//! The hand-written schema is the database's, and migrating back leaves nothing.

use crate::world::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
const DOWN: [&str; 3] = [
    include_str!("../../migrations/0002-01-03-000000_lead_time/down.sql"),
    include_str!("../../migrations/0002-01-02-000000_receipt_sku/down.sql"),
    include_str!("../../migrations/0002-01-01-000000_production/down.sql"),
];
const UP: [&str; 3] = [
    include_str!("../../migrations/0002-01-01-000000_production/up.sql"),
    include_str!("../../migrations/0002-01-02-000000_receipt_sku/up.sql"),
    include_str!("../../migrations/0002-01-03-000000_lead_time/up.sql"),
];

async fn differences(world: &World) -> Vec<String> {
    testkit::tidy::schema_differences(&world.own.database.admin_url, SCHEMA).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_code_is_the_databases_and_down_undoes_up() {
    let world = World::new("1").await;
    assert!(differences(&world).await.is_empty(), "{:#?}", differences(&world).await);
    let columns = SCHEMA.matches(" -> ").count();
    let sql = world.sql().await;
    // Step by step: the newest leaves exactly what the one before it made.
    sql.batch_execute(DOWN[0]).await.unwrap();
    assert_eq!(differences(&world).await.len(), 7, "the columns of the lead time");
    sql.batch_execute(DOWN[1]).await.unwrap();
    assert_eq!(differences(&world).await.len(), 8, "and the receipts' product");
    sql.batch_execute(&UP[1..].concat()).await.unwrap();
    assert!(differences(&world).await.is_empty());
    sql.batch_execute(&DOWN.concat()).await.unwrap();
    assert_eq!(differences(&world).await.len(), columns, "every column is gone, and nothing else is there");
    sql.batch_execute(&UP.concat()).await.unwrap();
    assert!(differences(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_of_another_product_are_not_migrated_into_what_was_asked_for() {
    let world = World::new("1").await;
    let rows = "INSERT INTO production_requests \
                (id, sku, factory_id, quantity, status, reason, traceparent, event_id, event, requested_at) \
                VALUES (gen_random_uuid(), 'S', 'F', 5, 'accepted', '', '', '', '', now()); \
                INSERT INTO receipts (id, request_id, sku, quantity, received_at) \
                SELECT id, id, 'T', quantity, now() FROM production_requests";
    let sql = world.sql().await;
    sql.batch_execute(rows).await.unwrap();
    let refused = sql.batch_execute(DOWN[1]).await.unwrap_err();
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
    let sql = world.sql().await;
    sql.batch_execute(rows).await.unwrap();
    sql.batch_execute(&[DOWN[0], UP[2]].concat()).await.unwrap();
    let seconds = "SELECT accepted_by, extract(epoch FROM received_at - accepted_at)::bigint \
        FROM production_requests ORDER BY quantity";
    let found: Vec<(String, Option<i64>)> =
        sql.query(seconds, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [("F".to_owned(), Some(40)), ("F".to_owned(), None)]);
}
