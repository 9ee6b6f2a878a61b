//! A factory that is down for longer than all retries: an operator finds the consequences and repairs them.

use std::collections::BTreeSet;

use localstack::stack::Service;
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::task::JoinSet;

use crate::program::{Ran, Running, environment, run};
use e2e::{SOON, World};

/// A product that is not replenished automatically, with 40 units on hand.
const SKU: &str = "CP-502106";
const OPENING: usize = 40;
const REQUESTS: usize = 500;
/// Units of each request.
const QUANTITY: usize = 2;
const CALLERS: usize = 10;

/// Every request is tried three times within a second, whatever happens to the others.
fn impatient() -> Vec<(Service, &'static str, String)> {
    let set = |service, key, value: &str| (service, key, value.to_owned());
    vec![
        set(Service::Production, "DELIVERY__RETRY_SCHEDULE_S", "0.2,0.4"),
        set(Service::Production, "BREAKER__FAILURES_IN_A_ROW", "1000000"),
        set(Service::Production, "BREAKER__WINDOW_CALLS_MIN", "1000000"),
        // All requests are for one product: on a busy machine the last one waits long for its row lock.
        set(Service::Sales, "DATABASE__LOCK_TIMEOUT_MS", "0"),
        set(Service::Sales, "DATABASE__STATEMENT_TIMEOUT_MS", "60000"),
        set(Service::Sales, "DATABASE__WAIT_TIMEOUT_MS", "60000"),
    ]
}

/// Orders from the factory by hand, `REQUESTS` times; returns the ids of the replenishments.
async fn replenish(world: &World) -> BTreeSet<String> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let sales = world.api(Service::Sales);
        callers.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..REQUESTS / CALLERS {
                let body = json!({ "sku": SKU, "quantity": QUANTITY });
                let answer = sales.post("/api/v1/replenishments", &[], &body).await.unwrap();
                let made = answer.ok("order by hand").unwrap();
                ids.push(made["id"].as_str().unwrap().to_owned());
            }
            ids
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// Id of the production request in a dead letter.
fn request_of(letter: &Value) -> String {
    let event: Value = serde_json::from_str(letter["body"].as_str().expect("a body")).expect("an event");
    event["data"]["request_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_requests_outlive_a_factory_that_is_gone_for_longer_than_the_schedule() {
    let mut world = World::shared(impatient()).await;
    let env = environment(&world);
    let does = async |args: &[&str], code: i32| -> Ran { run(args, &env).await.ends_with(code) };

    world.stack.kill9_simulator().unwrap();
    let asked = replenish(&world).await;
    assert_eq!(asked.len(), REQUESTS);

    // All dead letters are visible, as one group.
    let group = wait_until("one group of all requests", SOON, || async {
        let document = does(&["--json", "dlq", "groups"], 0).await.json();
        let groups = document["items"].as_array().unwrap().clone();
        match groups.as_slice() {
            [group] if group["count"] == REQUESTS => Ok(group.clone()),
            _ => Err(groups),
        }
    })
    .await;
    assert_eq!(group["reason"], "factory-unreachable", "{group}");
    let name = group["group"].as_str().unwrap();
    let ran = does(&["dlq", "groups"], 0).await;
    for expected in [name, "factory-unreachable", "production.requests", "500"] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let letters = does(&["--json", "dlq", "ls", "--group", name, "--limit", "1000"], 0).await.json();
    let letters = letters["items"].as_array().unwrap().clone();
    assert_eq!(letters.iter().map(request_of).collect::<BTreeSet<_>>(), asked);
    assert!(letters.iter().all(|letter| letter["attempts"] == 3), "the whole schedule: {letters:?}");
    wait_for_replenishments(&world, "stalled").await;
    assert_eq!(on_hand(&world).await, json!(OPENING));

    // The cause is repaired and the group redriven.
    world.stack.start_simulator().await.unwrap();
    let mut redrive = Running::start(&["dlq", "redrive", "--group", name, "--rate", "50", "--yes"], &env);
    let said = redrive.said().await;
    assert!(said.starts_with("redriving: ") && said.contains(" of 500 processed, 0 failed again"), "{said}");
    let ran = redrive.end().await.ends_with(0);
    assert!(ran.stdout.ends_with("500 processed, 0 failed again\n"), "{}", ran.stdout);
    let made = world.factory_requests().await;
    let keys: BTreeSet<String> = made.iter().map(|one| one["idempotency_key"].as_str().unwrap().to_owned()).collect();
    assert_eq!((made.len(), keys), (REQUESTS, asked), "each was asked for once");

    // The factory's callbacks deliver all that was requested.
    wait_until("the factory's callbacks", SOON, || async {
        let callbacks = world.factory_callbacks().await;
        let taken = callbacks.iter().filter(|callback| callback["status"] == 200).count();
        if taken == REQUESTS { Ok(()) } else { Err(format!("{taken} taken of {}", callbacks.len())) }
    })
    .await;
    wait_for_replenishments(&world, "complete").await;
    assert_eq!(on_hand(&world).await, json!(OPENING + REQUESTS * QUANTITY));
    let ran = does(&["audit", "--wait", "60s"], 0).await;
    assert!(ran.stdout.contains("1000 units of"), "{}", ran.stdout);
    let left = does(&["--json", "dlq", "groups"], 0).await.json();
    assert_eq!(left["items"], json!([]), "{left}");
    world.stop().await;
}

async fn on_hand(world: &World) -> Value {
    let path = format!("/api/v1/stock/{SKU}");
    let stock = world.api(Service::Sales).get(&path).await.unwrap().ok("look at the stock").unwrap();
    stock["on_hand"].clone()
}

/// Waits until all replenishments have this status.
async fn wait_for_replenishments(world: &World, status: &str) {
    let count = format!("SELECT count(*) FROM replenishments WHERE status = '{status}'");
    wait_until(&format!("all replenishments {status}"), SOON, || async {
        let there: i64 = world.sql(Service::Sales, &count).await;
        if there == i64::try_from(REQUESTS).unwrap() { Ok(()) } else { Err(there) }
    })
    .await;
}
