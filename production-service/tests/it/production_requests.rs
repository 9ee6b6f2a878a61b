//! `/api/v1/production-requests`.

use factory_simulator::Faults;
use jaego_contracts::ids::RequestId;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::service::VIEWER_TOKEN;

use crate::harness::{FACTORY, SKU, World};

const PATH: &str = "/api/v1/production-requests";

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_listed_newest_first_and_filtered() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        let id = world.request(FACTORY, 10).await;
        service.until(id, "accepted").await;
        sent.push(id.to_string());
    }
    let unknown = world.request("FF-unknown", 10).await;
    service.until(unknown, "refused").await;
    sent.push(unknown.to_string());
    sent.reverse();

    let mut found = Vec::new();
    let mut path = format!("{PATH}?limit=3");
    loop {
        let page = service.get(&path).await.body;
        found.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{PATH}?limit=3&cursor={cursor}");
    }
    assert_eq!(found, sent);
    assert_eq!(ids(&service.get(&format!("{PATH}?status=refused")).await.body), sent[..1]);
    assert_eq!(ids(&service.get(&format!("{PATH}?factory={FACTORY}&status=accepted")).await.body), sent[1..]);
    assert_eq!(ids(&service.get(&format!("{PATH}?sku={SKU}")).await.body).len(), 4);
    assert!(ids(&service.get(&format!("{PATH}?sku=CP-other")).await.body).is_empty());
    for (query, status) in [
        ("status=new", 422),
        ("factory=a%20b", 422),
        ("sku=", 422),
        ("limit=201", 422),
        ("limit=x", 400),
        ("colour=red", 400),
    ] {
        assert_eq!(service.get(&format!("{PATH}?{query}")).await.status.as_u16(), status, "{query}");
    }

    let item = &service.get(&format!("{PATH}?limit=1&status=accepted")).await.body["items"][0];
    for field in [
        "id",
        "sku",
        "factory_id",
        "quantity",
        "received",
        "status",
        "overdue",
        "attempt_count",
        "next_attempt_at",
        "factory_job_id",
        "created_at",
    ] {
        assert!(item.get(field).is_some(), "{field}: {item}");
    }
    assert!(item.get("attempts").is_none(), "attempts are shown with a request alone");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sends_again_and_stops_where_it_is_possible() {
    let world = World::new("600").await;
    let service = world.start_with_factory().await;
    let act = async |id: RequestId, verb: &str| {
        let answer = service.post(&format!("{PATH}/{id}/{verb}"), None).await;
        (answer.status.as_u16(), answer.body)
    };
    world.factory.set_faults(Faults { refuse_status: Some(503), for_next: Some(1), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    service.until(id, "retrying").await;
    let (status, body) = act(id, "retry").await;
    assert_eq!((status, &body["status"]), (200, &json!("retrying")));
    service.until(id, "accepted").await;
    let (status, body) = act(id, "retry").await;
    assert_eq!((status, &body["type"], &body["status_now"]), (409, &json!("/problems/conflict"), &json!("accepted")));
    let (status, body) = act(id, "cancel").await;
    assert_eq!((status, &body["status"]), (200, &json!("cancelled")));
    let (status, body) = act(id, "cancel").await;
    assert_eq!((status, &body["status"]), (200, &json!("cancelled")), "idempotent");
    let kinds: Vec<String> = world.outcomes(2).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["jaego.production.accepted.v1", "jaego.production.cancelled.v1"]);

    let unknown = world.request("FF-unknown", 10).await;
    service.until(unknown, "refused").await;
    assert_eq!(act(unknown, "cancel").await.0, 409);
    assert_eq!(act(unknown, "retry").await.0, 409);

    for verb in ["retry", "cancel"] {
        assert_eq!(act(RequestId::generate(), verb).await.0, 404, "{verb}");
        let path = format!("{PATH}/{id}/{verb}");
        assert_eq!(service.send_as(Some(VIEWER_TOKEN), Method::POST, &path, None).await.status.as_u16(), 403);
        assert_eq!(service.send_as(None, Method::POST, &path, None).await.status.as_u16(), 401);
    }
    assert_eq!(service.production_request(RequestId::generate()).await.status.as_u16(), 404);
    assert_eq!(service.get(&format!("{PATH}/not-a-uuid")).await.status.as_u16(), 400);
    // One entry for each action that had an effect, none for those that were rejected or repeated.
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE action LIKE 'production_request.%'").await, 2);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_complete_and_true() {
    let world = World::new("1").await;
    let service = world.start().await;
    assert_eq!(testkit::openapi::complaints(&service.api, &service.public).await, Vec::<String>::new());
    world.finish(service).await;
}
