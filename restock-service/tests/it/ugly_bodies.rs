//! Correct content in a bad form: the goods are booked, and unreadable bodies are kept.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::harness::{Service, echo, part};

/// How a factory encodes a text.
type Way = fn(String) -> Vec<u8>;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_counts_whatever_its_encoding_and_media_type() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let text = |token: &str| echo("100", token).to_string();
    let ways: [(&str, Way); 7] = [
        ("text/plain", String::into_bytes),
        ("application/x-www-form-urlencoded", String::into_bytes),
        ("", String::into_bytes),
        ("application/json; charset=utf-8", String::into_bytes),
        ("application/json", |text| ["\u{feff}", &text].concat().into_bytes()),
        ("application/json", |text| [&text, "\0"].concat().into_bytes()),
        ("application/json; charset=euc-kr", |text| {
            // The requester's name, 재고담당, in EUC-KR.
            let name = [0xc0, 0xe7, 0xb0, 0xed, 0xb4, 0xe3, 0xb4, 0xe7];
            let (before, after) = text.split_once("재고담당").unwrap();
            [before.as_bytes(), &name, after.as_bytes()].concat()
        }),
    ];
    for (media_type, way) in ways {
        let token = world.token(100);
        let answer = service.call_with(&token, &[("content-type", media_type)], way(text(&token))).await;
        assert_eq!(answer.received(), ("received", 100), "{media_type}");
    }
    assert_eq!(world.rows().await, [7, 7, 0]);
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE body LIKE '%재고담당%'").await, 7);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_body_is_kept_as_it_arrived() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);
    let bodies: [&[u8]; 9] = [
        b"",
        b"nonsense",
        b"{",
        b"[]",
        b"\"100\"",
        b"null",
        b"{\"a\":1} trailing",
        b"cnt=100&product=CP-502101",
        b"\xff\xfe\0",
    ];
    for body in bodies {
        let answer = service.call_with(&token, &[], body).await;
        assert_eq!(answer.quarantined(), "unreadable-body", "{body:?}");
    }
    let again = service.call_with(&token, &[("content-type", "text/plain")], "nonsense").await;
    assert_eq!(again.quarantined(), "unreadable-body");
    assert_eq!(world.rows().await, [0, 0, 9]);
    let listed = service.get("/api/v1/quarantine").await;
    let entries = listed.body["items"].as_array().unwrap();
    let nonsense = entries.iter().find(|entry| entry["body_base64"] == BASE64_STANDARD.encode("nonsense")).unwrap();
    assert_eq!((&nonsense["times_received"], &nonsense["body"]), (&json!(2), &json!("")));
    assert!(nonsense["last_received_at"].as_str() > nonsense["created_at"].as_str(), "{nonsense}");
    let form = entries.iter().filter(|entry| entry["body_base64"] == BASE64_STANDARD.encode(bodies[7]));
    assert!(form.map(|entry| &entry["times_received"]).eq([&json!(1)]));

    // Its goods are accepted by hand.
    let url = format!("/api/v1/quarantine/{}/accept", nonsense["id"].as_str().unwrap());
    let accepted = service.post(&url, json!({"reason": "delivery note", "quantity": 100})).await;
    assert_eq!((accepted.status.as_u16(), &accepted.body["status"]), (200, &json!("accepted")), "{accepted:?}");
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 100);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_body_that_is_too_large_only_that_it_came_is_kept() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let big = json!({"MessageAttributeProductCnt": "100", "padding": "x".repeat(64 * 1024)}).to_string();
    let answer = service.call_with(&world.token(100), &[], big.clone()).await;
    assert_eq!(answer.refusal(), (413, "payload-too-large"));
    assert_eq!(world.rows().await, [0, 0, 1]);
    let kept =
        "SELECT count(*) FROM quarantine WHERE reason = 'unreadable-body' AND body = '' AND length(body_bytes) = 0";
    assert_eq!(world.count(kept).await, 1);
    let answer = service.call_with("not-a-token", &[], big).await;
    assert_eq!(answer.refusal(), (400, "malformed-request"));
    assert_eq!(world.rows().await, [0, 0, 1], "a stranger leaves nothing");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nameless_parts_of_one_size_are_counted_though_only_one_is_booked() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);
    assert_eq!(service.call(&token, &json!({"OrderStockCnt": 10})).await.received(), ("received", 10));
    for _ in 0..9 {
        let answer = service.call(&token, &json!({"OrderStockCnt": 10})).await;
        assert_eq!(answer.quarantined(), "ambiguous-delivery");
    }
    assert_eq!(world.rows().await, [1, 1, 1]);
    assert_eq!(world.count("SELECT times_received FROM quarantine").await, 9);
    // An operator who takes long to judge it blocks no callback.
    let operator = world.as_admin().await;
    operator.batch_execute("BEGIN; SELECT FROM quarantine FOR UPDATE").await.unwrap();
    let answer = service.call(&token, &json!({"OrderStockCnt": 10})).await;
    assert_eq!(answer.quarantined(), "ambiguous-delivery");
    operator.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(world.count("SELECT times_received FROM quarantine").await, 9);
    // A named delivery is the same whichever attempt's token it comes with.
    let request_id = jaego_contracts::ids::RequestId::generate();
    let tokens = [0, 1].map(|_| world.sign(&crate::harness::claims(request_id, 10)));
    assert_eq!(service.call(&tokens[0], &part("a", 10)).await.received(), ("received", 10));
    assert_eq!(service.call(&tokens[1], &part("b", 5)).await.quarantined(), "nothing-open");
    assert_eq!(service.call(&tokens[0], &part("b", 5)).await.quarantined(), "nothing-open");
    assert_eq!(world.rows().await, [2, 3, 2]);
    assert_eq!(world.count("SELECT times_received FROM quarantine WHERE delivery_id = 'b'").await, 2);
    service.stop().await;
}
