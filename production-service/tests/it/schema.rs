//! The hand-written schema is the database's, and migrating back leaves nothing.

use crate::world::World;

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
const DOWN: &str = include_str!("../../migrations/0002-01-01-000000_production/down.sql");
const UP: &str = include_str!("../../migrations/0002-01-01-000000_production/up.sql");

async fn differences(world: &World) -> Vec<String> {
    testkit::tidy::schema_differences(&world.own.database.admin_url, SCHEMA).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_in_code_is_the_databases_and_down_undoes_up() {
    let world = World::new("1").await;
    assert!(differences(&world).await.is_empty(), "{:#?}", differences(&world).await);
    let columns = SCHEMA.matches(" -> ").count();
    let sql = world.sql().await;
    sql.batch_execute(DOWN).await.unwrap();
    assert_eq!(differences(&world).await.len(), columns, "every column is gone, and nothing else is there");
    sql.batch_execute(UP).await.unwrap();
    assert!(differences(&world).await.is_empty());
}
