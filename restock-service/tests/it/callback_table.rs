//! The table of callbacks in CONTRACTS.md, row by row, through HTTP, with the rows it leaves.

use chrono::{Duration, Utc};
use jaego_contracts::ids::RequestId;
use serde_json::json;

use crate::harness::{SKU, Service, claims, echo, part};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_time_is_received_and_the_same_again_is_a_duplicate() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let own = claims(request_id, 100);
    let token = world.sign(&own);

    let first = service.call(&token, &echo("100", &token)).await;
    assert_eq!(first.received(), ("received", 100));
    assert!(first.body.get("quarantined").is_none());
    for _ in 0..3 {
        let again = service.call(&token, &echo("100", &token)).await;
        assert_eq!(again.received(), ("duplicate", 100));
        assert_eq!(again.body["receipt_id"], first.body["receipt_id"]);
    }
    assert_eq!(world.rows().await, [1, 1, 0]);

    let receipt = world
        .database
        .query_one("SELECT id::text, request_id::text, sku, quantity, factory_id, delivery_id, jti FROM receipts", &[])
        .await
        .unwrap();
    assert_eq!(receipt.get::<_, String>(0), first.body["receipt_id"]);
    assert_eq!(receipt.get::<_, String>(1), request_id.to_string());
    assert_eq!((receipt.get::<_, &str>(2), receipt.get::<_, i64>(3)), (SKU, 100));
    assert_eq!(receipt.get::<_, &str>(4), "FF-500293");
    assert_eq!(receipt.get::<_, Option<&str>>(5), None);
    assert_eq!(receipt.get::<_, &str>(6), own.jti);
    assert_eq!(world.count("SELECT received FROM production_requests").await, 100);
    world.wait_for_depth("sales.stock-received", 1).await;
    world.wait_for_depth("production.stock-received", 1).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_factories_of_the_family_are_understood() {
    let service = Service::start(&[]).await;
    for body in [
        json!({"MessageAttributeProductCnt": 7}),
        json!({"OrderStockCnt": "7", "MessageAttributeProductId": SKU}),
        json!({"OrderStockCnt": 7, "Unknown": {"deep": [1, 2]}, "MessageAttributeFactoryId": null}),
    ] {
        let answer = service.call(&service.world.token(10), &body).await;
        assert_eq!(answer.received(), ("received", 7), "{body}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_with_names_are_received_one_by_one() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    assert_eq!(service.call(&token, &part("a", 40)).await.received(), ("received", 40));
    assert_eq!(service.call(&token, &part("b", 40)).await.received(), ("received", 40));
    assert_eq!(service.call(&token, &part("a", 40)).await.received(), ("duplicate", 40));
    // The same delivery again, with another attempt's token for the same request and with the header.
    let other = world.sign(&claims(request_id, 100));
    assert_eq!(service.call(&other, &part("a", 40)).await.received(), ("duplicate", 40), "it counts once");
    let body = json!({"MessageAttributeProductCnt": 15}).to_string();
    let named = [("idempotency-key", "e")];
    assert_eq!(service.call_with(&other, &named, body.clone()).await.received(), ("received", 15));
    assert_eq!(service.call_with(&other, &named, body).await.received(), ("duplicate", 15));
    assert_eq!(service.call(&token, &part("a", 41)).await.quarantined(), "ambiguous-delivery");
    // More than is still open.
    let last = service.call(&token, &part("c", 8)).await;
    assert_eq!((last.received(), &last.body["quarantined"]), (("received", 5), &json!(3)));
    let again = service.call(&token, &part("c", 8)).await;
    assert_eq!((again.received(), &again.body["quarantined"]), (("duplicate", 5), &json!(3)));
    assert_eq!(service.call(&token, &part("d", 1)).await.quarantined(), "nothing-open");

    assert_eq!(world.rows().await, [4, 5, 3]);
    assert_eq!(world.count("SELECT received FROM production_requests").await, 100);
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 100);
    let excess = "SELECT quantity FROM quarantine WHERE reason = 'over-delivery' AND status = 'waiting'";
    assert_eq!(world.count(excess).await, 3);
    world.wait_for_depth("sales.stock-received", 4).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_excess_is_kept_unless_it_is_tolerated() {
    let service = Service::start(&[("CALLBACK__OVER_DELIVERY_TOLERANCE_PERCENT", "5")]).await;
    let world = &service.world;
    assert_eq!(service.call(&world.token(100), &echo("105", "t")).await.received(), ("received", 105));
    assert_eq!(world.rows().await, [1, 1, 0]);
    let token = world.token(100);
    let over = service.call(&token, &echo("106", "t")).await;
    assert_eq!((over.received(), &over.body["quarantined"]), (("received", 100), &json!(6)));
    assert_eq!(service.call(&token, &echo("106", "t")).await.received(), ("duplicate", 100));
    assert_eq!(world.rows().await, [2, 2, 1]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_it_is_never_guessed() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let count = |count: i64| json!({"MessageAttributeProductCnt": count});
    // It would still fit, so it may be a repetition or the second half.
    let token = world.token(100);
    assert_eq!(service.call(&token, &count(50)).await.received(), ("received", 50));
    assert_eq!(service.call(&token, &count(50)).await.quarantined(), "ambiguous-delivery");
    assert_eq!(service.call(&token, &count(50)).await.quarantined(), "ambiguous-delivery");
    assert_eq!(world.rows().await, [1, 1, 1]);
    // It would no longer fit, so it is a repetition.
    let token = world.token(100);
    assert_eq!(service.call(&token, &count(60)).await.received(), ("received", 60));
    assert_eq!(service.call(&token, &count(60)).await.received(), ("duplicate", 60));
    assert_eq!(world.rows().await, [2, 2, 1]);
    // Another count contradicts the first report of the same delivery.
    assert_eq!(service.call(&token, &count(40)).await.quarantined(), "ambiguous-delivery");
    assert_eq!(service.call(&token, &count(40)).await.quarantined(), "ambiguous-delivery");
    assert_eq!(world.rows().await, [2, 2, 2]);
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 110);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_open_and_expired_wait_for_an_operator() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    // A second acceptance: two attempts, two tokens, one request.
    let request_id = RequestId::generate();
    let (one, two) = (world.sign(&claims(request_id, 100)), world.sign(&claims(request_id, 100)));
    assert_eq!(service.call(&one, &echo("100", &one)).await.received(), ("received", 100));
    for _ in 0..2 {
        assert_eq!(service.call(&two, &echo("100", &two)).await.quarantined(), "nothing-open");
    }
    assert_eq!(world.rows().await, [1, 2, 1]);
    // An expired token.
    let mut late_claims = claims(RequestId::generate(), 100);
    late_claims.exp = (Utc::now() - Duration::seconds(1)).timestamp();
    let late = world.sign(&late_claims);
    for _ in 0..2 {
        assert_eq!(service.call(&late, &echo("100", &late)).await.quarantined(), "expired");
    }
    assert_eq!(world.rows().await, [1, 3, 2]);
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM quarantine WHERE status = 'waiting'").await, 200);
    world.wait_for_depth("sales.stock-received", 1).await;
    // The event is removed when the broker has confirmed it, which may be after it arrived.
    world.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_product_or_factory_is_a_conflict_and_kept_once() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);
    let mut body = echo("100", &token);
    body["MessageAttributeProductId"] = json!("CP-1");
    for _ in 0..2 {
        let answer = service.call(&token, &body).await;
        assert_eq!(answer.refusal(), (409, "callback-mismatch"));
        assert_eq!(answer.body["field"], "MessageAttributeProductId");
    }
    assert_eq!(world.rows().await, [0, 0, 1]);
    let mut body = echo("100", &token);
    body["MessageAttributeFactoryId"] = json!("FF-1");
    assert_eq!(service.call(&token, &body).await.body["field"], "MessageAttributeFactoryId");
    assert_eq!(world.rows().await, [0, 0, 2]);
    let kept = "SELECT count(*) FROM quarantine WHERE reason = 'callback-mismatch' AND quantity = 100 \
        AND (claimed_product = 'CP-1' OR claimed_factory = 'FF-1') AND sku = 'CP-502101' AND factory_id = 'FF-500293'";
    assert_eq!(world.count(kept).await, 2);
    // A correct repetition is taken.
    assert_eq!(service.call(&token, &echo("100", &token)).await.received(), ("received", 100));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_count_is_named_and_kept_once() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let name = "MessageAttributeProductCnt";
    let bodies = [
        (json!({}), name),
        (json!({name: null}), name),
        (json!({name: 0}), name),
        (json!({name: "-1"}), name),
        (json!({name: 1.5}), name),
        (json!({name: "a hundred"}), name),
        (json!({name: 1_000_001}), name),
        (json!({name: 1_000_000_000_000_i64}), name),
        (json!({name: "99999999999999999999999999"}), name),
        (json!({"OrderStockCnt": "-5"}), "OrderStockCnt"),
        (json!({name: [100]}), name),
    ];
    let token = world.token(100);
    for (index, (body, field)) in (1_i64..).zip(&bodies) {
        let mut first = None;
        for _ in 0..2 {
            let answer = service.call(&token, body).await;
            assert_eq!(answer.refusal(), (400, "invalid-count"), "{body}");
            assert_eq!(answer.body["field"], *field, "{body}");
            let detail = answer.body["detail"].clone();
            assert_eq!(first.get_or_insert(detail.clone()), &detail);
        }
        // `{}` and null are equivalent.
        let entries = if index == 1 { 1 } else { index - 1 };
        assert_eq!(world.rows().await, [0, 0, entries], "{body}");
    }
    assert_eq!(world.count("SELECT count(*) FROM quarantine WHERE quantity IS NULL").await, 10);
    assert_eq!(service.call(&token, &echo("100", &token)).await.received(), ("received", 100));
    service.stop().await;
}
