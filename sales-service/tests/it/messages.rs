//! Events out, messages in: exactly once in effect, whatever the broker does.

use serde_json::{Value, json};
use shared::ids::{EventId, ReceiptId, RequestId};
use testkit::wait_until;

use crate::support::{SOON, Shop, one, policy};

fn event(kind: &str, data: &Value) -> Vec<u8> {
    let event = json!({
        "specversion": "1.0", "id": EventId::generate(), "source": "/test", "type": kind,
        "time": "2026-11-22T00:00:00Z", "data": data,
    });
    event.to_string().into_bytes()
}

pub async fn publish(shop: &Shop, routing_key: &str, body: &[u8]) {
    let vhost = &shop.surroundings.vhost;
    let properties = json!({"delivery_mode": 2, "message_id": "test"});
    let routed = vhost.broker().publish(&vhost.name, "jaego.events", routing_key, &properties, body).await;
    assert!(routed.expect("published"), "{routing_key} is routed");
}

fn received(receipt: ReceiptId, request: RequestId, quantity: i64) -> Vec<u8> {
    received_of("CP-1", receipt, request, quantity)
}

/// `stock.received` of some product.
pub fn received_of(sku: &str, receipt: ReceiptId, request: RequestId, quantity: i64) -> Vec<u8> {
    let data = json!({
        "receipt_id": receipt, "request_id": request, "sku": sku, "quantity": quantity,
        "factory_id": "FF-1", "received_at": "2026-11-22T00:00:00Z",
    });
    event("jaego.stock.received.v1", &data)
}

async fn wait_for_on_hand(shop: &Shop, expected: i64) {
    wait_until("stock to rise", SOON, || async {
        let (on_hand, ..) = shop.figures("CP-1").await;
        if on_hand == expected { Ok(()) } else { Err(on_hand) }
    })
    .await;
}

