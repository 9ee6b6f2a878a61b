//! Dead letters of requests, and what happens to the requests meanwhile.

use reqwest::Method;
use serde_json::{Value, json};
use shared::amqp::topology::EVENTS;
use shared::ids::RequestId;
use testkit::factory::Faults;
use testkit::service::OPERATOR_TOKEN;

use crate::world::{FACTORY, Service, World, requested};

async fn letters_in(service: &Service, status: &str) -> Vec<Value> {
    let body = service.get(&format!("/api/v1/dead-letters?status={status}&limit=200")).await.body;
    body["items"].as_array().cloned().unwrap_or_default()
}

fn is_of(letter: &Value, id: RequestId) -> bool {
    letter["body"].as_str().is_some_and(|body| body.contains(&id.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_request_was_cured_on_its_way_waits_for_nobody() {
    let mut world = World::new("0.05").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let service = world.start_with_factory().await;
    // The letters stay where they are.
    let admin = world.as_admin().await;
    let hold = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'held'; END $$; \
        CREATE TRIGGER hold BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION hold()";
    admin.batch_execute(hold).await.unwrap();
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let id = world.request(FACTORY, 10).await;
        service.until(id, "dead_lettered").await;
        ids.push(id);
    }
    let [accepted, cancelled, under_way, dead] = ids[..] else { panic!("four") };
    service.post(&format!("/api/v1/production-requests/{cancelled}/cancel")).await;
    world.factory.clear_faults();
    service.post(&format!("/api/v1/production-requests/{accepted}/retry")).await;
    service.until(accepted, "accepted").await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "enabled": false})).await;
    service.post(&format!("/api/v1/production-requests/{under_way}/retry")).await;
    admin.batch_execute("DROP TRIGGER hold ON dead_letters; DROP FUNCTION hold()").await.unwrap();

    let waiting = service.dead_letters(2).await;
    for id in [under_way, dead] {
        assert!(waiting.iter().any(|letter| is_of(letter, id)), "{id}: {waiting:?}");
    }
    for (id, status) in [(accepted, "processed"), (cancelled, "discarded")] {
        let settled = testkit::wait_until("the letter is kept", crate::world::SOON, async || {
            let letters = letters_in(&service, status).await;
            if letters.is_empty() { Err(letters) } else { Ok(letters) }
        })
        .await;
        assert!(settled.len() == 1 && is_of(&settled[0], id), "{status}: {settled:?}");
    }
    assert_eq!(world.count("SELECT count(*) FROM dead_letters WHERE settled_at IS NULL").await, 2);

    // What was under way then settles its letter as any other.
    service.put_factory(FACTORY, json!({"base_url": world.factory.url()})).await;
    service.until(under_way, "accepted").await;
    assert!(is_of(&service.dead_letters(1).await[0], dead));
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
        service.send(Method::POST, path, Some(OPERATOR_TOKEN), None, Some(body)).await.status.as_u16()
    };
    let cancel = async |letter: &Value| {
        let id = ids.iter().find(|id| is_of(letter, **id)).unwrap();
        service.post(&format!("/api/v1/production-requests/{id}/cancel")).await.status.as_u16()
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
async fn a_discarded_letter_of_a_request_that_was_never_kept_is_told_as_its_cancellation() {
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
        let answer = service.send(Method::POST, path, Some(OPERATOR_TOKEN), None, Some(body.clone())).await;
        assert_eq!((answer.status.as_u16(), &answer.body["discarded"]), (200, &json!(discarded)), "{}", answer.body);
    }
    let (kind, told) = world.outcomes(1).await.remove(0);
    assert_eq!(kind, "jaego.production.cancelled.v1");
    assert_eq!((&told["request_id"], &told["revision"]), (&json!(id), &json!(1)));
    world.messages("restock.production-cancelled", 1).await;
    // Its message may come once more: nobody is asked for anything.
    world.publish(event).await;
    world.messages("production.requests", 0).await;
    let shown = service.production_request(id).await.body;
    let reason = "its dead letter was discarded by an operator";
    assert_eq!((&shown["status"], &shown["outcome_reason"]), (&json!("cancelled"), &json!(reason)), "{shown}");
    assert!(world.factory.requests().is_empty());
    assert_eq!(letters_in(&service, "discarded").await.len(), 2);
    world.finish(service).await;
}
