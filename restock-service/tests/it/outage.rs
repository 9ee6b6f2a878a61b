//! The store is unavailable, or something holds what a callback needs: no goods are lost.

use std::time::Duration;

use futures::future::join_all;
use jaego_contracts::ids::RequestId;
use jaego_pg::migrate;
use jaego_settings::Settings as _;
use restock_service::app::IDENTITY;
use serde_json::json;
use testkit::provision::create_database;
use testkit::servers::{PostgresOptions, PostgresServer, find_postgres};
use testkit::wait_until;
use tokio_postgres::Client;

use crate::harness::{Answer, SOON, Service, World, claims, connect, part};

/// The administrator, who controls whether the service's database accepts connections.
async fn administrator(world: &World) -> Client {
    connect(&world.service.database.admin_url).await
}

/// Ends the service's connections, and prevents new ones until [`open`].
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
    // One of them has found the database unavailable.
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
    // It has been tried and given up more than once.
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

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_find_no_room_are_in_the_quarantine_when_the_database_is_back() {
    let narrow = [("INTAKE__QUEUE_MAX", "1"), ("INTAKE__BATCH_MAX", "1"), ("CALLBACK__HOLD_MS", "500")];
    let service = Service::start(&narrow).await;
    let world = &service.world;
    let (admin, role) = (administrator(world).await, role(world).await);
    shut(&admin, &role).await;
    let tokens: Vec<String> = (0..6).map(|_| world.token(10)).collect();
    let delivery = part("a", 10);
    let answers = join_all(tokens.iter().map(|token| service.call(token, &delivery))).await;
    assert!(answers.iter().all(|answer| answer.status == 503), "{answers:?}");
    let is_lost = |answer: &Answer| answer.problem() == "overloaded";
    let lost: Vec<&String> =
        tokens.iter().zip(&answers).filter(|(_, answer)| is_lost(answer)).map(|(token, _)| token).collect();
    assert!(!lost.is_empty() && lost.len() < 6, "one in the worker's hands, one in the queue: {answers:?}");
    assert_eq!(service.outcomes("lost").await, lost.len() as u64);

    open(&admin, &role).await;
    let kept = "SELECT count(*) FROM quarantine WHERE reason = 'lost' AND status = 'waiting' AND quantity = 10";
    world.wait_for_number(kept, i64::try_from(lost.len()).unwrap()).await;
    let booked = 10 * i64::try_from(6 - lost.len()).unwrap();
    world.wait_for_number("SELECT coalesce(sum(quantity), 0)::int8 FROM receipts", booked).await;
    // A repetition is known to an operator already; another part of the same request is taken.
    assert_eq!(service.call(lost[0], &part("a", 10)).await.quarantined(), "lost");
    world.wait_for_number("SELECT max(times_received) FROM quarantine", 2).await;
    assert_eq!(world.number("SELECT sum(quantity)::int8 FROM receipts").await, booked);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_callback_whose_request_is_held_keeps_no_other_out_of_the_quarantine_and_bodies_are_kept() {
    let narrow = [("INTAKE__QUEUE_MAX", "1"), ("INTAKE__BATCH_MAX", "1"), ("CALLBACK__HOLD_MS", "5000")];
    let service = Service::start(&narrow).await;
    let world = &service.world;
    let known = RequestId::generate();
    let token = world.sign(&claims(known, 100));
    assert_eq!(service.call(&token, &part("a", 10)).await.received(), ("received", 10));
    let holder = connect(&world.service.database.url).await;
    let lock = format!("BEGIN; SELECT FROM production_requests WHERE id = '{known}' FOR UPDATE");
    holder.batch_execute(&lock).await.unwrap();
    let (admin, role) = (administrator(world).await, role(world).await);
    shut(&admin, &role).await;
    // Those that fill the worker and the queue, and the lost ones: of the held request, and of others.
    let mut calls: Vec<_> = (0..2).map(|_| service.begin_call(&world.token(10), &part("f", 10))).collect();
    wait_until("a full queue", SOON, async || {
        let seen = service.metric("jaego_callbacks_waiting").await;
        if seen >= 1.0 { Ok(()) } else { Err(seen) }
    })
    .await;
    calls.push(service.begin_call(&token, &part("b", 10)));
    calls.extend((0..5).map(|_| service.begin_call(&world.token(10), &part("x", 10))));
    let unreadable = world.token(10);
    let lost = service.call_with(&unreadable, &[], "count=10&product=CP-502101").await;
    assert_eq!((lost.status, lost.problem()), (503, "overloaded"));
    for call in join_all(calls).await {
        assert_eq!(call.unwrap().status, 503);
    }

    open(&admin, &role).await;
    world.wait_for_number("SELECT count(*) FROM quarantine WHERE reason = 'lost' AND body <> ''", 5).await;
    world.wait_for_number("SELECT count(*) FROM quarantine WHERE body_bytes IS NOT NULL", 1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    world.wait_for_number("SELECT count(*) FROM quarantine WHERE reason = 'lost'", 6).await;
    service.stop().await;
}

/// Number of callbacks, sent one every 100 ms; PostgreSQL is stopped after some, and started after some more.
const CALLS: usize = 80;
const STOPPED_AFTER: usize = 20;
const STARTED_AFTER: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn no_goods_are_lost_when_postgresql_is_stopped_and_started_under_load() {
    let (folder, binaries, options) =
        (tempfile::tempdir().unwrap(), find_postgres().unwrap(), PostgresOptions::default());
    let mut server = Some(PostgresServer::start(&binaries, folder.path(), &options).await.unwrap());
    let admin_url = server.as_ref().unwrap().admin_url();
    let url = create_database(&admin_url, "restock", "restock", "a-secret").await.unwrap();
    let (world, plain_url) = (World::new().await, format!("{url}?sslmode=disable"));
    let changed = [("DATABASE__URL", plain_url.as_str())];
    migrate(&world.settings(&changed).common().database, (IDENTITY.migrations)()).await.unwrap();
    let service = world.start(&changed).await;
    let world = &service.world;
    assert_eq!(service.call(&world.token(10), &part("first", 10)).await.received(), ("received", 10));

    let mut clock = tokio::time::interval(Duration::from_millis(100));
    let (mut calls, mut stopping, mut starting) = (Vec::new(), None, None);
    for number in 0..CALLS {
        clock.tick().await;
        calls.push(service.begin_call(&world.token(10), &part(&format!("part-{number}"), 10)));
        if number == STOPPED_AFTER {
            stopping = Some(tokio::spawn(server.take().unwrap().stop()));
        }
        if number == STARTED_AFTER {
            stopping.take().unwrap().await.unwrap().unwrap();
            let (binaries, dir) = (binaries.clone(), folder.path().to_owned());
            starting =
                Some(tokio::spawn(
                    async move { PostgresServer::start(&binaries, &dir, &PostgresOptions::default()).await },
                ));
        }
    }
    let server = starting.unwrap().await.unwrap().unwrap();
    // Each was held until it was booked, or answered 503 and booked later.
    for call in join_all(calls).await {
        let answer = call.unwrap();
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    let sql = connect(&url).await;
    let expected = 10 + 10 * i64::try_from(CALLS).unwrap();
    wait_until("all goods to be booked", SOON, async || {
        let row = sql.query_one("SELECT sum(quantity)::int8 FROM receipts", &[]).await.unwrap();
        let booked: i64 = row.get(0);
        if booked == expected { Ok(()) } else { Err(booked) }
    })
    .await;
    service.stop().await;
    server.stop().await.unwrap();
}
