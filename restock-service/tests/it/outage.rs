//! The store is unavailable, or something holds what a callback needs: no goods are lost.

use std::time::Duration;

use futures::future::join_all;
use jaego_contracts::ids::RequestId;
use jaego_pg::migrate;
use restock_service::app::IDENTITY;
use serde_json::{Value, json};
use testkit::provision::{create_database, without_tls};
use testkit::servers::{PostgresOptions, PostgresServer, find_postgres};
use testkit::wait_until;
use tokio_postgres::Client;

use crate::harness::{Answer, FACTORY, SKU, SOON, Service, World, claims, part};

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

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_come_while_the_database_is_away_are_booked_when_it_is_back() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    assert_eq!(service.call(&world.token(5), &part("a", 5)).await.received(), ("received", 5));
    let (admin, role) = (world.as_admin().await, world.own.database.name.clone());
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
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 405);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_waits_until_its_request_is_unlocked() {
    let service = Service::start(&[("DATABASE__STATEMENT_TIMEOUT_MS", "200")]).await;
    let world = &service.world;
    let token = world.token(100);
    assert_eq!(service.call(&token, &part("a", 40)).await.received(), ("received", 40));
    let holder = world.as_admin().await;
    holder.batch_execute("BEGIN; SELECT * FROM production_requests FOR UPDATE").await.unwrap();
    let begun = service.begin_call(&token, &part("b", 60));
    // It has been tried and given up more than once.
    wait_until("a second try", SOON, async || {
        let tries = service.metric("jaego_callback_batch_size_count").await;
        if tries >= 3.0 { Ok(()) } else { Err(tries) }
    })
    .await;
    assert_eq!(service.call(&world.token(5), &part("a", 5)).await.received(), ("received", 5), "others go on");
    assert!(!begun.is_finished());
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(begun.await.unwrap().received(), ("received", 60));
    service.stop().await;
}

/// Room for one callback in the worker's hands and for one in the queue.
const NARROW: [(&str, &str); 3] =
    [("INTAKE__QUEUE_MAX", "1"), ("INTAKE__BATCH_MAX", "1"), ("CALLBACK__HOLD_MS", "500")];

