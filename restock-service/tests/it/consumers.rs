//! Messages consumed from the broker.

use chrono::Utc;
use jaego_contracts::factory;
use jaego_contracts::factory::FactoryChanged;
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::production;
use jaego_contracts::production::{ProductionOutcome, ProductionRequested};
use jaego_contracts::trace::TraceContext;
use serde_json::json;
use testkit::wait_until;

use crate::harness::{FACTORY, SKU, SOON, Service, claims, echo, part};

pub(crate) fn factory_changed(revision: i64, sources: &[&str]) -> FactoryChanged {
    FactoryChanged {
        factory_id: FACTORY.parse().unwrap(),
        name: "부산도너츠 공장".to_owned(),
        enabled: true,
        lead_time_s: 40,
        lead_time_p50_s: None,
        lead_time_p90_s: None,
        callback_sources: sources.iter().map(ToString::to_string).collect(),
        revision,
    }
}

pub(crate) fn requested(request_id: RequestId, quantity: i64) -> ProductionRequested {
    ProductionRequested {
        request_id,
        sku: SKU.parse().unwrap(),
        quantity: Quantity::try_from(quantity).unwrap(),
        factory_id: FACTORY.parse().unwrap(),
        reason: "below the reorder point".to_owned(),
        requested_at: Utc::now(),
    }
}

