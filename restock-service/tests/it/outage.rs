//! The store is away, or something holds what it needs: no goods are lost.

use futures::future::join_all;
use serde_json::json;
use testkit::wait_until;
use tokio_postgres::Client;

use crate::harness::{SOON, Service, World, connect, part};

/// The administrator, who decides whether the service's database takes connections.
async fn administrator(world: &World) -> Client {
    connect(&world.service.database.admin_url).await
}

/// Ends the service's connections, and lets it make no new ones until [`open`].
async fn shut(admin: &Client, database: &str) {
    admin.batch_execute(&format!("ALTER ROLE {database} NOLOGIN")).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restock-service' \
               AND usename = $1";
    admin.query(end, &[&database]).await.unwrap();
}

async fn open(admin: &Client, database: &str) {
    admin.batch_execute(&format!("ALTER ROLE {database} LOGIN")).await.unwrap();
}

async fn role(world: &World) -> String {
    world.sql.query_one("SELECT current_user::text", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_come_while_the_database_is_away_are_booked_when_it_is_back() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    assert_eq!(service.call(&world.token(5), &part("a", 5)).await.received(), ("received", 5));
    let (admin, role) = (administrator(world).await, role(world).await);
    shut(&admin, &role).await;
    let calls: Vec<_> = (0..40).map(|_| service.begin_call(&world.token(10), &json!({"OrderStockCnt": 10}))).collect();
    // One of them has found out that the database is away.
    wait_until("a callback that waits", SOON, async || {
        let seen = service.metric("jaego_callback_batch_size_count").await;
        if seen >= 2.0 { Ok(()) } else { Err(seen) }
    })
    .await;
    assert!(calls.iter().all(|call| !call.is_finished()), "nobody is turned away");
    open(&admin, &role).await;
    for call in join_all(calls).await {
        assert_eq!(call.unwrap().received(), ("received", 10));
    }
    assert_eq!(world.number("SELECT sum(quantity)::int8 FROM receipts").await, 405);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_whose_request_is_held_for_long_waits_until_it_is_free() {
    let service = Service::start(&[("DATABASE__STATEMENT_TIMEOUT_MS", "200")]).await;
    let world = &service.world;
    let token = world.token(100);
    assert_eq!(service.call(&token, &part("a", 40)).await.received(), ("received", 40));
    let holder = connect(&world.service.database.url).await;
    holder.batch_execute("BEGIN; SELECT * FROM production_requests FOR UPDATE").await.unwrap();
    let begun = service.begin_call(&token, &part("b", 60));
    // It has been tried, and given up, more than once.
    wait_until("a second try", SOON, async || {
        let gave_up = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'restock-service' \
                       AND wait_event_type = 'Lock' AND query_start > now() - interval '1 second'";
        (world.number(gave_up).await > 0).then_some(())
    })
    .await;
    assert_eq!(service.call(&world.token(5), &part("a", 5)).await.received(), ("received", 5), "others go on");
    assert!(!begun.is_finished());
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(begun.await.unwrap().received(), ("received", 60));
    service.stop().await;
}
