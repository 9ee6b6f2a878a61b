//! Events out, messages in: the effect is exactly once, whatever the broker does.

use chrono::{DateTime, TimeDelta, Utc};
use jaego_contracts::ids::{EventId, ReceiptId, RequestId};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{SOON, Shop, one, policy};

pub fn event(kind: &str, data: &Value) -> Vec<u8> {
    let event = json!({
        "specversion": "1.0", "id": EventId::generate(), "source": "/test", "type": kind,
        "time": "2026-11-22T00:00:00Z", "data": data,
    });
    event.to_string().into_bytes()
}

pub async fn publish(shop: &Shop, routing_key: &str, body: &[u8]) {
    shop.publish_bytes(routing_key, body).await;
}

fn received(receipt: ReceiptId, request: RequestId, quantity: i64) -> Vec<u8> {
    received_of("CP-1", receipt, request, quantity)
}

/// A `stock.received` event.
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
        shop.wait_for_depth(queue, 1).await;
    }
    let vhost = &shop.surroundings.vhost;
    let messages = vhost.broker().get_messages(&vhost.name, "production.requests", 1).await.expect("messages");
    let event: Value = serde_json::from_slice(&messages[0].bytes()).expect("json");
    assert_eq!(event["type"], "jaego.production.requested.v1");
    assert_eq!((&event["data"]["sku"], &event["data"]["quantity"]), (&json!("CP-1"), &json!(10)));
    assert!(event["traceparent"].as_str().is_some_and(|trace| trace.contains("4bf92f3577b34da6a3ce929d0e0e4736")));
    shop.wait_for_count("SELECT count(*) FROM outbox", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_raises_stock_once_however_often_it_comes() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    let asked = shop.get("/api/v1/replenishments?sku=CP-1").await;
    let request: RequestId = asked.body["items"][0]["id"].as_str().expect("id").parse().expect("uuid");
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
    shop.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(depth(&shop, "production.requests").await, 1, "and one message");
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
    let vhost = &shop.surroundings.vhost;
    let observer = json!({
        "queues": [{"name": "observer", "durable": true, "auto_delete": false, "arguments": {}}],
        "bindings": [{"source": "jaego.events", "destination": "observer", "destination_type": "queue",
                      "routing_key": "order.fulfilled", "arguments": {}}],
    });
    vhost.broker().import_definitions(&vhost.name, &observer).await.expect("bound");
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
    // Every step is in the ledger, and each order's fulfilment is announced once, oldest order first.
    let rows = shop.database.query("SELECT cause, delta FROM stock_movements ORDER BY entry", &[]).await.expect("rows");
    let steps: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let steps: Vec<(&str, i64)> = steps.iter().map(|(cause, delta)| (cause.as_str(), *delta)).collect();
    let (receipt, fill) = ("receipt", "backorder_fill");
    let expected = [
        vec![(receipt, 4), (fill, -3), (fill, -1)],
        vec![(receipt, 4), (fill, -2), (fill, -2)],
        vec![(receipt, 4), (fill, -1), (fill, -3)],
        vec![(receipt, 10), (fill, -3)],
    ];
    assert_eq!(steps, expected.concat());
    let fulfilled = || async {
        let messages = vhost.broker().get_messages(&vhost.name, "observer", 10).await.expect("messages");
        let events = messages.iter().map(|message| serde_json::from_slice::<Value>(&message.bytes()).expect("json"));
        events.flat_map(|event| event["data"]["orders"].as_array().cloned().unwrap_or_default()).collect::<Vec<Value>>()
    };
    let fulfilled = wait_until("five ends", SOON, || async {
        let fulfilled = fulfilled().await;
        if fulfilled.len() == 5 { Ok(fulfilled) } else { Err(fulfilled.len()) }
    })
    .await;
    assert_eq!(fulfilled.iter().map(|order| order["id"].as_str().expect("id")).collect::<Vec<_>>(), ids);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_applied_in_the_order_of_their_revision() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    shop.order(one("CP-1", 1)).await;
    let id: String = shop.sql_one("SELECT id::text FROM replenishments", &[]).await.get(0);
    let outcome = |what, revision| outcome(&id, what, revision);
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

    // The factory is announced only now, so the refusals from before do not count.
    let factory = json!({
        "factory_id": "FF-1", "name": "공장", "enabled": true, "lead_time_s": 600, "lead_time_p50_s": null,
        "lead_time_p90_s": null, "callback_sources": [], "revision": 1,
    });
    publish(&shop, "factory.changed", &event("jaego.factory.changed.v1", &factory)).await;
    wait_until("the end of the pause", SOON, || async {
        let held_back = "SELECT count(*) FROM stock WHERE replenish_not_before IS NOT NULL OR refusals_in_a_row > 0";
        (shop.count(held_back).await == 0).then_some(())
    })
    .await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    assert_eq!(shop.count("SELECT count(*) FROM replenishments").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_in_a_row_doubles_the_pause_and_an_acceptance_ends_it() {
    let shop = Shop::open_with(&[("JAEGO_SALES__REPLENISHMENT__REFUSAL_PAUSE_S", "100")]).await;
    shop.product("CP-1", 0, policy()).await;
    let pause = "SELECT coalesce(round(extract(epoch FROM replenish_not_before - now()) / 100)::bigint, 0) FROM stock";
    for (refusals, hundreds) in [(1, 1), (2, 2), (3, 4)] {
        shop.database.batch_execute("UPDATE stock SET replenish_not_before = NULL").await.expect("the pause is over");
        shop.order(one("CP-1", 1)).await;
        let newest = "SELECT id::text FROM replenishments ORDER BY entry DESC LIMIT 1";
        let id: String = shop.sql_one(newest, &[]).await.get(0);
        publish(&shop, "production.refused", &outcome(&id, "refused", 1)).await;
        wait_until("the refusal", SOON, || async {
            let row = shop.sql_one("SELECT refusals_in_a_row::bigint FROM stock", &[]).await;
            if row.get::<_, i64>(0) == refusals { Ok(()) } else { Err(row.get::<_, i64>(0)) }
        })
        .await;
        assert_eq!(shop.count(pause).await, hundreds);
        if refusals == 3 {
            // The acceptance is late, for a request that has ended, but it still shows that the factory works.
            publish(&shop, "production.accepted", &outcome(&id, "accepted", 2)).await;
        }
    }
    shop.wait_for_count(pause, 0).await;
    assert_eq!(shop.count("SELECT refusals_in_a_row::bigint FROM stock").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_expected_a_lead_time_after_the_acceptance() {
    let shop = Shop::open().await;
    let factory = |revision: i64, p50: Value| {
        let data = json!({
            "factory_id": "FF-1", "name": "공장", "enabled": true, "lead_time_s": 600, "lead_time_p50_s": p50,
            "lead_time_p90_s": p50, "callback_sources": [], "revision": revision,
        });
        event("jaego.factory.changed.v1", &data)
    };
    let eta = async || {
        let product = shop.send(reqwest::Method::GET, "/api/v1/products/CP-1", &[], None).await.body;
        product["restock_eta"].as_str().map(|at| at.parse::<DateTime<Utc>>().expect("a time"))
    };
    let wait_for_eta = async |expected: Option<DateTime<Utc>>| {
        wait_until(&format!("{expected:?}"), SOON, || async {
            let eta = eta().await;
            if eta == expected { Ok(()) } else { Err(eta) }
        })
        .await;
    };
    publish(&shop, "factory.changed", &factory(1, json!(null))).await;
    shop.wait_for_count("SELECT count(*) FROM factories", 1).await;
    let mut backorder = policy();
    backorder["shortage"] = json!("backorder");
    shop.product("CP-1", 0, backorder).await;
    let sold = shop.order(one("CP-1", 1)).await;
    assert!(sold.body["lines"][0]["restock_eta"].is_string(), "{sold:?}");
    let ordered = ordered_at(&shop, "reorder_point").await;
    wait_for_eta(Some(ordered + TimeDelta::seconds(600))).await;
    let id: String = shop.sql_one("SELECT id::text FROM replenishments", &[]).await.get(0);
    let accepted = "2999-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("a time");
    let mut late: Value = serde_json::from_slice(&outcome(&id, "accepted", 1)).expect("json");
    late["data"]["at"] = json!(accepted);
    publish(&shop, "production.accepted", late.to_string().as_bytes()).await;
    wait_for_eta(Some(accepted + TimeDelta::seconds(600))).await;
    publish(&shop, "factory.changed", &factory(2, json!(30))).await;
    wait_for_eta(Some(accepted + TimeDelta::seconds(30))).await;
    let path = format!("/api/v1/orders/{}", sold.body["id"].as_str().expect("an id"));
    let seen = shop.get(&path).await.body["lines"][0]["restock_eta"].clone();
    assert_eq!(seen.as_str().map(|at| at.parse::<DateTime<Utc>>().expect("a time")), eta().await);
    // An overdue request does not hide the date of one that is still to come.
    shop.operate(reqwest::Method::POST, "/api/v1/replenishments", json!({"sku": "CP-1", "quantity": 2})).await;
    shop.database
        .batch_execute("UPDATE replenishments SET accepted_at = now() - interval '1 hour' WHERE reason <> 'manual'")
        .await
        .expect("late");
    let ordered = ordered_at(&shop, "manual").await;
    wait_for_eta(Some(ordered + TimeDelta::seconds(30))).await;
}

async fn ordered_at(shop: &Shop, reason: &str) -> DateTime<Utc> {
    let sql = "SELECT (extract(epoch FROM ordered_at) * 1000000)::bigint FROM replenishments WHERE reason = $1";
    DateTime::from_timestamp_micros(shop.sql_one(sql, &[&reason]).await.get(0)).expect("a time")
}

pub fn outcome(id: &str, what: &str, revision: i64) -> Vec<u8> {
    let data = json!({
        "request_id": id, "sku": "CP-1", "quantity": 10, "factory_id": "FF-1", "revision": revision,
        "at": "2026-11-22T00:00:00Z", "reason": "test",
    });
    event(&format!("jaego.production.{what}.v1"), &data)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_shop_sells_and_the_outbox_keeps_the_events() {
    let mut shop = Shop::open_with(&[("JAEGO_SALES__OUTBOX__PENDING_MAX", "3")]).await;
    wait_until("the queues to have been there once", SOON, || async {
        let seen = shop.readiness().await;
        if seen.status == 200 { Ok(()) } else { Err(seen) }
    })
    .await;
    shop.stop().await;
    let right = shop.own.env.clone();
    shop.set("AMQP__URL", "amqp://nobody:nothing@127.0.0.1:1/%2f");
    shop.start().await;
    shop.product("CP-1", 1, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    wait_until("ready, but degraded", SOON, || async {
        let seen = shop.readiness().await;
        if seen.status == 200 && seen.body["status"] == "degraded" { Ok(()) } else { Err(seen) }
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
    shop.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(depth(&shop, "production.requests").await, 1);
}
