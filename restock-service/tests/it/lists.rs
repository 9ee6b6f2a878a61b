//! The operators' lists.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, VIEWER_TOKEN};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{FACTORY, SKU, Service, World, echo, part};

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_paged_newest_first() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);
    let mut expected: Vec<Value> = Vec::new();
    for (id, count) in [("a", 10), ("b", 20), ("c", 30)] {
        let answer = service.call(&token, &part(id, count)).await;
        expected.insert(0, answer.body["receipt_id"].clone());
    }
    let url = "/api/v1/receipts";
    let page = service.get(&format!("{url}?limit=2")).await;
    assert_eq!(page.status.as_u16(), 200, "{page:?}");
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = service.get(&format!("{url}?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.body["next_cursor"], Value::Null);
    let items: Vec<Value> =
        [&page, &rest].iter().flat_map(|page| page.body["items"].as_array().unwrap().clone()).collect();
    assert_eq!(items.iter().map(|item| item["id"].clone()).collect::<Vec<_>>(), expected);
    let newest = &items[0];
    assert_eq!((&newest["sku"], &newest["factory_id"]), (&json!(SKU), &json!(FACTORY)));
    assert_eq!((&newest["quantity"], &newest["delivery_id"]), (&json!(30), &json!("c")));
    assert!(newest["request_id"].is_string() && newest["received_at"].as_str().unwrap().ends_with('Z'));

    for (query, status) in [("?limit=0", 422), ("?limit=201", 422), ("?cursor=x", 422), ("?limit=many", 400)] {
        assert_eq!(service.get(&format!("{url}{query}")).await.status, status, "{query}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_shows_deliveries_without_their_tokens() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);
    let mut body = echo("100", &token);
    body["MessageAttributeProductId"] = json!("CP-1");
    service.call(&token, &body).await;
    service.call(&token, &part("d", 130)).await;
    let page = service.get("/api/v1/quarantine").await;
    let items = page.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["reason"], &items[0]["quantity"]), (&json!("over-delivery"), &json!(30)));
    assert_eq!((&items[0]["delivery_id"], &items[0]["status"]), (&json!("d"), &json!("waiting")));
    let mismatch = &items[1];
    assert_eq!((&mismatch["reason"], &mismatch["claimed_sku"]), (&json!("callback-mismatch"), &json!("CP-1")));
    assert_eq!((&mismatch["sku"], &mismatch["quantity"]), (&json!(SKU), &json!(100)));
    let shown = format!("<callback:{}>", mismatch["jti"].as_str().unwrap());
    assert_eq!(mismatch["body"]["CallbackUrl"], json!(shown));
    assert_eq!(mismatch["body"]["MessageAttributeRequester"], "재고담당");
    service.stop().await;
}

// Control: operators-not-public.
#[tokio::test(flavor = "multi_thread")]
async fn operator_endpoints_require_a_token_and_are_not_public() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    for path in ["/api/v1/receipts", "/api/v1/quarantine"] {
        assert_eq!(service.send_as(None, Method::GET, path, None).await.problem(), "unauthorized");
        assert_eq!(service.send_as(Some("wrong"), Method::GET, path, None).await.status, 401);
        for token in [VIEWER_TOKEN, OPERATOR_TOKEN] {
            let list = service.send_as(Some(token), Method::GET, path, None).await;
            assert_eq!(list.body, json!({"items": [], "next_cursor": null}));
        }
        let public = service.get(&format!("{}{path}", service.public)).await;
        assert_eq!(public.problem(), "not-found");
    }
    // The callback is served by both listeners.
    let path = format!("/callbacks/v1/restocks/{}", world.token(5));
    let answer = service.send_as(None, Method::POST, &path, Some(part("a", 5))).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("received")), "{answer:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_complete_and_true() {
    let service = Service::start(&[]).await;
    let document = service.get("/openapi.json").await.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["title"], "Jaego restock-service");
    // Each of them has a test of its own.
    let answers = &document["paths"]["/callbacks/v1/restocks/{token}"]["post"]["responses"];
    for status in ["200", "202", "400", "401", "403", "409", "413", "415", "429", "503"] {
        assert!(answers[status].is_object(), "{status}");
    }
    assert_eq!(testkit::openapi::complaints(&service.api, &service.public).await, Vec::<String>::new());
    service.stop().await;
}

// Control: wrong-tokens.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_logged_counted_and_limited_for_their_sender() {
    let world = World::new().await;
    let replica = world.replica(&[("HTTP__TRUSTED_HOPS", "1"), ("AUTH__WRONG_PER_MINUTE_MAX", "3")]).await;
    let ask = async |token: &str, address: &str| {
        let headers = [("authorization", format!("Bearer {token}")), ("x-forwarded-for", address.to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        replica.send(Method::GET, "/api/v1/receipts", &headers, None).await
    };
    for _ in 0..3 {
        assert_eq!(ask("a-secret-guess", "203.0.113.1, 192.0.2.7").await.problem(), "unauthorized");
    }
    let refused = ask(VIEWER_TOKEN, "192.0.2.7").await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (429, "too-many-attempts"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(ask(VIEWER_TOKEN, "198.51.100.1").await.status, 200);
    // Jaego's own programs share an address.
    for _ in 0..200 {
        assert_eq!(ask("a-secret-guess", "10.0.0.5").await.status, 401);
    }
    assert_eq!(ask(VIEWER_TOKEN, "10.0.0.5").await.status, 200);
    assert_eq!(replica.metric::<u64>("jaego_wrong_tokens_total", "").await, Some(203));
    let lines = std::fs::read_to_string(replica.process.log()).unwrap();
    let logged: Vec<&str> = lines.lines().filter(|line| line.contains("refused a wrong token")).collect();
    assert!((4..=70).contains(&logged.len()), "{} lines", logged.len());
    assert!(logged[0].contains("192.0.2.7") && logged[0].contains("WARN"), "{}", logged[0]);
    assert!(!lines.contains("a-secret-guess"));
}

// Control: quiet-garbage.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_no_error_of_ours() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    for garbage in ["\u{16}\u{3}\u{1}", "GET\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n"] {
        let mut client = TcpStream::connect(replica.public.trim_start_matches("http://")).await.unwrap();
        client.write_all(garbage.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
    }
    assert_eq!(replica.get("/api/v1/receipts").await.status, 200);
    let lines = std::fs::read_to_string(replica.process.log()).unwrap();
    assert!(!lines.contains("ERROR"), "{lines}");
}
