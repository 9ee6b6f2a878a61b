//! The hand-written schema matches the database, and migrating back leaves nothing.

use crate::harness::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
const DOWN: [&str; 2] = [
    include_str!("../../migrations/0002-01-02-000000_people/down.sql"),
    include_str!("../../migrations/0002-01-01-000000_access/down.sql"),
];
const UP: [&str; 2] = [
    include_str!("../../migrations/0002-01-01-000000_access/up.sql"),
    include_str!("../../migrations/0002-01-02-000000_people/up.sql"),
];

async fn differences(world: &World) -> Vec<String> {
    testkit::tidy::schema_differences(&world.own.database.admin_url, SCHEMA).await
}

// Control: least-rights-access.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_taken_over_changes_neither_its_schema_nor_its_books() {
    World::new().await.may_only_do_its_work(&["audit_log"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_code_is_the_databases_and_down_undoes_up() {
    let world = World::new().await;
    assert!(differences(&world).await.is_empty(), "{:#?}", differences(&world).await);
    let columns = SCHEMA.matches(" -> ").count();
    world.database.batch_execute(&DOWN.concat()).await.unwrap();
    assert_eq!(differences(&world).await.len(), columns, "every column is gone, and nothing else is there");
    world.database.batch_execute(&UP.concat()).await.unwrap();
    assert!(differences(&world).await.is_empty());
}
