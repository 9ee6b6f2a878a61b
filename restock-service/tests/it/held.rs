//! Something holds what one callback needs, or a connection hangs: other callbacks go on.

use futures::future::join_all;
use jaego_contracts::ids::RequestId;
use jaego_contracts::production;
use jaego_contracts::trace::TraceContext;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::wait_until;
use tokio_postgres::Client;

use crate::consumers::requested;
use crate::harness::{FACTORY, SKU, SOON, Service, claims, part};
use crate::outage::wait_for_waiting;

async fn hold(service: &Service, request: RequestId) -> Client {
    let holder = service.world.as_admin().await;
    let lock = format!("BEGIN; SELECT FROM production_requests WHERE id = '{request}' FOR UPDATE");
    holder.batch_execute(&lock).await.unwrap();
    holder
}

/// Waits until one of the service's statements waits for a lock; returns the process that executes it.
async fn blocked(service: &Service) -> i32 {
    let blocked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'restock-service' \
                   AND datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("a statement that waits for a lock", SOON, async || {
        service.world.database.query(blocked, &[]).await.unwrap().first().map(|row| row.get(0))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_another_process_is_about_to_insert_holds_only_its_own_callbacks() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let held = RequestId::generate();
    let holder = world.as_admin().await;
    let insert = format!(
        "BEGIN; INSERT INTO production_requests (id, sku, factory_id, quantity) VALUES ('{held}', '{SKU}', '{FACTORY}', 10)"
    );
    holder.batch_execute(&insert).await.unwrap();
    let own = service.begin_call(&world.sign(&claims(held, 10)), &part("a", 10));
    blocked(&service).await;
    for other in join_all((0..10).map(|_| service.begin_call(&world.token(5), &part("a", 5)))).await {
        assert_eq!(other.unwrap().received(), ("received", 5));
    }
    assert!(!own.is_finished());
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(own.await.unwrap().received(), ("received", 10));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callbacks_of_a_held_request_do_not_hold_those_of_another_one_that_is_free_again() {
    let service = Service::start(&[("INTAKE__QUEUE_MAX", "5")]).await;
    let world = &service.world;
    let (first, second) = (RequestId::generate(), RequestId::generate());
    let (first_token, second_token) = (world.sign(&claims(first, 100)), world.sign(&claims(second, 100)));
    for token in [&first_token, &second_token] {
        assert_eq!(service.call(token, &part("a", 10)).await.received(), ("received", 10));
    }
    let long = hold(&service, first).await;
    let stuck: Vec<_> = (0..10).map(|n| service.begin_call(&first_token, &part(&format!("p{n}"), 1))).collect();
    wait_for_waiting(&service, 10).await;
    let short = hold(&service, second).await;
    let other = service.begin_call(&second_token, &part("b", 10));
    assert_eq!(service.call(&world.token(10), &part("a", 10)).await.received(), ("received", 10));
    short.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(other.await.unwrap().received(), ("received", 10));
    assert!(stuck.iter().all(|call| !call.is_finished()));
    long.batch_execute("ROLLBACK").await.unwrap();
    for call in stuck {
        assert_eq!(call.await.unwrap().received(), ("received", 1));
    }
    service.stop().await;
}

/// More than the worker, the queues and the held callbacks had room for together when they were bounded by 1,000.
const MANY: usize = 1_100;
/// A small queue, and senders that wait longer than a busy machine needs.
const SMALL: [(&str, &str); 2] = [("INTAKE__QUEUE_MAX", "20"), ("CALLBACK__HOLD_MS", "120000")];

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_with_more_callbacks_than_fit_holds_only_its_own() {
    let service = Service::start(&SMALL).await;
    let world = &service.world;
    let (held, brief) = (RequestId::generate(), RequestId::generate());
    let (held_token, brief_token) = (world.sign(&claims(held, 10_000)), world.sign(&claims(brief, 100)));
    for token in [&held_token, &brief_token] {
        assert_eq!(service.call(token, &part("a", 10)).await.received(), ("received", 10));
    }
    let (long, short) = (hold(&service, held).await, hold(&service, brief).await);
    let mut stuck = Vec::new();
    while stuck.len() < MANY {
        // If all came at once, a busy machine would not read some of the requests before their time is over (408).
        let more = stuck.len()..stuck.len() + 50;
        stuck.extend(more.map(|n| service.begin_call(&held_token, &part(&format!("p{n}"), 1))));
        wait_for_waiting(&service, stuck.len()).await;
    }
    assert_eq!(service.call(&world.token(10), &part("a", 10)).await.received(), ("received", 10));
    let other = service.begin_call(&brief_token, &part("b", 10));
    short.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(other.await.unwrap().received(), ("received", 10));

    long.batch_execute("ROLLBACK").await.unwrap();
    for answer in join_all(stuck).await {
        assert_eq!(answer.unwrap().received(), ("received", 1));
    }
    let received = i64::try_from(MANY).unwrap() + 10;
    let booked = format!("SELECT received FROM production_requests WHERE id = '{held}'");
    assert_eq!(world.count(&booked).await, received);
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, received + 10 + 20);
    assert_eq!((service.outcomes("received").await, service.outcomes("lost").await), (MANY as u64 + 4, 0));
    assert!(service.metric("jaego_callbacks_waiting").await < 0.5, "none is left");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs_holds_callbacks_only_until_it_is_given_up() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let gate = world.as_admin().await;
    gate.batch_execute("BEGIN; LOCK TABLE receipts IN EXCLUSIVE MODE").await.unwrap();
    let first = service.begin_call(&world.token(10), &part("a", 10));
    let hanging = Pid::from_raw(blocked(&service).await);
    kill(hanging, Signal::SIGSTOP).unwrap();
    gate.batch_execute("ROLLBACK").await.unwrap();
    let others = join_all((0..5).map(|_| service.begin_call(&world.token(10), &part("a", 10)))).await;
    kill(hanging, Signal::SIGCONT).unwrap();
    for other in others {
        assert_eq!(other.unwrap().received(), ("received", 10));
    }
    first.await.unwrap();
    world.wait_for_count("SELECT sum(quantity)::int8 FROM receipts", 60).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_about_a_held_request_delay_no_other_message() {
    let service =
        Service::start(&[("DATABASE__LOCK_TIMEOUT_MS", "600000"), ("DATABASE__STATEMENT_TIMEOUT_MS", "600000")]).await;
    let world = &service.world;
    let (held, free) = (RequestId::generate(), RequestId::generate());
    let publish = async |id| world.publish(&production::REQUESTED, TraceContext::new_root(), &requested(id, 10)).await;
    let known = |id| format!("SELECT count(*) FROM production_requests WHERE id = '{id}'");
    publish(held).await;
    world.wait_for_count(&known(held), 1).await;
    let holder = hold(&service, held).await;
    for _ in 0..100 {
        publish(held).await;
    }
    publish(free).await;
    world.wait_for_count(&known(free), 1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    world.wait_for_depth("restock.production-requests", 0).await;
    world.wait_for_count("SELECT count(*) FROM message_retries", 0).await;
    service.stop().await;
}
