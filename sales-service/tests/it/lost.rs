//! Messages lost between services are recovered without intervention.

use jaego_contracts::ids::{ReceiptId, RequestId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{SOON, Shop, one, policy};
use crate::messages::{outcome, publish, received_of};

const REQUESTS: &str = "production.requests";
const CLOSED: &str = "production.replenishments-closed";

/// The data of the events in a queue, once there are at least `count`.
async fn events(shop: &Shop, queue: &str, count: u32) -> Vec<Value> {
    let vhost = &shop.surroundings.vhost;
    wait_until(&format!("{count} events in {queue}"), SOON, || async {
        let depth = vhost.depth(queue).await.map_err(|error| error.to_string())?;
        if depth >= count { Ok(()) } else { Err(depth.to_string()) }
    })
    .await;
    // Read only once, because each read counts as a delivery.
    let messages = vhost.broker().get_messages(&vhost.name, queue, 100).await.expect("messages");
    let data = |payload: &str| serde_json::from_str::<Value>(payload).expect("json")["data"].clone();
    messages.iter().map(|message| data(&message.payload)).collect()
}

async fn replenishment(shop: &Shop) -> String {
    shop.product("CP-1", 0, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    shop.sql_one("SELECT id::text FROM replenishments", &[]).await.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_news_is_requested_again_with_growing_delays() {
    let every_second =
        [("JAEGO_SALES__REPLENISHMENT__SWEEP_EVERY_S", "1"), ("JAEGO_SALES__REPLENISHMENT__ASK_AGAIN_S", "1")];
    let shop = Shop::open_with(&every_second).await;
    let id = replenishment(&shop).await;
    // The first request is lost.
    events(&shop, REQUESTS, 1).await;
    let vhost = &shop.surroundings.vhost;
    vhost.broker().purge(&vhost.name, REQUESTS).await.expect("emptied");
    let again = events(&shop, REQUESTS, 2).await;
    assert!(again.iter().all(|event| event["request_id"] == id && event["quantity"] == 10), "{again:?}");
    // The interval doubles each time.
    let due = "SELECT count(*) FROM replenishments WHERE asks >= 2 AND status = 'open'";
    shop.wait_for_count(due, 1).await;

    publish(&shop, "production.accepted", &outcome(&id, "accepted", 1)).await;
    let heard = "SELECT count(*) FROM replenishments WHERE asks < 2 AND revision = 1";
    shop.wait_for_count(heard, 1).await;
    assert_eq!(shop.count("SELECT count(*) FROM replenishments").await, 1, "it is one order all the time");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_without_effect_is_published_again() {
    let shop = Shop::open().await;
    let id = replenishment(&shop).await;
    let request: RequestId = id.parse().expect("an id");
    publish(&shop, "stock.received", &received_of("CP-1", ReceiptId::generate(), request, 10)).await;
    shop.wait_for_count("SELECT count(*) FROM replenishments WHERE status = 'complete'", 1).await;
    // production-service is still waiting for the goods. The repeated request makes restock-service announce its
    // receipts again.
    publish(&shop, "production.overdue", &outcome(&id, "overdue", 2)).await;
    let requests = events(&shop, REQUESTS, 2).await;
    assert!(requests.iter().all(|event| event["request_id"] == id), "{requests:?}");

    let ordered = shop.operate(Method::POST, "/api/v1/replenishments", json!({"sku": "CP-1", "quantity": 5})).await;
    let closed = ordered.body["id"].as_str().expect("an id").to_owned();
    let close = format!("/api/v1/replenishments/{closed}/close");
    assert_eq!(shop.operate(Method::POST, &close, json!({"reason": "not needed"})).await.status, 200);
    events(&shop, CLOSED, 1).await;
    // A factory accepts the request even though it was closed.
    publish(&shop, "production.accepted", &outcome(&closed, "accepted", 1)).await;
    let closed_events = events(&shop, CLOSED, 2).await;
    assert!(closed_events.iter().all(|event| event["request_id"] == closed), "{closed_events:?}");
    // The cancellation shows that production-service knows, so the closing is not announced again.
    publish(&shop, "production.cancelled", &outcome(&closed, "cancelled", 2)).await;
    shop.wait_for_count("SELECT count(*) FROM replenishments WHERE revision = 2 AND status = 'closed_short'", 1).await;
    assert_eq!(events(&shop, CLOSED, 2).await.len(), 2);
}
