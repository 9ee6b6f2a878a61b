//! The hand-written schema is the database's, and migrating back leaves nothing.

use crate::world::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
const DOWN: [&str; 2] = [
    include_str!("../../migrations/0002-01-02-000000_receipt_sku/down.sql"),
    include_str!("../../migrations/0002-01-01-000000_production/down.sql"),
];
const UP: [&str; 2] = [
    include_str!("../../migrations/0002-01-01-000000_production/up.sql"),
    include_str!("../../migrations/0002-01-02-000000_receipt_sku/up.sql"),
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
    assert_eq!(differences(&world).await, ["receipts.sku Nullable<Text> is only in the code"]);
    sql.batch_execute(UP[1]).await.unwrap();
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
    let refused = sql.batch_execute(DOWN[0]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().starts_with("goods of another product"), "{refused:?}");
    assert!(differences(&world).await.is_empty());
}
