//! Operators' endpoints.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Shop, bearer, one, policy, product_body};

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_changed_only_from_the_version_that_was_seen() {
    let shop = Shop::open().await;
    let path = "/api/v1/products/CP-1";
    let put = |if_match: &'static str, body| {
        let authorization = bearer();
        let shop = &shop;
        async move {
            let mut headers = vec![("Authorization", authorization.as_str())];
            if !if_match.is_empty() {
                headers.push(("If-Match", if_match));
            }
            shop.send(Method::PUT, path, &headers, Some(body)).await
        }
    };
    let body = product_body(&policy());
    assert_eq!(put("\"1\"", body.clone()).await.status, 412, "it does not exist yet");
    let created = put("", body.clone()).await;
    assert_eq!((created.status.as_u16(), created.etag()), (201, Some("\"1\"")));
    let changed = put("\"1\"", body.clone()).await;
    assert_eq!((changed.status.as_u16(), changed.etag()), (200, Some("\"2\"")));
    assert_eq!(put("\"1\"", body.clone()).await.status, 412);
    let shown = shop.get("/api/v1/stock/CP-1").await;
    assert_eq!(shown.etag(), Some("\"2\""), "what is shown can be changed with If-Match");
    for field in ["name", "price", "factory_id"] {
        assert_eq!(shown.body[field], body[field], "{field}");
    }
    assert_eq!(shop.count("SELECT count(*) FROM audit_log WHERE action = 'product.put' AND actor = 'kim'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_are_in_the_ledger_and_a_repeated_one_counts_once() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    let path = "/api/v1/products/CP-1/adjustments";
    let bearer = bearer();
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "count-1")];
    let body = json!({"delta": 7, "reason": "cycle_count", "note": "선반 4"});
    let first = shop.send(Method::POST, path, &headers, Some(body.clone())).await;
    let again = shop.send(Method::POST, path, &headers, Some(body)).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body, again.body);
    assert!(again.replayed() && !first.replayed());
    let ledger = shop.get("/api/v1/stock/CP-1/movements").await;
    assert_eq!(ledger.body["items"].as_array().map(Vec::len), Some(1));
    let entry = &ledger.body["items"][0];
    assert_eq!((&entry["cause"], &entry["before"], &entry["after"]), (&json!("cycle_count"), &json!(0), &json!(7)));
    assert_eq!((&entry["actor"], &entry["note"]), (&json!("kim"), &json!("선반 4")));
    let stock = shop.get("/api/v1/stock/CP-1").await;
    assert_eq!((&stock.body["on_hand"], &stock.body["position"]), (&json!(7), &json!(7)));
    assert_eq!(stock.body["policy"]["mode"], "auto");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_waits_for_approval_and_can_be_closed() {
    let shop = Shop::open().await;
    let mut manual = policy();
    manual["mode"] = json!("manual");
    shop.product("CP-1", 0, manual).await;
    for _ in 0..5 {
        assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    }
    let listed = shop.get("/api/v1/replenishments?sku=CP-1&status=proposed").await;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(1), "one proposal, not five");
    assert_eq!(shop.figures("CP-1").await, (0, 0, 0), "a proposal is not on order");
    let id = listed.body["items"][0]["id"].as_str().expect("id").to_owned();
    let approve = format!("/api/v1/replenishments/{id}/approve");
    let approved = shop.operate(Method::POST, &approve, json!({})).await;
    assert_eq!((approved.status.as_u16(), &approved.body["status"]), (200, &json!("open")));
    assert_eq!(shop.operate(Method::POST, &approve, json!({})).await.status, 409);
    assert_eq!(shop.figures("CP-1").await, (0, 0, 10));
    let close = format!("/api/v1/replenishments/{id}/close");
    assert_eq!(shop.operate(Method::POST, &close, json!({"reason": " "})).await.status, 422);
    let closed = shop.operate(Method::POST, &close, json!({"reason": "they stopped making it"})).await;
    assert_eq!(closed.body["status"], "closed_short");
    assert_eq!(shop.operate(Method::POST, &close, json!({"reason": "again"})).await.status, 409);
    assert_eq!(shop.figures("CP-1").await, (0, 0, 0));
    let by_hand = shop.operate(Method::POST, "/api/v1/replenishments", json!({"sku": "CP-1", "quantity": 4})).await;
    assert_eq!((by_hand.status.as_u16(), &by_hand.body["reason"]), (201, &json!("manual")));
    assert_eq!(shop.figures("CP-1").await, (0, 0, 4));
    // The shortage behind a proposal may be covered by the time it is approved; it must not be ordered twice.
    let adjust = |delta: i64| json!({"delta": delta, "reason": "cycle_count"});
    let adjustments = "/api/v1/products/CP-1/adjustments";
    shop.operate(Method::POST, adjustments, adjust(1)).await;
    let closed = "UPDATE replenishments SET status = 'closed_short'; UPDATE stock SET on_order = 0";
    shop.database.batch_execute(closed).await.expect("as if closed");
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    let listed = shop.get("/api/v1/replenishments?sku=CP-1&status=proposed").await;
    let approve = format!("/api/v1/replenishments/{}/approve", listed.body["items"][0]["id"].as_str().expect("id"));
    let decision = shop.get("/api/v1/stock/CP-1/replenishment-decision").await;
    let words = decision.body["explanation"].as_str().expect("words").to_owned();
    assert!(words.ends_with("but a proposal is already waiting for approval"), "{words}");
    shop.operate(Method::POST, adjustments, adjust(20)).await;
    let refused = shop.operate(Method::POST, &approve, json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["position"]), (409, &json!(20)), "{refused:?}");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shoppers_see_products_on_sale_page_by_page() {
    let shop = Shop::open().await;
    for (index, on_hand) in [0, 2, 50].into_iter().enumerate() {
        shop.product(&format!("CP-{index}"), on_hand, policy()).await;
    }
    let mut hidden = product_body(&policy());
    hidden["on_sale"] = json!(false);
    assert_eq!(shop.operate(Method::PUT, "/api/v1/products/CP-9", hidden).await.status, 201);
    let first = shop.send(Method::GET, "/api/v1/products?limit=2", &[], None).await;
    let cursor = first.body["next_cursor"].as_str().expect("a next page").to_owned();
    let second = shop.send(Method::GET, &format!("/api/v1/products?limit=2&cursor={cursor}"), &[], None).await;
    assert_eq!(second.body["next_cursor"], serde_json::Value::Null);
    let items = [first.body["items"].as_array(), second.body["items"].as_array()];
    let seen: Vec<_> =
        items.into_iter().flatten().flatten().map(|item| (item["sku"].clone(), item["status"].clone())).collect();
    let expected = [("CP-0", "sold_out"), ("CP-1", "low"), ("CP-2", "in_stock")];
    assert_eq!(seen, expected.map(|(sku, status)| (json!(sku), json!(status))));
    assert_eq!(shop.get(&format!("/api/v1/stock?cursor={cursor}")).await.status, 422, "a cursor of another list");
    assert_eq!(shop.send(Method::GET, "/api/v1/products/CP-9", &[], None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_metrics_and_documents() {
    let shop = Shop::open().await;
    shop.product("CP-1", 1, policy()).await;
    shop.order(one("CP-1", 1)).await;
    testkit::wait_until("readiness", crate::harness::SOON, || async {
        let seen = shop.readiness().await.body;
        if seen["status"] == "ready" { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(shop.get(&format!("{}/livez", shop.admin)).await.status, 200);
    let metrics = shop.get(&format!("{}/metrics", shop.admin)).await.body;
    let metrics = metrics.as_str().expect("a text");
    for name in ["http_server_request_duration_seconds_bucket", "jaego_intake_batch_size", "jaego_orders_decided_total"]
    {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }
    let document = shop.get("/openapi.json").await.body;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "Jaego sales-service");
    // Compressed, the pages' script and styles take a quarter of the place in each program.
    for file in ["", "swagger-ui-bundle.js", "swagger-ui.css"] {
        let answer = shop.get(&format!("/docs/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.headers["content-encoding"], "gzip", "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_complete_and_true() {
    let shop = Shop::open().await;
    assert_eq!(testkit::openapi::complaints(&shop.api, &shop.public).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_adjustment_stays_refused_under_its_key() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5, policy()).await;
    let path = "/api/v1/products/CP-1/adjustments";
    let bearer = bearer();
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "damage-1")];
    let body = json!({"delta": -6, "reason": "damage"});
    let refused = shop.send(Method::POST, path, &headers, Some(body.clone())).await;
    assert_eq!(refused.status, 409);
    assert_eq!(shop.operate(Method::POST, path, json!({"delta": 5, "reason": "return"})).await.status, 201);
    let again = shop.send(Method::POST, path, &headers, Some(body)).await;
    assert!(again.status == 409 && again.replayed() && again.body["on_hand"] == 5, "{again:?}");
    assert_eq!(shop.figures("CP-1").await.0, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creations_of_one_product_do_not_disturb_each_other() {
    let shop = Shop::open().await;
    let put = |_| shop.operate(Method::PUT, "/api/v1/products/CP-1", product_body(&policy()));
    let mut statuses: Vec<u16> =
        futures::future::join_all((0..20).map(put)).await.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[18], statuses[19]), (200, 200, 201));
}
