//! From the message to the factory, and the outcome back to the other services.

use factory_simulator::{DropConnection, Faults};
use jaego_contracts::callback::CallbackVerifier;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{CALLBACK_BASE, FACTORY, OUTCOMES, SKU, SOON, World, requested};

fn refuse(status: u16, times: Option<u64>) -> Faults {
    Faults { refuse_status: Some(status), for_next: times, ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_factory_gets_exactly_the_json_it_expects_and_its_acceptance_is_published() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    let (id, event) = requested(FACTORY, 100);
    let trace = event.trace;
    world.publish(event).await;
    let shown = service.until(id, "accepted").await;

    let asked = world.factory.requests();
    assert_eq!(asked.len(), 1);
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    let url = body["CallbackUrl"].as_str().unwrap();
    let exactly = format!(
        r#"{{"MessageGroupId":"stock-arrival-group","MessageAttributeProductId":"{SKU}","MessageAttributeProductCnt":"100","MessageAttributeFactoryId":"{FACTORY}","MessageAttributeRequester":"재고담당","CallbackUrl":"{url}"}}"#
    );
    assert_eq!(asked[0].body, exactly);
    assert_eq!(asked[0].idempotency_key, Some(id.to_string()));
    assert_eq!(asked[0].content_type.as_deref(), Some("application/json"));
    assert_eq!(asked[0].user_agent.as_deref(), Some(concat!("jaego/", env!("CARGO_PKG_VERSION"))));
    assert!(asked[0].traceparent.as_deref().unwrap().contains(&trace.trace_id()));

    let token = url.strip_prefix(&format!("{CALLBACK_BASE}/callbacks/v1/restocks/")).unwrap();
    let verifier = CallbackVerifier::from_pems([world.surroundings.keys.public_pem.as_str()]).unwrap();
    let claims = verifier.verify(token).unwrap();
    assert_eq!((claims.rid, claims.qty.get(), claims.sku.as_str(), claims.fid.as_str()), (id, 100, SKU, FACTORY));
    assert_eq!(claims.exp - claims.iat, 30 * 24 * 3600);

    assert_eq!(shown["factory_job_id"], json!(asked[0].job_id));
    assert_eq!(shown["attempt_count"], 1);
    assert_eq!(shown["attempts"][0]["status"], 201);
    assert_eq!(shown["attempts"][0]["outcome"], "accepted");
    assert_eq!(shown["attempts"][0]["trace_id"], trace.trace_id());
    // The factory echoed the token; it is not stored anywhere.
    let answer = shown["attempts"][0]["answer"].as_str().unwrap();
    assert!(answer.contains(&format!("<callback:{}>", claims.jti)), "{answer}");
    let secret = token.rsplit('.').next().unwrap();
    for table in ["production_attempts", "production_requests", "outbox", "audit_log"] {
        let query = format!("SELECT count(*) FROM {table} AS kept WHERE kept::text LIKE '%{secret}%'");
        assert_eq!(world.count(&query).await, 0, "{table}");
    }

    let messages = world.messages(OUTCOMES, 1).await;
    let properties = &messages[0].properties;
    assert_eq!(messages[0].routing_key, "production.accepted");
    assert_eq!(properties.content_type.as_deref(), Some("application/cloudevents+json"));
    assert_eq!(properties.delivery_mode, Some(2));
    assert!(properties.headers["traceparent"].as_str().unwrap().contains(&trace.trace_id()));
    let (kind, data) = crate::harness::parse_event(&messages[0]);
    assert_eq!(kind, "jaego.production.accepted.v1");
    assert_eq!(data["request_id"], json!(id));
    assert_eq!((&data["revision"], &data["quantity"]), (&json!(1), &json!(100)));
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_message_makes_no_second_request() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    let (id, event) = requested(FACTORY, 10);
    world.publish(event.clone()).await;
    world.publish(event.clone()).await;
    service.until(id, "accepted").await;
    world.publish(event).await;
    // Messages are handled in order: once the last request is accepted, the replay has been handled.
    let last = world.request(FACTORY, 20).await;
    service.until(last, "accepted").await;
    assert_eq!(world.factory.requests().len(), 2);
    assert_eq!(world.count("SELECT count(*) FROM production_requests").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM production_requests WHERE revision = 1").await, 2, "one outcome each");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_factory_is_asked_again_on_schedule() {
    let world = World::new("0.3").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(503, Some(1))).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "accepted").await;
    let statuses: Vec<&Value> = shown["attempts"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!(503), &json!(201)]);
    let asked = world.factory.requests();
    assert!(asked[1].at - asked[0].at >= chrono::Duration::milliseconds(240), "300 ms, give or take a fifth");
    assert_eq!(asked[0].idempotency_key, asked[1].idempotency_key);
    assert_ne!(asked[0].body, asked[1].body, "each attempt has a callback token of its own");
    world.outcomes(1).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_answer_is_not_a_refusal() {
    let world = World::new("3600").await;
    let service = world.start_with_factory().await;
    let time_out = |ms: u32| json!({"base_url": world.factory.url(), "timeout_ms": ms});
    let cut = Faults { drop_connection: Some(DropConnection::BeforeAccepting), for_next: Some(1), ..Faults::default() };
    for (faults, held, timeout_ms) in [(Faults::default(), 1, 300), (cut, 0, 30_000)] {
        world.factory.set_faults(faults).unwrap();
        world.factory.hold(held);
        service.put_factory(FACTORY, time_out(timeout_ms)).await;
        let id = world.request(FACTORY, 10).await;
        service.until(id, "retrying").await;
        service.put_factory(FACTORY, time_out(30_000)).await;
        let answer = service.post(&format!("/api/v1/production-requests/{id}/retry"), None).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        let shown = service.until(id, "accepted").await;
        let first = &shown["attempts"][0];
        assert_eq!((&first["status"], &first["outcome"]), (&Value::Null, &json!("unknown")));
        assert!(!first["error"].as_str().unwrap().contains("http"), "{first}");
        assert_eq!(shown["attempts"][1]["status"], 201);
    }
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_an_unknown_factory_counts_as_one() {
    let world = World::new("0.05").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(400, None)).unwrap();
    let refused = world.request(FACTORY, 10).await;
    let shown = service.until(refused, "refused").await;
    assert_eq!((&shown["attempt_count"], &shown["attempts"][0]["outcome"]), (&json!(1), &json!("refused")));
    let unknown = world.request("FF-unknown", 10).await;
    let shown = service.until(unknown, "refused").await;
    assert_eq!((&shown["attempt_count"], &shown["outcome_reason"]), (&json!(0), &json!("unknown-factory")));
    let outcomes = world.outcomes(2).await;
    for (kind, data) in &outcomes {
        assert_eq!((kind.as_str(), &data["revision"]), ("jaego.production.refused.v1", &json!(1)));
    }
    assert_eq!(outcomes[1].1["reason"], "unknown-factory");
    assert_eq!(world.factory.requests().len(), 1);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_calls_all_fail_is_a_dead_letter_until_a_factory_accepts_it() {
    let world = World::new("0.05,0.05").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(503, None)).unwrap();
    let (id, event) = requested(FACTORY, 10);
    world.publish(event.clone()).await;
    service.until(id, "dead_lettered").await;
    assert_eq!(world.factory.requests().len(), 3);

    let letter = service.dead_letters(1).await.remove(0);
    assert_eq!(letter["body"].as_str().map(str::as_bytes), Some(&event.body[..]), "the original message");
    assert_eq!(letter["message_id"], event.id.to_string());
    assert_eq!((&letter["reason"], &letter["queue"]), (&json!("factory-unreachable"), &json!("production.requests")));
    assert_eq!((&letter["attempts"], &letter["error"]), (&json!(3), &json!("the factory answered 503")));
    let outcomes = world.outcomes(1).await;
    assert_eq!(outcomes[0].0, "jaego.production.dead_lettered.v1");
    assert_eq!(outcomes[0].1["reason"], "factory-unreachable");

    // A redrive restarts the whole schedule. It fails again and reports that; the dead letter keeps its id.
    let redrive = service.redrive(json!({"ids": [letter["id"]]})).await;
    let ended = service.redriven(&redrive).await;
    assert_eq!((&ended["processed"], &ended["failed_again"]), (&json!(0), &json!(1)), "{ended}");
    let again = service.dead_letters(1).await.remove(0);
    assert_eq!((&again["id"], &again["attempts"]), (&letter["id"], &json!(6)));
    assert_eq!(world.factory.requests().len(), 6);

    // An operator's retry does the same.
    world.factory.clear_faults();
    let answer = service.post(&format!("/api/v1/production-requests/{id}/retry"), None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("requested")));
    let shown = service.until(id, "accepted").await;
    assert_eq!(shown["attempt_count"], 7);
    service.dead_letters(0).await;
    let revisions: Vec<Value> = world.outcomes(3).await.into_iter().map(|(_, data)| data["revision"].clone()).collect();
    assert_eq!(revisions, [json!(1), json!(2), json!(3)]);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_is_processed_when_the_factory_has_answered_and_a_discard_cancels() {
    let mut world = World::new("0.05").await;
    // Calls are counted here, so no request may wait for a breaker.
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(503, None)).unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.request(FACTORY, 10).await);
    }
    let letters = service.dead_letters(4).await;
    let groups = service.get("/api/v1/dead-letters/groups").await.body;
    let group = &groups["items"][0];
    assert_eq!((&group["count"], &group["reason"]), (&json!(4), &json!("factory-unreachable")), "{groups}");
    assert_eq!(groups["items"].as_array().map(Vec::len), Some(1), "one cause: {groups}");

    // A discard cancels the request, which is published. A second one changes nothing.
    let given_up =
        letters.iter().find(|letter| letter["body"].as_str().unwrap().contains(&ids[0].to_string())).unwrap();
    let discard = json!({"ids": [given_up["id"]], "reason": "nobody wants it any more"});
    for discarded in [1, 0] {
        let path = "/api/v1/dead-letters/discard";
        let answer = service.post(path, discard.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["discarded"]), (200, &json!(discarded)), "{}", answer.body);
    }
    service.until(ids[0], "cancelled").await;

    // The job is not done before the factory has answered.
    world.factory.clear_faults();
    world.factory.hold(3);
    let redrive = service.redrive(json!({"group": group["group"], "rate_per_s": 1000})).await;
    let sent = wait_until("calls under way", SOON, || async {
        let job = service.get(&format!("/api/v1/dead-letters/redrives/{redrive}")).await.body;
        if job["sent"] == 3 && world.factory.requests().len() == 11 { Ok(job) } else { Err(job) }
    })
    .await;
    assert_eq!((&sent["pending"], &sent["processed"], &sent["done"]), (&json!(3), &json!(0), &json!(false)), "{sent}");
    // A redrive in progress cannot be discarded; its request can be cancelled.
    let under_way =
        letters.iter().find(|letter| letter["body"].as_str().unwrap().contains(&ids[1].to_string())).unwrap();
    let discard = json!({"ids": [under_way["id"]], "reason": "too late"});
    let path = "/api/v1/dead-letters/discard";
    let refused = service.post(path, discard).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let cancelled = service.post(&format!("/api/v1/production-requests/{}/cancel", ids[1]), None).await;
    assert_eq!(cancelled.body["status"], "cancelled");
    world.factory.release();
    let ended = service.redriven(&redrive).await;
    assert_eq!(
        (&ended["total"], &ended["processed"], &ended["discarded"]),
        (&json!(3), &json!(2), &json!(1)),
        "{ended}"
    );
    for id in &ids[2..] {
        service.until(*id, "accepted").await;
    }
    service.dead_letters(0).await;
    let kinds: Vec<String> = world.outcomes(8).await.into_iter().map(|(kind, _)| kind).collect();
    let count = |what: &str| kinds.iter().filter(|kind| kind.contains(what)).count();
    assert_eq!((count("dead_lettered"), count("cancelled"), count("accepted")), (4, 2, 2), "{kinds:?}");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_the_schedule_neither_loses_nor_moves_an_attempt() {
    // Long enough for a restart.
    let world = World::new("5").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(503, Some(1))).unwrap();
    let id = world.request(FACTORY, 10).await;
    service.until(id, "retrying").await;
    let due = "SELECT floor(extract(epoch FROM next_attempt_at) * 1000)::bigint FROM production_requests";
    let due_ms = world.count(due).await;
    service.stop().await;
    let service = world.start().await;
    let put_off = "SELECT count(*) FROM production_requests WHERE next_attempt_at IS NOT NULL AND \
        floor(extract(epoch FROM next_attempt_at) * 1000)::bigint <>";
    let shown = wait_until("the second attempt", SOON, || async {
        assert_eq!(world.count(&format!("{put_off} {due_ms}")).await, 0, "the attempt was moved");
        let shown = service.production_request(id).await.body;
        if shown["status"] == "accepted" { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!(shown["attempt_count"], 2);
    let begun = "SELECT floor(extract(epoch FROM started_at) * 1000)::bigint FROM production_attempts WHERE number = 2";
    let begun_ms = world.count(begun).await;
    assert!(begun_ms >= due_ms, "{} ms early", due_ms - begun_ms);
    world.outcomes(1).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_never_gets_more_concurrent_calls_than_its_limit() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "max_in_flight": 1})).await;
    world.factory.set_faults(Faults { delay_ms: 200, ..Faults::default() }).unwrap();
    // A second replica observes the same limit.
    let replica = world.start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.request(FACTORY, 10).await);
    }
    for id in ids {
        service.until(id, "accepted").await;
    }
    let asked = world.factory.requests();
    assert_eq!(asked.len(), 4);
    for pair in asked.windows(2) {
        assert!(pair[1].at - pair[0].at >= chrono::Duration::milliseconds(200), "two at once");
    }
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_waits_for_the_call_under_way() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    world.factory.hold(1);
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (!world.factory.requests().is_empty()).then_some(())).await;
    tokio::join!(service.stop(), async { world.factory.release() });
    let status: String = {
        let sql = world.as_admin().await;
        let row = sql.query_one("SELECT status FROM production_requests WHERE id::text = $1", &[&id.to_string()]).await;
        row.unwrap().get(0)
    };
    assert_eq!(status, "accepted");
    // The outbox was published as well.
    world.outcomes(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_factory_is_not_asked_until_it_is_enabled() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    let off = json!({"base_url": world.factory.url(), "enabled": false});
    service.put_factory(FACTORY, off).await;
    let waiting = world.request(FACTORY, 10).await;
    service.until(waiting, "requested").await;
    // A request to another factory overtakes it.
    service.put_factory("FF-2", json!({"base_url": world.factory.url()})).await;
    let other = world.request("FF-2", 10).await;
    service.until(other, "accepted").await;
    assert_eq!(world.factory.requests().len(), 1);
    service.put_factory(FACTORY, json!({"base_url": world.factory.url()})).await;
    service.until(waiting, "accepted").await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_and_timed_by_outcome() {
    let world = World::new("0.05").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(429, Some(1))).unwrap();
    let id = world.request(FACTORY, 10).await;
    service.until(id, "accepted").await;
    let text = service.metrics().await;
    let has = |name: &str, label: &str| text.lines().any(|line| line.starts_with(name) && line.contains(label));
    assert!(has("jaego_production_attempts_total", "outcome=\"retry\""), "{text}");
    assert!(has("jaego_production_attempt_duration_seconds_bucket", "outcome=\"accepted\""), "{text}");
    tokio::time::timeout(SOON, world.finish(service)).await.unwrap();
}
