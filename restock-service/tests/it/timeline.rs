//! The recorded history of production requests, in chronological order.

use chrono::{DateTime, Utc};
use jaego_contracts::ids::{OrderId, Quantity, RequestId};
use jaego_contracts::production;
use jaego_contracts::production::ProductionOutcome;
use jaego_contracts::trace::TraceContext;
use reqwest::Method;
use serde_json::{Value, json};

use crate::consumers::requested;
use crate::harness::{FACTORY, SKU, Service, claims, echo, part};

/// Returns the steps, which must be in order, and what comes next.
async fn timeline_of(service: &Service, question: &str) -> (Vec<Value>, Vec<Value>) {
    let answer = service.get(&format!("/api/v1/timeline?{question}")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["truncated"]), (200, &json!(false)), "{answer:?}");
    let list = |name: &str| answer.body[name].as_array().unwrap().clone();
    let items = list("items");
    let at = |item: &Value| item["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(items.is_sorted_by_key(at), "{items:?}");
    assert!(items.iter().all(|item| item["service"] == "restock-service"));
    (items, list("next"))
}

fn kinds(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["kind"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_deliveries_and_the_operators_who_booked_or_judged_them() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let trace = TraceContext::new_root();
    let event = requested(request_id, 100);
    world.publish(&production::REQUESTED, trace, &event).await;
    world.wait_for_count("SELECT count(*) FROM production_requests", 1).await;
    let question = format!("request={request_id}");
    let (items, next) = timeline_of(&service, &question).await;
    assert_eq!(kinds(&items), ["restock.expected"]);
    assert_eq!(items[0]["subject"], json!({"type": "production_request", "id": request_id}));
    assert_eq!((&items[0]["quantity"], &items[0]["trace_id"]), (&json!(100), &json!(trace.trace_id())));
    let asked_at: DateTime<Utc> = items[0]["detail"]["requested_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(asked_at.timestamp_micros(), event.requested_at.timestamp_micros());
    assert_eq!((&next[0]["what"], &next[0]["quantity"], next.len()), (&json!("goods"), &json!(100), 1));

    let token = world.sign(&claims(request_id, 100));
    assert_eq!(service.call(&token, &part("a", 60)).await.received(), ("received", 60));
    let body = json!({"request_id": request_id, "quantity": 10, "reason": "delivery note 4711"});
    let by_hand = service.post("/api/v1/receipts", body.clone()).await;
    assert_eq!(by_hand.status.as_u16(), 201, "{by_hand:?}");
    // 30 are open; the rest is quarantined.
    assert_eq!(service.call(&token, &part("b", 50)).await.received(), ("received", 30));
    let (items, next) = timeline_of(&service, &question).await;
    assert_eq!(
        kinds(&items),
        ["restock.expected", "receipt.booked", "receipt.booked", "receipt.booked", "quarantine.kept"]
    );
    let first = &items[1];
    assert_eq!((&first["sku"], &first["quantity"]), (&json!(SKU), &json!(60)));
    assert_eq!(first["detail"], json!({"request_id": request_id, "factory_id": FACTORY, "delivery_id": "a"}));
    assert_eq!(first["trace_id"].as_str().map(str::len), Some(32));
    let second = &items[2];
    assert_eq!(second["subject"], json!({"type": "receipt", "id": by_hand.body["id"]}));
    assert_eq!((&second["detail"]["actor"], &second["detail"]["reason"]), (&json!("kim"), &body["reason"]));
    let kept = &items[4];
    assert_eq!((&kept["quantity"], &kept["detail"]["reason"]), (&json!(20), &json!("over-delivery")));
    assert_eq!((&kept["detail"]["status"], &kept["detail"]["delivery_id"]), (&json!("waiting"), &json!("b")));
    assert_eq!((&next[0]["what"], &next[0]["subject"], next.len()), (&json!("decision"), &kept["subject"], 1));

    let id = kept["subject"]["id"].as_str().unwrap();
    let reason = json!({"reason": "counted: 20 more in the truck"});
    let path = format!("/api/v1/quarantine/{id}/accept");
    let accepted = service.post(&path, reason.clone()).await;
    assert_eq!(accepted.status.as_u16(), 200, "{accepted:?}");
    let (items, next) = timeline_of(&service, &question).await;
    let judged = items.iter().find(|item| item["kind"] == "quarantine.accepted").unwrap();
    assert_eq!(judged["at"], accepted.body["decided_at"]);
    let detail = json!({
        "actor": "kim", "reason": reason["reason"], "receipt_id": accepted.body["receipt_id"], "request_id": request_id,
    });
    assert_eq!(judged["detail"], detail);
    assert_eq!(kinds(&items).iter().filter(|kind| **kind == "receipt.booked").count(), 4);
    assert!(next.is_empty(), "{next:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_deliveries_for_a_cancelled_request() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    // At first, only the token describes the request.
    let token = world.sign(&claims(request_id, 100));
    service.call(&token, &part("a", 60)).await;
    let question = format!("request={request_id}");
    let (items, _) = timeline_of(&service, &question).await;
    let known = items.iter().find(|item| item["kind"] == "restock.expected").unwrap();
    assert_eq!((items.len(), &known["trace_id"]), (2, &Value::Null));
    let outcome = ProductionOutcome {
        request_id,
        sku: SKU.parse().unwrap(),
        quantity: Quantity::try_from(100).unwrap(),
        factory_id: FACTORY.parse().unwrap(),
        revision: 1,
        at: Utc::now(),
        reason: "closed short".to_owned(),
    };
    world.publish(&production::CANCELLED, TraceContext::new_root(), &outcome).await;
    world.wait_for_count("SELECT count(*) FROM production_requests WHERE cancelled_at IS NOT NULL", 1).await;
    let mut other = echo("40", &token);
    other["MessageAttributeProductId"] = json!("CP-1");
    assert_eq!(service.call(&token, &other).await.problem(), "callback-mismatch");
    let (items, next) = timeline_of(&service, &question).await;
    assert_eq!(kinds(&items)[2..], ["restock.called_off", "quarantine.kept"]);
    let kept = &items[3];
    assert_eq!((&kept["detail"]["claimed_sku"], &kept["sku"]), (&json!("CP-1"), &json!(SKU)));
    assert!(!json!(items).to_string().contains(&token), "a token is shown");
    assert_eq!((next.len(), &next[0]["what"]), (1, &json!("decision")));

    let id = kept["subject"]["id"].as_str().unwrap();
    let path = format!("/api/v1/quarantine/{id}/discard");
    let reason = json!({"reason": "nothing came"});
    assert_eq!(service.post(&path, reason.clone()).await.status, 200);
    let (items, next) = timeline_of(&service, &question).await;
    let judged = items.last().unwrap();
    assert_eq!((&judged["kind"], &judged["detail"]["reason"]), (&json!("quarantine.discarded"), &reason["reason"]));
    assert!(next.is_empty());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_about_one_order_or_some_requests() {
    let service = Service::start(&[]).await;
    let (order, request) = (OrderId::generate(), RequestId::generate());
    let url = "/api/v1/timeline";
    for question in [String::new(), "?request=x".to_owned(), format!("?order={order}&request={request}")] {
        let answer = service.get(&format!("{url}{question}")).await;
        assert_eq!(answer.refusal(), (422, "invalid-request"), "{question}");
    }
    for question in [format!("order={order}"), format!("request={request},{order}")] {
        let (items, next) = timeline_of(&service, &question).await;
        assert!(items.is_empty() && next.is_empty());
    }
    let path = format!("{url}?order={order}");
    assert_eq!(service.send_as(None, Method::GET, &path, None).await.problem(), "unauthorized");
    assert_eq!(service.get(&format!("{}{path}", service.public)).await.problem(), "not-found");
    service.stop().await;
}
