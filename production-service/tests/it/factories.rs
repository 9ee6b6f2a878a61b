//! `/api/v1/factories`.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, VIEWER_TOKEN};

use crate::harness::{FACTORY, World, parse_event};

const PATH: &str = "/api/v1/factories/FF-500293";

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_is_added_changed_and_announced() {
    let world = World::new("1,5,30").await;
    let service = world.start().await;
    let added = service.put(PATH, json!({"name": "부산도너츠 공장", "base_url": "https://factory.example/"})).await;
    assert_eq!((added.status.as_u16(), added.etag()), (201, Some("\"1\"")));
    let defaults = json!({
        "id": FACTORY, "name": "부산도너츠 공장", "base_url": "https://factory.example", "requester": "재고담당",
        "enabled": true, "timeout_ms": 5000, "max_in_flight": 8, "rate_per_s": null, "lead_time_s": 60,
        "overdue_factor": 2.0, "fallback_factory_id": null, "retry_schedule": [1, 5, 30], "callback_sources": [],
        "lead_time_p50_s": null, "lead_time_p90_s": null, "revision": 1,
        "breaker": {
            "state": "closed", "failures_in_a_row": 0, "opened_at": null, "next_probe_at": null, "last_error": null,
        },
    });
    assert_eq!(added.body, defaults);

    let all = json!({
        "id": FACTORY, "name": "둘째", "base_url": "http://203.0.113.7:8080/x", "requester": "담당", "enabled": false,
        "timeout_ms": 700, "max_in_flight": 3, "rate_per_s": 2.5, "lead_time_s": 40, "overdue_factor": 3.5,
        "fallback_factory_id": "FF-2", "retry_schedule": [1, 0.5], "callback_sources": ["203.0.113.0/24", "::1/128"],
    });
    let changed = service.put_if_match(PATH, "\"1\"", all.clone()).await;
    assert_eq!((changed.status.as_u16(), changed.etag()), (200, Some("\"2\"")));
    for (field, value) in all.as_object().unwrap() {
        assert_eq!(&changed.body[field], value, "{field}");
    }
    let stale = service.put_if_match(PATH, "\"1\"", all).await;
    assert_eq!((stale.status.as_u16(), &stale.body["type"]), (412, &json!("/problems/precondition-failed")));
    let shown = service.get(PATH).await;
    assert_eq!((shown.status.as_u16(), shown.etag(), &shown.body), (200, Some("\"2\""), &changed.body));

    // Omitted fields return to their defaults.
    let back = service.put(PATH, json!({"name": "부산도너츠 공장", "base_url": "https://factory.example"})).await;
    let mut expected = defaults;
    expected["revision"] = json!(3);
    assert_eq!(back.body, expected);

    let events: Vec<Value> = world.messages("sales.factories", 3).await.iter().map(|one| parse_event(one).1).collect();
    let revisions: Vec<&Value> = events.iter().map(|data| &data["revision"]).collect();
    assert_eq!(revisions, [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(events[1]["callback_sources"], json!(["203.0.113.0/24", "::1/128"]));
    assert_eq!((&events[1]["enabled"], &events[1]["lead_time_s"]), (&json!(false), &json!(40)));
    world.messages("restock.factories", 3).await;
    let audited =
        "SELECT count(*) FROM audit_log WHERE actor = 'kim' AND action = 'factory.put' AND subject = 'FF-500293'";
    assert_eq!(world.count(audited).await, 3);
    world.finish(service).await;
}

// Control: roles.
#[tokio::test(flavor = "multi_thread")]
async fn roles_are_enforced() {
    let world = World::new("1").await;
    let service = world.start().await;
    let body = || Some(json!({"name": "x", "base_url": "http://factory.example"}));
    for (method, token, status) in [
        (Method::PUT, None, 401),
        (Method::PUT, Some("wrong"), 401),
        (Method::PUT, Some(VIEWER_TOKEN), 403),
        (Method::GET, None, 401),
        (Method::GET, Some(VIEWER_TOKEN), 404),
        (Method::GET, Some(OPERATOR_TOKEN), 404),
        (Method::DELETE, Some(OPERATOR_TOKEN), 405),
    ] {
        let answer = service.send_as(token, method.clone(), PATH, body()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {token:?}");
        assert_eq!(answer.content_type(), "application/problem+json", "{method} {token:?}");
    }
    assert_eq!(world.count("SELECT count(*) FROM factories").await, 0);
    // The public listener serves none of this.
    assert_eq!(service.get(&format!("{}{PATH}", service.public)).await.status, 404);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_of_a_factory_are_refused_by_name() {
    let world = World::new("1").await;
    let service = world.start().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"name": "x", "base_url": "http://factory.example"});
        body[field] = value;
        body
    };
    for (field, value) in [
        ("id", json!("FF-other")),
        ("name", json!("")),
        ("base_url", json!("ftp://factory.example")),
        ("base_url", json!("http://user:secret@factory.example")),
        ("base_url", json!("http://factory.example?x=1")),
        ("base_url", json!("http://factory.example#x")),
        ("timeout_ms", json!(1)),
        ("timeout_ms", json!(-1)),
        ("timeout_ms", json!(1.5)),
        ("max_in_flight", json!(0)),
        ("max_in_flight", json!(10_000_000_000_i64)),
        ("rate_per_s", json!(-1)),
        ("lead_time_s", json!(0)),
        ("overdue_factor", json!(0.5)),
        ("fallback_factory_id", json!(FACTORY)),
        ("fallback_factory_id", json!("not an id")),
        ("retry_schedule", json!([-1])),
        ("callback_sources", json!(["203.0.113.0/99"])),
    ] {
        let answer = service.put(PATH, with(field, value.clone())).await;
        assert_eq!(answer.status.as_u16(), 422, "{field} {value}: {}", answer.body);
        let named = answer.body["field"].as_str().unwrap_or_default();
        assert!(named.starts_with(field), "{field} {value}: {}", answer.body);
        assert!(!answer.body.to_string().contains("secret"), "{}", answer.body);
    }
    let unknown = service.put(PATH, with("base_ulr", json!("x"))).await;
    assert_eq!((unknown.status.as_u16(), &unknown.body["unknown_fields"]), (422, &json!(["base_ulr"])));
    let missing = service.put(PATH, json!({"name": "x"})).await;
    assert_eq!(missing.status.as_u16(), 422);
    assert!(missing.body["detail"].as_str().unwrap().contains("base_url"));
    assert_eq!(service.put("/api/v1/factories/a%20b", with("enabled", json!(true))).await.status.as_u16(), 400);
    assert_eq!(world.count("SELECT count(*) FROM factories").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM audit_log").await, 0);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn factories_are_listed_by_page() {
    let world = World::new("1").await;
    let service = world.start().await;
    for id in ["FF-3", "FF-1", "FF-2"] {
        service.put_factory(id, json!({})).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = service.get("/api/v1/factories?limit=2").await.body;
    assert_eq!(ids(&first), ["FF-1", "FF-2"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.get(&format!("/api/v1/factories?limit=2&cursor={cursor}")).await.body;
    assert_eq!((ids(&second), &second["next_cursor"]), (vec!["FF-3".to_owned()], &Value::Null));
    assert_eq!(service.get("/api/v1/factories?limit=0").await.status.as_u16(), 422);
    assert_eq!(service.get("/api/v1/factories?sort=name").await.status.as_u16(), 400);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_examples_are_accepted_and_returned() {
    let world = World::new("1").await;
    let service = world.start().await;
    let document = service.get("/openapi.json").await.body;
    let example = |name: &str| document["components"]["schemas"][name]["example"].clone();
    let added = service.put(PATH, example("FactoryInput")).await;
    assert_eq!(added.status.as_u16(), 201, "{}", added.body);
    let mut shown = example("FactoryBody");
    for field in ["lead_time_p50_s", "lead_time_p90_s"] {
        assert!(shown[field].as_i64() >= Some(1), "{field}");
        shown[field] = Value::Null;
    }
    shown["revision"] = json!(1);
    assert_eq!(added.body, shown, "but for what has not been measured");
    world.finish(service).await;
}