async fn depth(shop: &Shop, queue: &str) -> u32 {
    shop.surroundings.vhost.depth(queue).await.expect("depth")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortage_reaches_the_broker_with_its_trace() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let refused =
        shop.send(reqwest::Method::POST, "/api/v1/orders", &[("traceparent", traceparent)], Some(one("CP-1", 1))).await;
    assert_eq!(refused.body["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    for queue in ["production.requests", "restock.production-requests"] {
        wait_until("the request to be queued", SOON, || async {
            let depth = depth(&shop, queue).await;
            if depth == 1 { Ok(()) } else { Err(depth) }
        })
        .await;
    }
    let vhost = &shop.surroundings.vhost;
    let messages = vhost.broker().get_messages(&vhost.name, "production.requests", 1).await.expect("messages");
    let event: Value = serde_json::from_slice(&messages[0].bytes()).expect("json");
    assert_eq!(event["type"], "jaego.production.requested.v1");
    assert_eq!((&event["data"]["sku"], &event["data"]["quantity"]), (&json!("CP-1"), &json!(10)));
    assert!(event["traceparent"].as_str().is_some_and(|trace| trace.contains("4bf92f3577b34da6a3ce929d0e0e4736")));
    wait_until("the outbox to be empty", SOON, || async {
        (shop.count("SELECT count(*) FROM outbox").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_raises_stock_once_however_often_it_comes() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    let refused = shop.order(one("CP-1", 1)).await;
    let order = shop.get(&format!("/api/v1/orders/{}", refused.body["order_id"].as_str().expect("id"))).await;
    let request: RequestId = order.body["replenishment_ids"][0].as_str().expect("id").parse().expect("uuid");
    let receipt = ReceiptId::generate();
    for _ in 0..5 {
        publish(&shop, "stock.received", &received(receipt, request, 4)).await;
    }
    publish(&shop, "stock.received", &received(ReceiptId::generate(), request, 6)).await;
    wait_for_on_hand(&shop, 10).await;
    assert_eq!(shop.figures("CP-1").await, (10, 0, 0));
    let status: String = shop.sql_one("SELECT status FROM replenishments", &[]).await.get(0);
    assert_eq!(status, "complete");
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201, "the next shopper can buy");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_partial_receipt_the_rest_is_neither_forgotten_nor_asked_for_twice() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    let refused = futures::future::join_all((0..1000).map(|_| shop.order(one("CP-1", 1)))).await;
    assert!(refused.iter().all(|answer| answer.status == 409));
    let ids = shop.get("/api/v1/replenishments?sku=CP-1").await;
    let ids = ids.body["items"].as_array().expect("items").clone();
    assert_eq!(ids.len(), 1, "a thousand refusals, one request");
    let request: RequestId = ids[0]["id"].as_str().expect("id").parse().expect("uuid");
    publish(&shop, "stock.received", &received(ReceiptId::generate(), request, 4)).await;
    wait_for_on_hand(&shop, 4).await;
    assert_eq!(shop.figures("CP-1").await, (4, 0, 6), "six are still to come");
    assert_eq!(shop.order(one("CP-1", 4)).await.status, 201);
    for _ in 0..20 {
        assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    }
    assert_eq!(shop.count("SELECT count(*) FROM replenishments").await, 1, "the six count");
    publish(&shop, "stock.received", &received(ReceiptId::generate(), request, 6)).await;
    wait_for_on_hand(&shop, 6).await;
    assert_eq!(shop.figures("CP-1").await, (6, 0, 0));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_fill_backorders_oldest_first() {
    let shop = Shop::open().await;
    let mut backorder = policy();
    backorder["shortage"] = json!("backorder");
    backorder["mode"] = json!("off");
    shop.product("CP-1", 0, backorder).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let sold = shop.order(one("CP-1", 3)).await;
        assert_eq!(sold.status, 202);
        ids.push(sold.body["id"].as_str().expect("id").to_owned());
    }
    assert_eq!(shop.figures("CP-1").await, (0, 15, 0));
    let request = RequestId::generate();
    for (units, filled) in [(4, [3, 1, 0, 0, 0]), (4, [3, 3, 2, 0, 0]), (4, [3, 3, 3, 3, 0]), (10, [3, 3, 3, 3, 3])] {
        publish(&shop, "stock.received", &received(ReceiptId::generate(), request, units)).await;
        for (id, filled) in ids.iter().zip(filled) {
            wait_until("the order's share", SOON, || async {
                let order = shop.get(&format!("/api/v1/orders/{id}")).await;
                let status = if filled == 3 { "confirmed" } else { "backordered" };
                let expected = order.body["lines"][0]["filled"] == filled && order.body["status"] == status;
                if expected { Ok(()) } else { Err(order.body) }
            })
            .await;
        }
    }
    assert_eq!(shop.figures("CP-1").await, (7, 0, 0));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_applied_in_the_order_of_their_revision() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    shop.order(one("CP-1", 1)).await;
    let id: String = shop.sql_one("SELECT id::text FROM replenishments", &[]).await.get(0);
    let outcome = |what: &str, revision: i64| {
        let data = json!({
            "request_id": id, "sku": "CP-1", "quantity": 10, "factory_id": "FF-1", "revision": revision,
            "at": "2026-11-22T00:00:00Z", "reason": "test",
        });
        event(&format!("jaego.production.{what}.v1"), &data)
    };
    let wait_for = |status: &'static str| {
        let shop = &shop;
        wait_until("the status", SOON, move || async move {
            let found: String = shop.sql_one("SELECT status FROM replenishments", &[]).await.get(0);
            if found == status { Ok(()) } else { Err(found) }
        })
    };
    publish(&shop, "production.dead_lettered", &outcome("dead_lettered", 2)).await;
    wait_for("stalled").await;
    assert_eq!(shop.figures("CP-1").await, (0, 0, 10), "a dead letter keeps its quantity");
    publish(&shop, "production.cancelled", &outcome("cancelled", 2)).await;
    publish(&shop, "production.accepted", &outcome("accepted", 3)).await;
    wait_for("open").await;
    publish(&shop, "production.refused", &outcome("refused", 4)).await;
    wait_for("refused").await;
    assert_eq!(shop.figures("CP-1").await, (0, 0, 0));
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    assert_eq!(shop.count("SELECT count(*) FROM replenishments").await, 1, "a refusal is followed by a pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_or_handled_lands_in_the_dead_letter_queue_with_its_reason() {
    let shop = Shop::open_with(&[("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50,50")]).await;
    shop.product("CP-1", 0, policy()).await;
    publish(&shop, "stock.received", &[0xff, 0xfe, 0x00]).await;
    publish(&shop, "stock.received", &event("jaego.stock.received.v99", &json!({}))).await;
    // What PostgreSQL cannot keep as it is, or AMQP cannot send on, must not block the queue.
    publish(&shop, "stock.received", &event("a\u{0}b", &json!({}))).await;
    publish(&shop, "stock.received", &event(&"x".repeat(300), &json!({}))).await;
    publish(&shop, "stock.received", &event("jaego.stock.received.v1", &json!({"receipt_id": "\u{0}"}))).await;
    let stranger = json!({
        "receipt_id": ReceiptId::generate(), "request_id": RequestId::generate(), "sku": "NOT-HERE", "quantity": 1,
        "factory_id": "FF-1", "received_at": "2026-11-22T00:00:00Z",
    });
    publish(&shop, "stock.received", &event("jaego.stock.received.v1", &stranger)).await;
    publish(&shop, "stock.received", &received(ReceiptId::generate(), RequestId::generate(), 3)).await;
    wait_for_on_hand(&shop, 3).await;
    wait_until("six dead letters", SOON, || async {
        let depth = depth(&shop, "sales.stock-received.dlq").await;
        if depth == 6 { Ok(()) } else { Err(depth) }
    })
    .await;
    let vhost = &shop.surroundings.vhost;
    let letters = vhost.broker().get_messages(&vhost.name, "sales.stock-received.dlq", 6).await.expect("letters");
    let header = |name: &str| {
        let mut values: Vec<String> = letters
            .iter()
            .map(|letter| letter.properties.headers[name].as_str().unwrap_or("none").to_owned())
            .collect();
        values.sort();
        values
    };
    let mut reasons = header("x-jaego-reason");
    reasons.dedup();
    assert_eq!(reasons, ["handler-failed", "undecodable", "unknown-type"]);
    assert!(letters.iter().any(|letter| letter.bytes() == [0xff, 0xfe, 0x00]), "the body is as it came");
    let failed = letters.iter().find(|letter| letter.properties.headers["x-jaego-reason"] == "handler-failed");
    assert_eq!(failed.expect("one failed").properties.headers["x-jaego-attempts"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_shop_sells_and_the_outbox_keeps_the_events() {
    let mut shop = Shop::open_with(&[("JAEGO_SALES__OUTBOX__PENDING_MAX", "3")]).await;
    shop.stop().await;
    let right = shop.own.env.clone();
    for (name, value) in &mut shop.own.env {
        if name == "JAEGO_SALES__AMQP__URL" {
            "amqp://nobody:nothing@127.0.0.1:1/%2f".clone_into(value);
        }
    }
    shop.start().await;
    shop.product("CP-1", 1, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    wait_until("ready, but degraded", SOON, || async {
        let answer = shop.http.get(format!("{}/readyz", shop.admin)).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        if status == 200 && text.contains("degraded") { Ok(()) } else { Err(text) }
    })
    .await;
    assert!(shop.count("SELECT count(*) FROM outbox").await >= 3);
    wait_until("the bound of the outbox", SOON, || async {
        let answer = shop.order(one("CP-1", 1)).await;
        if answer.status == 503 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    shop.stop().await;
    shop.own.env = right;
    shop.start().await;
    wait_until("the outbox to be empty", SOON, || async {
        let waiting = shop.count("SELECT count(*) FROM outbox").await;
        if waiting == 0 { Ok(()) } else { Err(waiting) }
    })
    .await;
    assert_eq!(depth(&shop, "production.requests").await, 1);
}