pub(crate) fn cancelled(request_id: RequestId, quantity: i64) -> ProductionOutcome {
    ProductionOutcome {
        request_id,
        sku: SKU.parse().unwrap(),
        quantity: Quantity::try_from(quantity).unwrap(),
        factory_id: FACTORY.parse().unwrap(),
        revision: 7,
        at: Utc::now(),
        reason: "closed short".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_after_its_callback_changes_nothing_that_was_written() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    assert_eq!(service.call(&token, &part("a", 60)).await.received(), ("received", 60));
    let trace = TraceContext::new_root();
    // Published twice, with another quantity to see that it is not adopted.
    for _ in 0..2 {
        world.publish(&production::REQUESTED, trace, &requested(request_id, 99)).await;
    }
    world.wait_for_count("SELECT count(*) FROM production_requests WHERE requested_at IS NOT NULL", 1).await;
    let row = "SELECT count(*) FROM production_requests WHERE received = 60 AND quantity = 100 AND traceparent LIKE $1";
    let pattern = format!("00-{}-%", trace.trace_id());
    assert_eq!(world.number_of(row, &[&pattern]).await, 1);
    assert_eq!(service.call(&token, &part("b", 40)).await.received(), ("received", 40));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_for_a_cancelled_request_waits_for_an_operator() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let (asked, unheard) = (RequestId::generate(), RequestId::generate());
    world.publish(&production::REQUESTED, TraceContext::new_root(), &requested(asked, 100)).await;
    world.wait_for_count("SELECT count(*) FROM production_requests", 1).await;
    for request_id in [asked, unheard, asked] {
        world.publish(&production::CANCELLED, TraceContext::new_root(), &cancelled(request_id, 100)).await;
    }
    world.wait_for_count("SELECT count(*) FROM production_requests WHERE cancelled_at IS NOT NULL", 2).await;
    // The request arrives after its cancellation and stays cancelled.
    world.publish(&production::REQUESTED, TraceContext::new_root(), &requested(unheard, 100)).await;
    let complete =
        "SELECT count(*) FROM production_requests WHERE cancelled_at IS NOT NULL AND requested_at IS NOT NULL";
    world.wait_for_count(complete, 2).await;
    for request_id in [asked, unheard] {
        let token = world.sign(&claims(request_id, 100));
        for _ in 0..2 {
            assert_eq!(service.call(&token, &echo("100", &token)).await.quarantined(), "cancelled");
        }
    }
    assert_eq!(world.rows().await, [0, 2, 2]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factorys_older_revision_is_ignored() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let sources = "SELECT count(*) FROM factories WHERE revision = 5 AND callback_sources = '{192.0.2.0/24}'";
    let publish = async |revision, sources: &[&str]| {
        let trace = TraceContext::new_root();
        world.publish(&factory::CHANGED, trace, &factory_changed(revision, sources)).await;
    };
    publish(5, &["192.0.2.0/24"]).await;
    world.wait_for_count(sources, 1).await;
    publish(4, &["198.51.100.0/24"]).await;
    publish(5, &[]).await;
    // Messages of a queue are handled in order: once this one has an effect, the earlier ones were handled.
    let other = FactoryChanged { factory_id: "FF-2".parse().unwrap(), ..factory_changed(1, &["10.0.0.1"]) };
    world.publish(&factory::CHANGED, TraceContext::new_root(), &other).await;
    world.wait_for_count("SELECT count(*) FROM factories WHERE callback_sources = '{10.0.0.1/32}'", 1).await;
    assert_eq!(world.count(sources).await, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_is_dead_lettered_with_its_reason() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let event = |kind: &str, data: serde_json::Value| {
        json!({"specversion": "1.0", "id": "e", "source": "/x", "type": kind, "data": data}).to_string().into_bytes()
    };
    let whole = serde_json::to_value(requested(RequestId::generate(), 5)).unwrap();
    let mut without_sku = whole.clone();
    without_sku.as_object_mut().unwrap().remove("sku");
    let bad_network = serde_json::to_value(factory_changed(1, &["ten"])).unwrap();
    let cases = [
        ("production.requested", b"not json".to_vec(), "restock.production-requests", "undecodable"),
        (
            "production.requested",
            event("jaego.production.requested.v1", without_sku),
            "restock.production-requests",
            "undecodable",
        ),
        (
            "production.requested",
            event("jaego.production.requested.v2", whole),
            "restock.production-requests",
            "unknown-type",
        ),
        ("factory.changed", event("jaego.factory.changed.v1", bad_network), "restock.factories", "undecodable"),
        ("production.cancelled", b"{}".to_vec(), "restock.production-cancelled", "undecodable"),
    ];
    for (routing_key, body, _, _) in &cases {
        world.publish_bytes(routing_key, body).await;
    }
    for (_, body, queue, reason) in &cases {
        wait_until(&format!("{reason} of {queue}"), SOON, async || {
            let letters = service.get(&format!("/api/v1/dead-letters?queue={queue}")).await.body;
            let is_it = |letter: &&serde_json::Value| {
                letter["body"].as_str().map(str::as_bytes) == Some(body) && letter["reason"] == *reason
            };
            letters["items"].as_array().into_iter().flatten().find(is_it).map(|letter| {
                assert_eq!((&letter["queue"], &letter["attempts"]), (&json!(queue), &json!(1)));
                assert!(letter["error"].as_str().is_some_and(|error| !error.is_empty()), "{letter}");
            })
        })
        .await;
        world.wait_for_depth(queue, 0).await;
    }
    assert_eq!(world.count("SELECT count(*) FROM production_requests").await, 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_answered_with_its_receipts() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    world.publish(&production::REQUESTED, TraceContext::new_root(), &requested(request_id, 100)).await;
    world.wait_for_count("SELECT count(*) FROM production_requests", 1).await;
    assert_eq!(service.call(&token, &part("a", 60)).await.received(), ("received", 60));
    assert_eq!(service.call(&token, &part("b", 40)).await.received(), ("received", 40));
    world.wait_for_depth("sales.stock-received", 2).await;
    world.publish(&production::REQUESTED, TraceContext::new_root(), &requested(request_id, 100)).await;
    world.wait_for_depth("sales.stock-received", 4).await;
    let vhost = &world.surroundings.vhost;
    let messages = vhost.broker().get_messages(&vhost.name, "sales.stock-received", 4).await.unwrap();
    let receipts: std::collections::BTreeSet<String> = messages
        .iter()
        .map(|message| serde_json::from_str::<serde_json::Value>(&message.payload).unwrap()["data"].to_string())
        .collect();
    assert_eq!(receipts.len(), 2, "each twice, word for word: {receipts:?}");
    assert_eq!(world.rows().await, [2, 2, 0]);
    service.stop().await;
}
