//! Dead letters of running services: found, understood, redriven, discarded.

use localstack::demo::FACTORY;
use localstack::stack::Service;
use serde_json::{Value, json};
use testkit::harness::connect;
use testkit::wait_until;

use crate::program::{Ran, environment, run};
use e2e::{SOON, World};

const SKU: &str = "CP-599999";

/// Sends receipts of a product that does not exist yet, through restock-service's outbox.
async fn receive(world: &World, count: i32) {
    let url = world.stack.database_url(Service::Restock).unwrap();
    let client = connect(&url).await;
    let insert = "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
        SELECT id, 'jaego.events', 'stock.received', 'application/cloudevents+json', '{}', convert_to(jsonb_build_object( \
        'specversion', '1.0', 'id', id, 'source', '/jaego/restock-service', 'type', 'jaego.stock.received.v1', \
        'subject', id, 'time', now(), 'datacontenttype', 'application/json', 'data', jsonb_build_object( \
        'receipt_id', id, 'request_id', gen_random_uuid(), 'sku', $1::text, 'quantity', 1, 'factory_id', $2::text, \
        'received_at', now()))::text, 'UTF8'), true \
        FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, $3::int)) ids";
    client.execute(insert, &[&SKU, &FACTORY, &count]).await.unwrap();
}

async fn groups(env: &[(&'static str, String)]) -> Vec<Value> {
    let document = run(&["--json", "dlq", "groups"], env).await.ends_with(0).json();
    document["items"].as_array().unwrap().clone()
}

async fn wait_for_group(env: &[(&'static str, String)], count: u64) -> String {
    wait_until(&format!("{count} dead letters"), SOON, || async {
        match groups(env).await.as_slice() {
            [group] if group["count"] == count => Ok(group["group"].as_str().unwrap().to_owned()),
            other => Err(other.to_vec()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_dead_letters_are_found_and_redriven() {
    // Short delays between attempts.
    let world = World::shared(vec![(Service::Sales, "AMQP__RETRY_DELAYS_MS", "50,50".to_owned())]).await;
    let env = environment(&world);
    let does = async |args: &[&str], code: i32| -> Ran { run(args, &env).await.ends_with(code) };
    assert!(groups(&env).await.is_empty());
    receive(&world, 502).await;
    let group = wait_for_group(&env, 502).await;

    let ran = does(&["dlq", "groups"], 0).await;
    for expected in ["sales.stock-received", "handler-failed", "502"] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = does(&["--json", "dlq", "ls", "--group", &group, "--limit", "300"], 0).await;
    let letters = ran.json()["items"].as_array().unwrap().clone();
    assert_eq!(letters.len(), 300, "over pages");
    let [again, given_up] = [0, 1].map(|index: usize| letters[index]["id"].as_str().unwrap());
    let ran = does(&["dlq", "show", again], 0).await;
    assert!(ran.stdout.contains(SKU) && ran.stdout.contains("attempts:"), "{}", ran.stdout);
    let ran = does(&["status"], 5).await;
    assert!(ran.stdout.contains("502, oldest") && ran.stdout.contains("jaegoctl dlq groups"), "{}", ran.stdout);

    // Nothing was repaired yet, so it fails for the same reason again.
    let ran = does(&["dlq", "redrive", again], 5).await;
    assert!(ran.stdout.ends_with("0 processed, 1 failed again\n"), "{}", ran.stdout);
    does(&["dlq", "discard", given_up, again, "--reason", "a test"], 6).await;
    does(&["dlq", "discard", given_up, again, "--reason", "a test", "--yes"], 0).await;
    assert_eq!(wait_for_group(&env, 500).await, group);

    // Repairs the cause.
    let product = json!({
        "name": "late", "price": {"amount": 100, "currency": "KRW"}, "factory_id": FACTORY,
        "policy": {"reorder_point": 0, "order_up_to": 10, "lot_size": 10, "mode": "off", "shortage": "reject"},
    });
    let made = world.api(Service::Sales).put(&format!("/api/v1/products/{SKU}"), &product).await.unwrap();
    made.ok("make the product").unwrap();
    does(&["dlq", "redrive", "--group", &group, "--rate", "500"], 6).await;
    let ran = does(&["dlq", "redrive", "--group", &group, "--rate", "500", "--yes"], 0).await;
    assert!(ran.stdout.ends_with("500 processed, 0 failed again\n"), "{}", ran.stdout);
    let stock = does(&["--json", "stock", "show", SKU], 0).await.json();
    assert_eq!(stock["item"]["on_hand"], 500, "each once: {stock}");
    assert!(groups(&env).await.is_empty());
    let discarded = does(&["--json", "dlq", "ls", "--status", "discarded"], 0).await.json();
    assert_eq!(discarded["items"].as_array().map(Vec::len), Some(2), "{discarded}");
    world.stop().await;
}
