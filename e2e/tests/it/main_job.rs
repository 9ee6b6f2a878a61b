//! The walkthrough of the README.

use localstack::api::Api;
use localstack::demo::{FACTORY, FIRST_SKU};
use localstack::stack::Service;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::task::JoinSet;

use e2e::{SOON, World, trace_id, traceparent};

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_out_product_is_made_again_and_sold() {
    let world = World::private().await;

    // The factory of this test is fast: the goods must not arrive before all orders have been refused.
    world.stack.process(Service::Production).unwrap().signal(Signal::SIGSTOP);
    let mut orders = Vec::new();
    for number in 1..=3 {
        let answer = world.order_one(&traceparent(number)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.body["status"], "confirmed");
        orders.push((number, answer.body["id"].clone()));
    }
    let refused = world.order_one(&traceparent(4)).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body["type"].as_str().unwrap().ends_with("/problems/out-of-stock"), "{}", refused.body);
    assert_eq!(refused.body["lines"][0]["available"], 0, "{}", refused.body);
    orders.push((4, refused.body["order_id"].clone()));
    assert_eq!(refuse_many(&world, 200).await, 200);
    world.stack.process(Service::Production).unwrap().signal(Signal::SIGCONT);

    // The goods have arrived: as many as were requested, once.
    world.wait_on_hand(10).await;
    let request = world.wait_production_request("received").await;
    assert_eq!(request["quantity"], 10);
    let request_id = request["id"].as_str().unwrap();
    let asked = world.factory_requests().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_is_the_contract(&world, &asked[0], request_id);
    assert_one_trace(&world, &orders, &asked[0], request_id).await;

    // Repeating the same callback, by the factory or by anybody who has it, changes nothing.
    let callback = world.wait_callback(0).await;
    assert_eq!(callback["status"], 200);
    assert_eq!(callback["body"], asked[0]["body"], "the callback echoes the request");
    let repeated = world.factory().post("/sim/callbacks/0/repeat", &[], &json!({})).await.unwrap();
    assert_eq!(repeated.status, 202);
    assert_eq!(world.wait_callback(1).await["status"], 200);
    let body: Value = serde_json::from_str(callback["body"].as_str().unwrap()).unwrap();
    let again = Api::new(callback["url"].as_str().unwrap()).post("", &[], &body).await.unwrap();
    assert_eq!((again.status.as_u16(), &again.body["status"]), (200, &json!("duplicate")), "{}", again.body);
    world.assert_received_once(10).await;
    assert_eq!(world.on_hand().await, 10);

    let answer = world.order_one(&traceparent(5)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(world.on_hand().await, 9);
    assert_eq!(world.production_requests().await.len(), 1);
    world.stop().await;
}

/// Places `count` orders at once. Returns how many were refused as out of stock.
async fn refuse_many(world: &World, count: usize) -> usize {
    let shopper = Api::new(&world.stack.urls(Service::Sales).public);
    let mut orders = JoinSet::new();
    for _ in 0..count {
        let shopper = shopper.clone();
        orders.spawn(async move {
            let body = json!({ "lines": [{ "sku": FIRST_SKU, "quantity": 1 }] });
            shopper.post("/api/v1/orders", &[], &body).await.unwrap().status.as_u16()
        });
    }
    orders.join_all().await.into_iter().filter(|status| *status == 409).count()
}

/// Asserts that the request is exactly as in CONTRACTS, section 1.
fn assert_is_the_contract(world: &World, asked: &Value, request_id: &str) {
    let body: Value = serde_json::from_str(asked["body"].as_str().unwrap()).unwrap();
    let url = body["CallbackUrl"].as_str().expect("a callback URL").to_owned();
    let start = format!("{}/callbacks/v1/restocks/", world.stack.urls(Service::Restock).public);
    assert!(url.strip_prefix(&start).is_some_and(|token| (1..=512).contains(&token.len())), "{url}");
    let contract = json!({
        "MessageGroupId": "stock-arrival-group",
        "MessageAttributeProductId": FIRST_SKU,
        "MessageAttributeProductCnt": "10",
        "MessageAttributeFactoryId": FACTORY,
        "MessageAttributeRequester": "재고담당",
        "CallbackUrl": url,
    });
    assert_eq!(body, contract);
    assert_eq!(asked["idempotency_key"], request_id);
    assert_eq!(asked["content_type"], "application/json");
    assert!(asked["user_agent"].as_str().is_some_and(|agent| agent.starts_with("jaego/")), "{asked}");
    assert_eq!(asked["answer_status"], 201);
}

/// Asserts that one trace covers the order that caused the request, the call that the factory received, the recorded
/// attempt and the receipt.
async fn assert_one_trace(world: &World, orders: &[(u8, Value)], asked: &Value, request_id: &str) {
    let set_off = "SELECT string_agg(order_id::text, ',') FROM order_replenishments";
    let set_off: String = world.sql(Service::Sales, set_off).await;
    let cause = orders.iter().find(|(_, id)| id.as_str().unwrap() == set_off).map(|(number, _)| *number);
    let trace = trace_id(cause.expect("one of the orders set it off"));
    assert!(asked["traceparent"].as_str().is_some_and(|seen| seen.contains(&trace)), "{asked}, wanted {trace}");
    let path = format!("/api/v1/production-requests/{request_id}");
    let request = world.api(Service::Production).get(&path).await.unwrap().ok(&path).unwrap();
    assert_eq!(request["attempts"].as_array().map(Vec::len), Some(1), "{request}");
    assert_eq!(request["attempts"][0]["trace_id"], trace.as_str(), "{request}");
    let receipt = wait_until("the receipt", SOON, || async {
        let count: i64 = world.sql(Service::Restock, "SELECT count(*) FROM receipts").await;
        if count == 1 {
            Ok(world.sql::<String>(Service::Restock, "SELECT traceparent FROM receipts").await)
        } else {
            Err(count)
        }
    })
    .await;
    assert!(receipt.contains(&trace), "{receipt}, wanted {trace}");
}
