//! Dead letters of requests, and changes of the requests while they wait.

use factory_simulator::Faults;
use jaego_contracts::ids::RequestId;
use jaego_contracts::topology::EVENTS;
use serde_json::{Value, json};

use crate::harness::{FACTORY, Service, World, requested};

async fn letters_in(service: &Service, status: &str) -> Vec<Value> {
    let body = service.get(&format!("/api/v1/dead-letters?status={status}&limit=200")).await.body;
    body["items"].as_array().cloned().unwrap_or_default()
}

fn is_of(letter: &Value, id: RequestId) -> bool {
    letter["body"].as_str().is_some_and(|body| body.contains(&id.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_given_up_together_with_its_letter_and_cured_together_with_it() {
    let mut world = World::new("0.05").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    world.set("DELIVERY__LEASE_MS", "1");
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 2000})).await;
    // No dead letter can be stored, so no request is given up.
    let admin = world.as_admin().await;
    let hold = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'held'; END $$; \
        CREATE TRIGGER hold BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION hold()";
    admin.batch_execute(hold).await.unwrap();
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let first = world.request(FACTORY, 10).await;
    testkit::wait_until("both calls", crate::harness::SOON, async || {
        let calls = world.factory.requests().len();
        if calls >= 2 { Ok(()) } else { Err(calls) }
    })
    .await;
    assert_eq!(world.count("SELECT count(*) FROM production_requests WHERE status = 'dead_lettered'").await, 0);
    admin.batch_execute("DROP TRIGGER hold ON dead_letters; DROP FUNCTION hold()").await.unwrap();

    let mut ids = vec![first];
    for _ in 0..3 {
        ids.push(world.request(FACTORY, 10).await);
    }
    for id in &ids {
        service.until(*id, "dead_lettered").await;
    }
    let [accepted, cancelled, under_way, dead] = ids[..] else { panic!("four") };
    service.dead_letters(4).await;
    service.post(&format!("/api/v1/production-requests/{cancelled}/cancel"), None).await;
    world.factory.clear_faults();
    service.post(&format!("/api/v1/production-requests/{accepted}/retry"), None).await;
    service.until(accepted, "accepted").await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "enabled": false})).await;
    service.post(&format!("/api/v1/production-requests/{under_way}/retry"), None).await;
    let waiting = service.dead_letters(2).await;
    for id in [under_way, dead] {
        assert!(waiting.iter().any(|letter| is_of(letter, id)), "{id}: {waiting:?}");
    }
    for (id, status) in [(accepted, "processed"), (cancelled, "discarded")] {
        let settled = letters_in(&service, status).await;
        assert!(settled.len() == 1 && is_of(&settled[0], id), "{status}: {settled:?}");
    }

    // The request whose retry was pending then settles its dead letter like any other.
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 2000})).await;
    service.until(under_way, "accepted").await;
    assert!(is_of(&service.dead_letters(1).await[0], dead));
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_grouped_by_factory_and_answer_and_each_group_shows_its_newest() {
    let mut world = World::new("0.05").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let service = world.start_with_factory().await;
    service.put_factory("FF-other", json!({"base_url": world.factory.url()})).await;
    for (factory, status) in [(FACTORY, 503), (FACTORY, 500), ("FF-other", 503), (FACTORY, 503)] {
        world.factory.set_faults(Faults { refuse_status: Some(status), ..Faults::default() }).unwrap();
        let id = world.request(factory, 10).await;
        service.until(id, "dead_lettered").await;
    }
    let groups = service.get("/api/v1/dead-letters/groups").await.body;
    let groups = groups["items"].as_array().unwrap();
    let of = |factory: &str, status: u16| {
        let is_it = |group: &&Value| group["factory_id"] == factory && group["http_status"] == status;
        groups.iter().find(is_it).unwrap_or_else(|| panic!("{factory} {status}: {groups:?}"))
    };
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert_eq!(of(FACTORY, 503)["count"], 2);
    assert_eq!((&of(FACTORY, 500)["count"], &of("FF-other", 503)["count"]), (&json!(1), &json!(1)));
    let newest = &service.dead_letters(4).await[0];
    assert_eq!(of(FACTORY, 503)["newest"], json!({"id": newest["id"], "error": "the factory answered 503"}));
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discards_and_cancellations_at_the_same_time_do_not_hinder_each_other() {
    const REQUESTS: usize = 60;
    let mut world = World::new("").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let service = world.start_with_factory().await;
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let mut ids = Vec::new();
    for _ in 0..REQUESTS {
        ids.push(world.request(FACTORY, 10).await);
    }
    let letters = service.dead_letters(REQUESTS).await;
    let discard = async |letter: &Value| {
        let body = json!({"ids": [letter["id"]], "reason": "nobody wants it any more"});
        let path = "/api/v1/dead-letters/discard";
        service.post(path, body).await.status.as_u16()
    };
    let cancel = async |letter: &Value| {
        let id = ids.iter().find(|id| is_of(letter, **id)).unwrap();
        service.post(&format!("/api/v1/production-requests/{id}/cancel"), None).await.status.as_u16()
    };
    let both = letters.iter().map(|letter| futures::future::join(discard(letter), cancel(letter)));
    for answers in futures::future::join_all(both).await {
        assert_eq!(answers, (200, 200));
    }
    assert_eq!(letters_in(&service, "discarded").await.len(), REQUESTS);
    world.messages("restock.production-cancelled", u32::try_from(REQUESTS).unwrap()).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discarding_the_letter_of_an_unknown_request_announces_its_cancellation() {
    let mut world = World::new("1").await;
    world.set("AMQP__RETRY_DELAYS_MS", "50");
    let service = world.start_with_factory().await;
    let admin = world.as_admin().await;
    let hold = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'held'; END $$; \
        CREATE TRIGGER hold BEFORE INSERT ON production_requests FOR EACH ROW EXECUTE FUNCTION hold()";
    admin.batch_execute(hold).await.unwrap();
    let (id, event) = requested(FACTORY, 10);
    world.publish(event.clone()).await;
    let unreadable = "{\"data\": {\"request_id\": 1}}";
    world.publish_raw(EVENTS, "production.requested", "m-1", "", unreadable.as_bytes()).await;
    let letters = service.dead_letters(2).await;
    assert!(letters.iter().any(|letter| is_of(letter, id) && letter["reason"] == "handler-failed"), "{letters:?}");
    assert_eq!(service.production_request(id).await.status, 404);
    admin.batch_execute("DROP TRIGGER hold ON production_requests; DROP FUNCTION hold()").await.unwrap();

    let all: Vec<&Value> = letters.iter().map(|letter| &letter["id"]).collect();
    let body = json!({"ids": all, "reason": "nobody wants it any more"});
    for discarded in [2, 0] {
        let path = "/api/v1/dead-letters/discard";
        let answer = service.post(path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["discarded"]), (200, &json!(discarded)), "{}", answer.body);
    }
    let (kind, events) = world.outcomes(1).await.remove(0);
    assert_eq!(kind, "jaego.production.cancelled.v1");
    assert_eq!((&events["request_id"], &events["revision"]), (&json!(id), &json!(1)));
    world.messages("restock.production-cancelled", 1).await;
    // The message may be delivered again: no factory is called.
    world.publish(event).await;
    world.messages("production.requests", 0).await;
    let shown = service.production_request(id).await.body;
    let reason = "its dead letter was discarded by an operator";
    assert_eq!((&shown["status"], &shown["outcome_reason"]), (&json!("cancelled"), &json!(reason)), "{shown}");
    assert!(world.factory.requests().is_empty());
    assert_eq!(letters_in(&service, "discarded").await.len(), 2);
    world.finish(service).await;
}
