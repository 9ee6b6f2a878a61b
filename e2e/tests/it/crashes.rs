//! kill -9 of each service in the middle of the main job: the job completes, and stock rises once.

use localstack::demo::FACTORY;
use localstack::stack::{Service, Want};
use serde_json::json;
use testkit::wait_until;

use e2e::{SOON, World, traceparent};

#[tokio::test(flavor = "multi_thread")]
async fn sales_service_dies_when_it_has_just_answered() {
    let mut world = World::shared(Vec::new()).await;
    world.sell_out().await;
    let fourth = world.order_one(&traceparent(4)).await;
    world.stack.kill9(Service::Sales).unwrap();
    assert_eq!(fourth.status, 409, "{}", fourth.body);

    world.stack.start_service(Service::Sales, &[], Want::Ready).await.unwrap();
    world.wait_on_hand(10).await;
    assert_eq!(world.factory_requests().await.len(), 1);
    world.assert_received_once(10).await;
    let sold: i64 = world.sql(Service::Sales, "SELECT count(*) FROM orders WHERE status = 'confirmed'").await;
    assert_eq!(sold, 3, "what was answered 201 is there");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_service_dies_while_the_factory_holds_the_request() {
    let lease = vec![(Service::Production, "DELIVERY__LEASE_MS", "3500".to_owned())];
    let mut world = World::shared(lease).await;
    let factory = json!({
        "name": "slow today",
        "base_url": world.stack.factory_url(),
        "lead_time_s": 40,
        "timeout_ms": 3000,
    });
    let path = format!("/api/v1/factories/{FACTORY}");
    world.api(Service::Production).put(&path, &factory).await.unwrap().ok("shorten the timeout").unwrap();
    // The factory answers only after the lease has expired, and makes the goods nevertheless.
    let slow = json!({ "delay_ms": 7000, "for_next": 1 });
    world.factory().put("/sim/faults", &slow).await.unwrap().ok("slow the factory down").unwrap();

    world.sell_out().await;
    wait_until("the request at the Factory", SOON, || async {
        (world.factory_requests().await.len() == 1).then_some(())
    })
    .await;
    world.stack.kill9(Service::Production).unwrap();
    world.stack.start_service(Service::Production, &[], Want::Ready).await.unwrap();

    world.wait_on_hand(10).await;
    let asked = world.factory_requests().await;
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0]["idempotency_key"], asked[1]["idempotency_key"]);
    assert_ne!(asked[0]["body"], asked[1]["body"], "each attempt has a callback token of its own");
    let request = world.wait_production_request("received").await;
    assert_eq!((&request["quantity"], &request["received"]), (&json!(10), &json!(10)));
    assert_eq!(world.wait_callback(0).await["status"], 200);
    // The factory makes both. The second delivery is quarantined for a person to decide.
    assert_eq!(world.wait_callback(1).await["status"], 202);
    world.assert_received_once(10).await;
    assert_eq!(world.on_hand().await, 10);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restock_service_dies_between_its_answer_and_its_event() {
    let mut world = World::shared(Vec::new()).await;
    // Nothing listens on port 1, so the broker is unreachable and the event stays in the outbox.
    world.stack.stop_service(Service::Restock).await.unwrap();
    let no_broker = [("AMQP__URL", "amqp://restock:nobody@127.0.0.1:1/jaego".to_owned())];
    world.stack.start_service(Service::Restock, &no_broker, Want::ReadyOrDegraded).await.unwrap();

    world.sell_out().await;
    let callback = world.wait_callback(0).await;
    assert_eq!(callback["status"], 200, "a broker outage refuses no callback: {callback}");
    let waiting: i64 = world.sql(Service::Restock, "SELECT count(*) FROM outbox").await;
    assert_eq!(waiting, 1);
    world.stack.kill9(Service::Restock).unwrap();
    assert_eq!(world.on_hand().await, 0);

    world.stack.start_service(Service::Restock, &[], Want::Ready).await.unwrap();
    world.wait_on_hand(10).await;
    world.assert_received_once(10).await;
    world.wait_production_request("received").await;
    assert_eq!(world.on_hand().await, 10);
    world.stop().await;
}
