//! Timelines of production requests, in time order.

use chrono::{DateTime, Utc};
use factory_simulator::Faults;
use jaego_contracts::ids::{OrderId, RequestId};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{FACTORY, SKU, SOON, Service, World, requested};
use crate::messages::{received, received_as};

const PATH: &str = "/api/v1/production-requests";

/// A timeline from a response, with its order checked.
struct Timeline {
    items: Vec<Value>,
    next: Vec<Value>,
}

async fn events(service: &Service, ids: &[RequestId]) -> Timeline {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let answer = service.get(&format!("/api/v1/timeline?request={}", ids.join(","))).await;
    assert_eq!((answer.status.as_u16(), &answer.body["truncated"]), (200, &json!(false)), "{}", answer.body);
    let list = |name: &str| answer.body[name].as_array().unwrap().clone();
    let timeline = Timeline { items: list("items"), next: list("next") };
    let at = |item: &Value| item["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(timeline.items.is_sorted_by_key(at), "{:?}", timeline.items);
    assert!(timeline.items.iter().all(|item| item["service"] == "production-service"));
    timeline
}

impl Timeline {
    fn kinds(&self) -> Vec<&str> {
        self.items.iter().map(|item| item["kind"].as_str().unwrap()).collect()
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.items.iter().filter(|item| item["kind"] == kind).collect()
    }

    /// The only step of this kind.
    fn step(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind} in {:?}", self.kinds());
        all[0]
    }

    fn next(&self) -> Vec<(&str, &str)> {
        let next = self.next.iter();
        next.map(|next| (next["what"].as_str().unwrap(), next["subject"]["type"].as_str().unwrap())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_a_request_from_its_first_call_to_its_last_goods() {
    let world = World::new("0.05,3600").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(Faults { refuse_status: Some(429), for_next: Some(2), ..Faults::default() }).unwrap();
    let (id, event) = requested(FACTORY, 10);
    let trace_id = event.trace.trace_id();
    world.publish(event).await;
    wait_until("the second failed call", SOON, async || {
        let shown = service.production_request(id).await.body;
        if shown["attempt_count"] == 2 && shown["status"] == "retrying" { Ok(()) } else { Err(shown) }
    })
    .await;
    let shown = service.production_request(id).await.body;
    let waiting = events(&service, &[id]).await;
    assert_eq!(waiting.kinds(), ["production.requested", "production.attempted", "production.attempted"]);
    let asked = waiting.step("production.requested");
    assert_eq!(asked["subject"], json!({"type": "production_request", "id": id}));
    assert_eq!((&asked["sku"], &asked["quantity"], &asked["trace_id"]), (&json!(SKU), &json!(10), &json!(trace_id)));
    assert_eq!(asked["detail"]["reason"], "position 0 is at the reorder point 0");
    for (call, attempt) in waiting.all("production.attempted").into_iter().zip(shown["attempts"].as_array().unwrap()) {
        let same = [(&call["at"], &attempt["at"]), (&call["duration_ms"], &attempt["duration_ms"])];
        assert!(same.iter().all(|(one, other)| one == other), "{call} {attempt}");
        assert_eq!(call["trace_id"], attempt["trace_id"]);
        let detail = &call["detail"];
        assert_eq!((&detail["number"], &detail["outcome"]), (&attempt["number"], &json!("retry")));
        assert_eq!((&detail["http_status"], &detail["factory_id"]), (&json!(429), &json!(FACTORY)));
    }
    assert_eq!(waiting.next(), [("next_attempt", "production_request")]);
    assert_eq!(waiting.next[0]["at"], shown["next_attempt_at"]);
    assert!(waiting.next[0]["detail"].get("waiting_for").is_none());
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "enabled": false})).await;
    assert_eq!(events(&service, &[id]).await.next[0]["detail"]["waiting_for"], "factory_disabled");
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "lead_time_s": 600})).await;

    assert_eq!(service.post(&format!("{PATH}/{id}/retry"), None).await.status, 200);
    service.until(id, "accepted").await;
    let accepted = events(&service, &[id]).await;
    let acted = accepted.step("operator.acted");
    assert_eq!(acted["detail"], json!({"actor": "kim", "action": "production_request.retry"}));
    let step = accepted.step("production.accepted");
    assert_eq!(step["detail"]["factory_id"], FACTORY);
    assert!(step["detail"]["factory_job_id"].is_string());
    assert_eq!(accepted.next(), [("goods", "production_request"), ("overdue", "production_request")]);
    let after = |next: &Value| next["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() - Utc::now();
    let seconds: Vec<i64> = accepted.next.iter().map(|next| after(next).num_seconds()).collect();
    // Uses the default factor of a factory without one.
    assert!((540..=600).contains(&seconds[0]) && seconds[1] > seconds[0], "{seconds:?}");

    world.publish(received(id, 4)).await;
    service.until(id, "partly_received").await;
    world.publish(received_as(id, "CP-OTHER", 7)).await;
    wait_until("other goods", SOON, async || (world.count("SELECT count(*) FROM receipts").await == 2).then_some(()))
        .await;
    assert_eq!(events(&service, &[id]).await.next[0]["quantity"], 6);
    world.publish(received(id, 6)).await;
    service.until(id, "received").await;
    let all = events(&service, &[id]).await;
    let goods: Vec<_> = all.all("production.received").into_iter().map(|item| &item["quantity"]).collect();
    assert_eq!(goods, [4, 7, 6]);
    let counted: Vec<_> =
        all.all("production.received").into_iter().map(|item| item["detail"].get("received").cloned()).collect();
    assert_eq!(counted, [Some(json!(4)), None, Some(json!(10))]);
    assert_eq!(all.all("production.received")[1]["sku"], "CP-OTHER");
    assert!(all.next.is_empty(), "{:?}", all.next);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_a_dead_letter_with_its_redrive_and_its_end() {
    let world = World::new("").await;
    let service = world.start_with_factory().await;
    let fail = Faults { refuse_status: Some(503), for_next: Some(1), ..Faults::default() };
    world.factory.set_faults(fail).unwrap();
    let (id, other) = (world.request(FACTORY, 10).await, RequestId::generate());
    let letter = service.dead_letters(1).await.remove(0);
    let dead = events(&service, &[id, other]).await;
    assert_eq!(
        dead.kinds(),
        ["production.requested", "production.attempted", "production.dead_lettered", "dead_letter.kept"]
    );
    assert_eq!(dead.step("production.dead_lettered")["detail"]["reason"], "factory-unreachable");
    let kept = dead.step("dead_letter.kept");
    assert_eq!(kept["subject"], json!({"type": "dead_letter", "id": letter["id"]}));
    for member in ["queue", "group", "reason", "error", "attempts", "status", "first_failed_at"] {
        assert_eq!(kept["detail"][member], letter[member], "{member}");
    }
    assert_eq!(dead.next(), [("decision", "dead_letter")]);

    let job = service.redrive(json!({"ids": [letter["id"]]})).await;
    service.redriven(&job).await;
    service.until(id, "accepted").await;
    let alive = events(&service, &[id]).await;
    assert_eq!(alive.all("production.attempted").len(), 2);
    let redriven = alive.step("dead_letter.redriven");
    assert_eq!(redriven["detail"], json!({"actor": "kim", "outcome": "processed"}));
    assert_eq!(alive.step("dead_letter.settled")["detail"]["status"], "processed");
    assert!(alive.all("production.dead_lettered").is_empty(), "the acceptance was events last");
    assert_eq!(alive.step("dead_letter.kept")["detail"]["status"], "processed");

    // The dead letter of another request is discarded.
    world.factory.set_faults(Faults { refuse_status: Some(503), for_next: Some(1), ..Faults::default() }).unwrap();
    let given_up = world.request(FACTORY, 10).await;
    let letter = service.dead_letters(1).await.remove(0);
    let body = json!({"ids": [letter["id"]], "reason": "nobody wants it any more"});
    let path = "/api/v1/dead-letters/discard";
    let token = Some(testkit::service::OPERATOR_TOKEN);
    assert_eq!(service.send_as(token, reqwest::Method::POST, path, Some(body)).await.status, 200);
    let ended = events(&service, &[given_up]).await;
    let acted = json!({"actor": "kim", "action": "dead_letters.discard", "reason": "nobody wants it any more"});
    assert_eq!(ended.step("operator.acted")["detail"], acted);
    assert_eq!(ended.step("dead_letter.settled")["detail"]["status"], "discarded");
    assert_eq!(ended.step("production.cancelled")["detail"]["reason"], "its dead letter was discarded by an operator");
    assert!(ended.next.is_empty());
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_overdue_refused_and_cancelled_requests() {
    let mut world = World::new("0.05").await;
    world.set("OVERDUE__CHECK_EVERY_MS", "50");
    let service = world.start().await;
    let quick = json!({"base_url": world.factory.url(), "lead_time_s": 1, "overdue_factor": 1.5});
    service.put_factory(FACTORY, quick).await;
    let late = world.request(FACTORY, 10).await;
    let shown = wait_until("an overdue request", SOON, || async {
        let shown = service.production_request(late).await.body;
        if shown["overdue"] == true { Ok(shown) } else { Err(shown) }
    })
    .await;
    let overdue = events(&service, &[late]).await;
    let step = overdue.step("production.overdue");
    assert_eq!((&step["detail"]["reason"], &step["at"]), (&shown["outcome_reason"], &shown["updated_at"]));
    assert_eq!(overdue.next(), [("goods", "production_request"), ("decision", "production_request")]);
    assert_eq!(overdue.next[0]["at"], Value::Null);
    assert_eq!(service.post(&format!("{PATH}/{late}/cancel"), None).await.status, 200);
    let cancelled = events(&service, &[late]).await;
    assert_eq!(cancelled.step("production.cancelled")["detail"]["reason"], "cancelled by an operator");
    assert_eq!(cancelled.step("operator.acted")["detail"]["action"], "production_request.cancel");

    let unknown = world.request("FF-NOBODY", 10).await;
    service.until(unknown, "refused").await;
    let refused = events(&service, &[unknown]).await;
    assert_eq!(refused.kinds(), ["production.requested", "production.refused"]);
    assert_eq!(refused.step("production.refused")["detail"]["reason"], "unknown-factory");
    assert_eq!(events(&service, &[late, unknown]).await.items.len(), cancelled.items.len() + 2);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_about_one_order_or_some_requests() {
    let world = World::new("1").await;
    let service = world.start().await;
    let (order, request) = (OrderId::generate(), RequestId::generate());
    for question in [String::new(), "?order=x".to_owned(), format!("?order={order}&request={request}")] {
        let answer = service.get(&format!("/api/v1/timeline{question}")).await;
        assert_eq!((answer.status.as_u16(), &answer.body["type"]), (422, &json!("/problems/invalid-request")));
    }
    let nothing = json!({"items": [], "next": [], "truncated": false});
    for question in [format!("order={order}"), format!("request={request}")] {
        let path = format!("/api/v1/timeline?{question}");
        assert_eq!(service.get(&path).await.body, nothing);
        assert_eq!(service.send_as(None, reqwest::Method::GET, &path, None).await.status, 401);
    }
    world.finish(service).await;
}
