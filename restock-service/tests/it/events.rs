//! From the receipt to the broker, with failures in between.

use jaego_contracts::ids::RequestId;
use jaego_contracts::production;
use jaego_contracts::trace::TraceContext;
use serde_json::Value;
use testkit::wait_until;

use crate::consumers::requested;
use crate::harness::{FACTORY, NO_BROKER, SKU, SOON, Service, World, claims, echo, part};

/// The events in `sales.stock-received`, in order.
pub(crate) async fn events(world: &World, count: u32) -> Vec<(Value, Value)> {
    let vhost = &world.surroundings.vhost;
    world.wait_for_depth("sales.stock-received", count).await;
    let messages = vhost.broker().get_messages(&vhost.name, "sales.stock-received", count).await.unwrap();
    let read = |message: &testkit::provision::Message| {
        assert_eq!(message.properties.delivery_mode, Some(2));
        assert_eq!(message.properties.content_type.as_deref(), Some("application/cloudevents+json"));
        let body: Value = serde_json::from_slice(&message.bytes()).unwrap();
        assert_eq!(message.properties.message_id.as_deref(), body["id"].as_str());
        (body, message.properties.headers["traceparent"].clone())
    };
    messages.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_has_the_shape_of_the_contract() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    let answer = service.call(&token, &echo("100", &token)).await;
    let events = events(world, 1).await;
    let event = &events[0].0;
    assert_eq!((&event["specversion"], &event["type"]), (&"1.0".into(), &"jaego.stock.received.v1".into()));
    let data = &event["data"];
    assert_eq!(data["receipt_id"], answer.body["receipt_id"]);
    assert_eq!(data["request_id"], request_id.to_string());
    assert_eq!((&data["sku"], &data["quantity"], &data["factory_id"]), (&SKU.into(), &100.into(), &FACTORY.into()));
    let at: chrono::DateTime<chrono::Utc> = data["received_at"].as_str().unwrap().parse().unwrap();
    let row = world.database.query_one("SELECT received_at::text FROM receipts", &[]).await.unwrap();
    let kept: chrono::DateTime<chrono::Utc> = format!("{}:00", row.get::<_, &str>(0)).parse().unwrap();
    assert_eq!(at, kept, "event and row have the same time");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_goes_on_from_the_callback_or_else_from_the_request() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let (asked, own) = (TraceContext::new_root(), TraceContext::new_root());
    world.publish(&production::REQUESTED, asked, &requested(request_id, 100)).await;
    world.wait_for_count("SELECT count(*) FROM production_requests", 1).await;
    let token = world.sign(&claims(request_id, 100));
    let body = |id: &str| part(id, 10).to_string();
    let own_text = own.to_string();
    service.call_with(&token, &[], body("legacy")).await;
    service.call_with(&token, &[("traceparent", "garbage")], body("garbled")).await;
    service.call_with(&token, &[("traceparent", &own_text)], body("modern")).await;
    for (id, trace) in [("legacy", asked), ("garbled", asked), ("modern", own)] {
        let row = "SELECT traceparent FROM receipts WHERE delivery_id = $1";
        let kept: String = world.database.query_one(row, &[&id]).await.unwrap().get(0);
        assert_eq!(kept.parse::<TraceContext>().unwrap().trace_id(), trace.trace_id(), "{id}");
        assert_ne!(kept, trace.to_string(), "{id}: a hop of its own");
    }
    let traces: Vec<String> = events(world, 3)
        .await
        .into_iter()
        .map(|(event, header)| {
            assert_eq!(event["traceparent"], header);
            header.as_str().unwrap().parse::<TraceContext>().unwrap().trace_id()
        })
        .collect();
    let expected = [asked, asked, own].map(TraceContext::trace_id);
    assert_eq!(traces, expected);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_callbacks_are_taken_and_events_kept() {
    // A new installation waits for its queues ...
    let service = Service::start(&[NO_BROKER]).await;
    let readiness = async |service: &Service, wanted: u16| {
        wait_until("readiness", SOON, async || {
            let ready = service.readiness().await;
            let is_asked = !ready.body["checks"]["topology"].to_string().contains("not checked");
            if ready.status == wanted && is_asked { Ok(ready) } else { Err(ready) }
        })
        .await
    };
    let waiting = readiness(&service, 503).await.body["checks"]["topology"].to_string();
    assert!(waiting.contains("jaegoctl topology apply"), "{waiting}");
    let service = service.stop().await.start(&[]).await;
    readiness(&service, 200).await;
    // ... and one that has had them works without them, in every new process.
    let service = service.stop().await.start(&[NO_BROKER]).await;
    let world = &service.world;
    for _ in 0..3 {
        let token = world.token(100);
        assert_eq!(service.call(&token, &echo("100", &token)).await.received(), ("received", 100));
        assert_eq!(service.call(&token, &echo("100", &token)).await.received(), ("duplicate", 100));
    }
    let kept = "SELECT count(*) FROM outbox WHERE exchange = 'jaego.events' AND routing_key = 'stock.received'";
    assert_eq!(world.count(kept).await, 3);
    assert_eq!(readiness(&service, 200).await.body["status"], "degraded");

    // The broker is back: another process finds the events.
    let service = service.stop().await.start(&[]).await;
    service.world.wait_for_depth("sales.stock-received", 3).await;
    service.world.wait_for_count(kept, 0).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_answer_and_publication_the_event_is_published_by_the_next_process() {
    let world = World::new().await;
    let mut killed = world.replica(&[NO_BROKER]).await;
    let token = world.token(100);
    let first = world.call(&killed, &token, &echo("100", &token)).await;
    assert_eq!(first.received(), ("received", 100));
    killed.process.kill9().unwrap();
    assert_eq!(world.count("SELECT count(*) FROM outbox").await, 1);

    let next = world.replica(&[]).await;
    let events = events(&world, 1).await;
    assert_eq!(events[0].0["data"]["receipt_id"], first.body["receipt_id"]);
    let again = world.call(&next, &token, &echo("100", &token)).await;
    assert_eq!((again.received(), &again.body["receipt_id"]), (("duplicate", 100), &first.body["receipt_id"]));
    world.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(world.surroundings.vhost.depth("sales.stock-received").await.unwrap(), 1);
}
