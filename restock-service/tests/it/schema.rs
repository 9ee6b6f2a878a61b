//! The hand-written schema matches the database, and migrating back leaves nothing.

use crate::harness::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
const DOWN: [&str; 4] = [
    include_str!("../../migrations/0002-01-04-000000_callback_ids/down.sql"),
    include_str!("../../migrations/0002-01-03-000000_unreadable/down.sql"),
    include_str!("../../migrations/0002-01-02-000000_by_hand/down.sql"),
    include_str!("../../migrations/0002-01-01-000000_restock/down.sql"),
];
const UP: [&str; 4] = [
    include_str!("../../migrations/0002-01-01-000000_restock/up.sql"),
    include_str!("../../migrations/0002-01-02-000000_by_hand/up.sql"),
    include_str!("../../migrations/0002-01-03-000000_unreadable/up.sql"),
    include_str!("../../migrations/0002-01-04-000000_callback_ids/up.sql"),
];

async fn differences(world: &World) -> Vec<String> {
    testkit::tidy::schema_differences(&world.own.database.admin_url, SCHEMA).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_code_is_the_databases_and_down_undoes_up() {
    let world = World::new().await;
    assert!(differences(&world).await.is_empty(), "{:#?}", differences(&world).await);
    let columns = SCHEMA.matches(" -> ").count();
    // Step by step: reverting the newest migration leaves exactly what the previous one made.
    world.database.batch_execute(DOWN[0]).await.unwrap();
    let differences_of_newest = differences(&world).await;
    assert_eq!(differences_of_newest.len(), 1, "its column: {differences_of_newest:#?}");
    world.database.batch_execute(UP[3]).await.unwrap();
    assert!(differences(&world).await.is_empty());
    world.database.batch_execute(&DOWN.concat()).await.unwrap();
    assert_eq!(differences(&world).await.len(), columns, "every column is gone, and nothing else is there");
    world.database.batch_execute(&UP.concat()).await.unwrap();
    assert!(differences(&world).await.is_empty());
}

// Control: least-rights-restock.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_taken_over_changes_neither_its_schema_nor_its_books() {
    World::new().await.may_only_do_its_work(&["audit_log", "deliveries", "receipts"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_keep_the_work_of_operators() {
    let world = World::new().await;
    let rows = "INSERT INTO production_requests (id, sku, factory_id, quantity, received) \
                VALUES ('01938a3c-7d1e-7c4b-9a52-0f6d2a1b3c4d', 'S', 'F', 5, 5); \
                INSERT INTO receipts (id, request_id, sku, quantity, factory_id, received_at, traceparent, actor, reason) \
                SELECT id, id, sku, quantity, factory_id, now(), '', 'kim', 'lost' FROM production_requests";
    world.database.batch_execute(rows).await.unwrap();
    let unreadable = "INSERT INTO quarantine (id, status, reason, request_id, jti, fingerprint, sku, factory_id, body, \
                      body_bytes, traceparent, created_at) SELECT id, 'waiting', 'unreadable-body', id, 'J', '', sku, \
                      factory_id, '', '\\xff', '', now() FROM production_requests";
    world.database.batch_execute(unreadable).await.unwrap();
    world.database.batch_execute(DOWN[0]).await.unwrap();
    let refused = world.database.batch_execute(DOWN[1]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().starts_with("unreadable bodies are"), "{refused:?}");
    assert_eq!(differences(&world).await.len(), 1);
    world.database.batch_execute("DELETE FROM quarantine").await.unwrap();
    world.database.batch_execute(DOWN[1]).await.unwrap();
    let refused = world.database.batch_execute(DOWN[2]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().starts_with("operators have booked"), "{refused:?}");
}