pub(crate) async fn wait_for_waiting(service: &Service, number: usize) {
    wait_until("callbacks in memory", SOON, async || {
        let seen = service.metric("jaego_callbacks_waiting").await;
        if seen.to_string() == number.to_string() { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Shuts the database, and leaves no room in the queue.
async fn shut_and_fill(service: &Service, admin: &Client, role: &str) {
    shut(admin, role).await;
    let world = &service.world;
    let batches = "jaego_callback_batch_size_count";
    let before = service.metric(batches).await;
    let in_hand = service.begin_call(&world.token(1), &part("filler", 1));
    wait_until("a batch that fails", SOON, async || (service.metric(batches).await > before).then_some(())).await;
    assert_eq!(service.call(&world.token(1), &part("filler", 1)).await.problem(), "unavailable", "there is one place");
    assert_eq!(in_hand.await.unwrap().problem(), "unavailable");
}

/// Calls until the answer is not 503: a busy machine may need longer than a callback is held.
async fn call(service: &Service, token: &str, body: &Value) -> Answer {
    wait_until("an answer", SOON, async || match service.call(token, body).await {
        answer if answer.status == 503 => Err(answer),
        answer => Ok(answer),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_find_no_room_are_booked_when_the_database_is_back() {
    let service = Service::start(&NARROW).await;
    let world = &service.world;
    let (admin, role) = (world.as_admin().await, world.own.database.name.clone());
    shut(&admin, &role).await;
    let tokens: Vec<String> = (0..6).map(|_| world.token(10)).collect();
    let delivery = part("a", 10);
    let answers = join_all(tokens.iter().map(|token| service.call(token, &delivery))).await;
    assert!(answers.iter().all(|answer| answer.status == 503), "{answers:?}");
    let overloaded = answers.iter().filter(|answer| answer.problem() == "overloaded").count();
    assert!((1..6).contains(&overloaded), "one in the worker's hands, one in the queue: {answers:?}");
    wait_for_waiting(&service, 6).await;

    open(&admin, &role).await;
    world.wait_for_count("SELECT coalesce(sum(quantity), 0)::int8 FROM receipts", 60).await;
    wait_for_waiting(&service, 0).await;
    assert_eq!(world.rows().await, [6, 6, 0]);
    assert_eq!((service.outcomes("received").await, service.outcomes("lost").await), (6, 0));
    for token in &tokens {
        assert_eq!(call(&service, token, &delivery).await.received(), ("duplicate", 10));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_found_no_room_are_decided_like_any_other() {
    let service = Service::start(&NARROW).await;
    let world = &service.world;
    let (admin, role) = (world.as_admin().await, world.own.database.name.clone());
    shut_and_fill(&service, &admin, &role).await;
    let mut late = claims(RequestId::generate(), 10);
    late.exp = (chrono::Utc::now() - chrono::Duration::seconds(1)).timestamp();
    let (named, nameless, late, unreadable) = (world.token(100), world.token(100), world.sign(&late), world.token(10));
    let calls = [
        (&named, part("a", 10).to_string()),
        (&named, part("a", 10).to_string()),
        (&nameless, json!({"OrderStockCnt": 10}).to_string()),
        (&nameless, json!({"OrderStockCnt": 10}).to_string()),
        (&late, part("a", 10).to_string()),
        (&unreadable, "count=10&product=CP-502101".to_owned()),
    ];
    for (token, body) in &calls {
        let answer = service.call_with(token, &[], body.clone()).await;
        assert_eq!(answer.refusal(), (503, "overloaded"));
    }
    wait_for_waiting(&service, 2 + calls.len()).await;
    open(&admin, &role).await;
    wait_for_waiting(&service, 0).await;
    // A name identifies a repetition; without one it may be another part.
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts WHERE delivery_id = 'a'").await, 10);
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts WHERE delivery_id IS NULL").await, 10);
    let reasons = "SELECT string_agg(reason, ' ' ORDER BY reason) FROM quarantine";
    let reasons: String = world.database.query_one(reasons, &[]).await.unwrap().get(0);
    assert_eq!(reasons, "ambiguous-delivery expired unreadable-body");
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE body <> ''").await, 5);
    assert_eq!(world.count("SELECT count(*) FROM quarantine WHERE length(body_bytes) > 20").await, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_found_no_room_and_that_the_store_refuses_for_good_wait_for_an_operator() {
    let service = Service::start(&NARROW).await;
    let world = &service.world;
    let (admin, role) = (world.as_admin().await, world.own.database.name.clone());
    let failing = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN RAISE EXCEPTION 'no receipts'; END $$; \
                   CREATE TRIGGER refuse BEFORE INSERT ON receipts FOR EACH ROW EXECUTE FUNCTION refuse()";
    world.database.batch_execute(failing).await.unwrap();
    shut_and_fill(&service, &admin, &role).await;
    let token = world.token(10);
    assert_eq!(service.call(&token, &part("a", 10)).await.problem(), "overloaded");
    open(&admin, &role).await;
    world.wait_for_count("SELECT count(*) FROM quarantine WHERE reason = 'lost' AND status = 'waiting'", 3).await;
    wait_for_waiting(&service, 0).await;
    assert_eq!(service.outcomes("lost").await, 3);
    // A repetition is known to an operator already.
    assert_eq!(call(&service, &token, &part("a", 10)).await.quarantined(), "lost");
    assert!(world.count("SELECT max(times_received) FROM quarantine").await >= 2);
    assert_eq!(world.rows().await, [0, 3, 3]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_found_no_room_and_whose_request_is_held_keeps_no_other_waiting() {
    let service = Service::start(&NARROW).await;
    let world = &service.world;
    let known = RequestId::generate();
    let token = world.sign(&claims(known, 100));
    let request = format!(
        "INSERT INTO production_requests (id, sku, factory_id, quantity) VALUES ('{known}', '{SKU}', '{FACTORY}', 100)"
    );
    world.database.batch_execute(&request).await.unwrap();
    let holder = world.as_admin().await;
    let lock = format!("BEGIN; SELECT FROM production_requests WHERE id = '{known}' FOR UPDATE");
    holder.batch_execute(&lock).await.unwrap();
    let (admin, role) = (world.as_admin().await, world.own.database.name.clone());
    shut_and_fill(&service, &admin, &role).await;
    let mut calls = vec![service.begin_call(&token, &part("b", 10))];
    calls.extend((0..5).map(|_| service.begin_call(&world.token(10), &part("x", 10))));
    for call in join_all(calls).await {
        assert_eq!(call.unwrap().problem(), "overloaded");
    }

    open(&admin, &role).await;
    world.wait_for_count("SELECT count(*) FROM receipts WHERE delivery_id = 'x'", 5).await;
    wait_for_waiting(&service, 1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    world.wait_for_count("SELECT count(*) FROM receipts WHERE delivery_id = 'b'", 1).await;
    assert_eq!(world.count("SELECT received FROM production_requests WHERE quantity = 100").await, 10);
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
    let urls = create_database(&admin_url, "restock", "restock", "a-secret", "another").await.unwrap();
    let (world, plain_url) = (World::new().await, without_tls(&urls.url));
    let changed = [("DATABASE__URL", plain_url.as_str())];
    migrate(&urls.migrator(), (IDENTITY.migrations)()).await.unwrap();
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
        assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
    }
    let sql = testkit::harness::connect(&urls.url).await;
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
