//! Bad input gets the right problem and status, and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use testkit::wait_until;

use crate::harness::{Response, SOON, Shop, bearer, one, policy, product_body};

#[track_caller]
pub fn assert_problem(answer: &Response, status: u16, slug: &str) {
    assert_eq!(answer.refusal(), (status, slug), "{answer:?}");
}

async fn raw(shop: &Shop, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = shop.http.post(format!("{}/api/v1/orders", shop.api)).header("Content-Type", content_type);
    Response::to(request.body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_orders_are_refused_with_reasons_and_change_nothing() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5, policy()).await;
    for malformed in ["", "{", "not json", r#"{"lines":[]} x"#] {
        assert_problem(&raw(&shop, "application/json", malformed).await, 400, "malformed-request");
    }
    for quantity in [json!(0), json!(-1), json!(1.5), json!(1_000_000_000_000_i64), json!("1"), Value::Null] {
        let body = json!({"lines": [{"sku": "CP-1", "quantity": quantity}]});
        let answer = shop.order(body).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(answer.body["field"], "lines[0].quantity");
    }
    let unknown = shop.order(json!({"lines": [{"sku": "CP-1", "quantity": 1, "colour": 1}], "coupon": 2})).await;
    assert_problem(&unknown, 422, "invalid-request");
    let named = unknown.body["unknown_fields"].to_string();
    assert!(named.contains("colour") && named.contains("coupon"), "{named}");
    let fifty_one: Vec<Value> = (0..51).map(|_| json!({"sku": "CP-1", "quantity": 1})).collect();
    assert_problem(&shop.order(json!({"lines": fifty_one})).await, 422, "invalid-request");
    assert_problem(&shop.order(json!({"lines": []})).await, 422, "invalid-request");
    assert_problem(&shop.order(json!({"lines": [{"sku": "도너츠", "quantity": 1}]})).await, 422, "invalid-request");
    assert_problem(&shop.order(one("NOT-HERE", 1)).await, 422, "unknown-product");
    let long = "x".repeat(201);
    let body = json!({"lines": [{"sku": "CP-1", "quantity": 1}], "customer": long});
    assert_problem(&shop.order(body).await, 422, "invalid-request");
    let ten_mib = vec![b' '; 10 * 1024 * 1024];
    assert_problem(&raw(&shop, "application/json", ten_mib).await, 413, "payload-too-large");
    assert_problem(&raw(&shop, "text/plain", "{}").await, 415, "unsupported-media-type");
    let long_key = "k".repeat(256);
    for key in ["", "with space", long_key.as_str()] {
        assert_problem(&shop.order_with_key(key, one("CP-1", 1)).await, 400, "malformed-request");
    }
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 0);
    assert_eq!(shop.figures("CP-1").await, (5, 0, 0));
}

