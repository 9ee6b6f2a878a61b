//! Requests that an operator hands to the fallback factory.

use factory_simulator::FactorySimulator;
use factory_simulator::{DropConnection, Faults};
use jaego_contracts::ids::RequestId;
use serde_json::{Value, json};

use crate::harness::{FACTORY, Response, Service, World};

const OTHER: &str = "FF-2";

async fn hand_over(service: &Service, id: RequestId, body: Value) -> Response {
    let path = format!("/api/v1/production-requests/{id}/retry");
    service.post(&path, body).await
}

fn refusing() -> Faults {
    Faults { refuse_status: Some(429), ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_withdraws_a_request_and_the_fallback_makes_it() {
    let mut world = World::new("600").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = world.start().await;
    service.put_factory(OTHER, json!({"base_url": other.url()})).await;
    let with = json!({"base_url": world.factory.url(), "fallback_factory_id": OTHER});
    service.put_factory(FACTORY, with.clone()).await;
    world.factory.set_faults(refusing()).unwrap();

    // One request waits for its next attempt, the other is a dead letter.
    let retrying = world.request(FACTORY, 10).await;
    service.until(retrying, "retrying").await;
    let mut short = with.clone();
    short["retry_schedule"] = json!([]);
    service.put_factory(FACTORY, short).await;
    let dead = world.request(FACTORY, 10).await;
    service.until(dead, "dead_lettered").await;
    service.dead_letters(1).await;
    for (id, before) in [(retrying, "retrying"), (dead, "dead_lettered")] {
        let answer = hand_over(&service, id, json!({"fallback": true})).await;
        assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("requested")), "{}", answer.body);
        let shown = service.until(id, "accepted").await;
        assert_eq!((&shown["factory_id"], &shown["fallback_from"]), (&json!(OTHER), &json!(FACTORY)));
        assert_eq!(shown["attempts"][1]["factory_id"], OTHER);
        let recorded = format!(
            "SELECT count(*) FROM audit_log WHERE action = 'production_request.retry' AND actor = 'kim' \
             AND subject = '{id}' AND detail = '{{\"status_before\": \"{before}\", \"withdrawn_from\": \"{FACTORY}\", \
             \"handed_to\": \"{OTHER}\"}}'"
        );
        assert_eq!(world.count(&recorded).await, 1);
    }
    assert_eq!((world.factory.requests().len(), other.requests().len()), (2, 2));
    service.dead_letters(0).await;
    let events: Vec<Value> = world.outcomes(3).await.into_iter().map(|(_, data)| data["factory_id"].clone()).collect();
    assert_eq!(events, [json!(FACTORY), json!(OTHER), json!(OTHER)]);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_behind_an_open_breaker_can_be_withdrawn() {
    let mut world = World::new("600").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1");
    world.set("BREAKER__OPEN_MS", "600000");
    world.set("BREAKER__OPEN_MAX_MS", "600000");
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = world.start().await;
    service.put_factory(OTHER, json!({"base_url": other.url()})).await;
    let with = json!({"base_url": world.factory.url(), "fallback_factory_id": OTHER});
    service.put_factory(FACTORY, with).await;
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let first = world.request(FACTORY, 10).await;
    service.until(first, "retrying").await;

    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "requested").await;
    assert_eq!((&shown["waiting_for"], &shown["attempt_count"]), (&json!("breaker_open"), &json!(0)), "{shown}");
    let answer = hand_over(&service, id, json!({"fallback": true})).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    let shown = service.until(id, "accepted").await;
    assert_eq!((&shown["factory_id"], &shown["fallback_from"]), (&json!(OTHER), &json!(FACTORY)));
    assert_eq!((world.factory.requests().len(), other.requests().len()), (1, 1));
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_factory_may_have_is_not_moved() {
    let mut world = World::new("600").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = world.start_with_factory().await;
    let conflict = async |id: RequestId, words: &str, status: &str| {
        let answer = hand_over(&service, id, json!({"fallback": true})).await;
        let events = (answer.status.as_u16(), &answer.body["type"], &answer.body["status_now"]);
        assert_eq!(events, (409, &json!("/problems/conflict"), &json!(status)), "{}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(words), "{words}: {}", answer.body);
    };
    let accepted = world.request(FACTORY, 10).await;
    service.until(accepted, "accepted").await;
    conflict(accepted, "requested, retrying or dead_lettered", "accepted").await;
    world.factory.set_faults(refusing()).unwrap();
    let waiting = world.request(FACTORY, 10).await;
    service.until(waiting, "retrying").await;
    conflict(waiting, "no fallback", "retrying").await;

    let with = json!({"base_url": world.factory.url(), "fallback_factory_id": OTHER});
    service.put_factory(FACTORY, with).await;
    conflict(waiting, "no fallback", "retrying").await;
    service.put_factory(OTHER, json!({"base_url": other.url(), "enabled": false})).await;
    conflict(waiting, "disabled", "retrying").await;
    service.put_factory(OTHER, json!({"base_url": other.url()})).await;
    let cut = Faults { drop_connection: Some(DropConnection::AfterAccepting), ..Faults::default() };
    world.factory.set_faults(cut).unwrap();
    let unknown = world.request(FACTORY, 10).await;
    service.until(unknown, "retrying").await;
    conflict(unknown, "the goods could be made twice", "retrying").await;

    for (body, status) in [(json!({"fallback": 1}), 422), (json!({"fallbak": true}), 422), (json!("true"), 422)] {
        assert_eq!(hand_over(&service, waiting, body.clone()).await.status.as_u16(), status, "{body}");
    }
    assert!(other.requests().is_empty());
    let attempts = service.production_request(waiting).await.body["attempt_count"].clone();
    assert_eq!(attempts, 1, "nothing was done");
    let document = service.get("/openapi.json").await.body;
    let events = &document["paths"]["/api/v1/production-requests/{id}/retry"]["post"]["requestBody"];
    assert!(events["content"].is_object() && events["required"] != true, "it can be left out: {events}");
    // Without `fallback` it is a plain retry, as before.
    world.factory.clear_faults();
    assert_eq!(hand_over(&service, waiting, json!({"fallback": false})).await.status.as_u16(), 200);
    assert_eq!(service.until(waiting, "accepted").await["factory_id"], FACTORY);
    assert_eq!(hand_over(&service, unknown, Value::Null).await.status.as_u16(), 200);
    assert_eq!(service.until(unknown, "accepted").await["factory_id"], FACTORY);
    world.finish(service).await;
}