// Control: hostile-text.
#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_and_tokens() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5, policy()).await;
    assert_problem(&shop.get("/nowhere").await, 404, "not-found");
    assert_problem(&shop.send(Method::DELETE, "/api/v1/orders", &[], None).await, 405, "method-not-allowed");
    assert_problem(&shop.get("/api/v1/orders/not-an-id").await, 400, "malformed-request");
    assert_problem(&shop.get("/api/v1/orders/0192f0c1-2222-7000-8000-000000000000").await, 404, "not-found");
    assert_problem(&shop.get("/api/v1/stock?limit=0").await, 422, "invalid-request");
    assert_problem(&shop.get("/api/v1/stock?cursor=bm9wZQ").await, 422, "invalid-request");

    for path in ["/api/v1/products/%00", "/api/v1/stock/%00", "/api/v1/stock/%00/movements"] {
        assert_problem(&shop.get(path).await, 404, "not-found");
    }
    assert_problem(&shop.get("/api/v1/replenishments?sku=%00").await, 400, "malformed-request");
    // The cursor is "products\na\0" in base64.
    assert_problem(&shop.get("/api/v1/products?cursor=cHJvZHVjdHMKYQA").await, 422, "invalid-request");

    for path in ["/api/v1/dead-letters?queue=%00", "/api/v1/dead-letters?group=a%00b"] {
        assert_problem(&shop.get(path).await, 422, "invalid-request");
    }
    let redrive = "/api/v1/dead-letters/redrive";
    for group in ["\0", &"x".repeat(256)] {
        let answer = shop.operate(Method::POST, redrive, json!({"group": group})).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(answer.body["field"], "group");
    }
    // This path also fits `/api/v1/dead-letters/{id}`, which is read with GET.
    for path in [redrive, "/api/v1/dead-letters/discard"] {
        let answer = shop.get(path).await;
        assert_problem(&answer, 405, "method-not-allowed");
        assert_eq!(answer.headers["allow"], "POST", "{path}");
    }

    let stock = "/api/v1/stock/CP-1";
    assert_problem(&shop.send(Method::GET, stock, &[], None).await, 401, "unauthorized");
    let wrong = [("Authorization", "Bearer wrong")];
    assert_problem(&shop.send(Method::GET, stock, &wrong, None).await, 401, "unauthorized");
    let viewer = format!("Bearer {}", testkit::service::VIEWER_TOKEN);
    let viewer = [("Authorization", viewer.as_str())];
    assert_eq!(shop.send(Method::GET, stock, &viewer, None).await.status, 200);
    let body = Some(json!({"delta": 1, "reason": "correction"}));
    let adjusted = shop.send(Method::POST, "/api/v1/products/CP-1/adjustments", &viewer, body).await;
    assert_problem(&adjusted, 403, "forbidden");
    assert_eq!(shop.figures("CP-1").await, (5, 0, 0));

    let public = shop.http.get(format!("{}{stock}", shop.public)).header("Authorization", bearer());
    assert_problem(&Response::to(public).await, 404, "not-found");
    let products = shop.http.get(format!("{}/api/v1/products", shop.public));
    assert_eq!(Response::to(products).await.body["items"][0]["available"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_products_and_adjustments_change_nothing() {
    let shop = Shop::open().await;
    let with = |key: &str, value: Value| {
        let mut policy = policy();
        policy[key] = value;
        product_body(&policy)
    };
    let price = |amount: i64, currency: &str| {
        let mut body = product_body(&policy());
        body["price"] = json!({"amount": amount, "currency": currency});
        body
    };
    let bad = [
        with("reorder_point", json!(-1)),
        with("lot_size", json!(0)),
        with("lot_size", json!(1_000_001)),
        with("order_up_to", json!(0)),
        with("order_up_to", json!(1_000_001)),
        with("mode", json!("sometimes")),
        with("max_backordered", json!(-1)),
        with("colour", json!(1)),
        price(-1, "KRW"),
        price(1_000_000_001, "KRW"),
        price(1, "USD"),
    ];
    for body in bad {
        let put = shop.operate(Method::PUT, "/api/v1/products/CP-1", body).await;
        assert_problem(&put, 422, "invalid-request");
    }
    assert_problem(
        &shop.operate(Method::PUT, "/api/v1/products/-x", product_body(&policy())).await,
        422,
        "invalid-request",
    );
    assert_eq!(shop.count("SELECT count(*) FROM products").await, 0);

    shop.product("CP-1", 5, policy()).await;
    let path = "/api/v1/products/CP-1/adjustments";
    for delta in [json!(0), json!(1_000_001), json!(1.5), json!(i64::MIN)] {
        let body = json!({"delta": delta, "reason": "damage"});
        assert_problem(&shop.operate(Method::POST, path, body).await, 422, "invalid-request");
    }
    let body = json!({"delta": -6, "reason": "damage"});
    let below = shop.operate(Method::POST, path, body).await;
    assert_problem(&below, 409, "conflict");
    assert_eq!(below.body["on_hand"], 5);
    let body = json!({"delta": 1, "reason": "return"});
    assert_problem(&shop.operate(Method::POST, "/api/v1/products/NO/adjustments", body).await, 404, "not-found");
    assert_eq!(shop.figures("CP-1").await, (5, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_public_listener_has_a_limit() {
    let limits = [("TRUSTED_HOPS", "1"), ("CLIENT_RATE_PER_S", "1"), ("CLIENT_BURST", "3")];
    let limits = limits.map(|(name, value)| (format!("JAEGO_SALES__HTTP__{name}"), value));
    let limits = limits.each_ref().map(|(name, value)| (name.as_str(), *value));
    let shop = Shop::open_with(&limits).await;
    let ask = async |base: &str, address: &str| {
        let request = shop.http.get(format!("{base}/api/v1/products")).header("x-forwarded-for", address);
        Response::to(request.header("Authorization", bearer())).await
    };
    let refused = wait_until("it is refused", SOON, async || {
        let answer = ask(&shop.public, "192.0.2.7").await;
        if answer.status == 429 { Ok(answer) } else { Err(answer.status) }
    })
    .await;
    assert_problem(&refused, 429, "too-many-requests");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(ask(&shop.public, "198.51.100.1").await.status, 200);
    for _ in 0..10 {
        assert_eq!(ask(&shop.api, "192.0.2.7").await.status, 200);
        // The frontend calls from inside, and has limited its clients already.
        assert_eq!(Response::to(shop.http.get(format!("{}/api/v1/products", shop.public))).await.status, 200);
    }
}
