//! Messages from the other services: closings, receipts, and malformed ones.

use chrono::{DateTime, Utc};
use factory_simulator::Faults;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{Quantity, ReceiptId, RequestId};
use jaego_contracts::replenishment;
use jaego_contracts::replenishment::ReplenishmentClosed;
use jaego_contracts::stock;
use jaego_contracts::stock::StockReceived;
use jaego_contracts::topology::EVENTS;
use serde_json::{Value, json};

use crate::harness::{FACTORY, SKU, World, event, requested};

fn closed(id: RequestId) -> OutgoingEvent {
    let data = ReplenishmentClosed {
        request_id: id,
        sku: SKU.parse().unwrap(),
        reason: "the season is over".to_owned(),
        closed_at: Utc::now(),
    };
    event(&replenishment::CLOSED, id, &data)
}

pub(crate) fn received(id: RequestId, units: i64) -> OutgoingEvent {
    received_as(id, SKU, units)
}

pub(crate) fn received_as(id: RequestId, sku: &str, units: i64) -> OutgoingEvent {
    received_at(id, sku, units, Utc::now())
}

pub(crate) fn received_at(id: RequestId, sku: &str, units: i64, received_at: DateTime<Utc>) -> OutgoingEvent {
    let data = StockReceived {
        receipt_id: ReceiptId::generate(),
        request_id: id,
        sku: sku.parse().unwrap(),
        quantity: Quantity::try_from(units).unwrap(),
        factory_id: FACTORY.parse().unwrap(),
        received_at,
    };
    event(&stock::RECEIVED, id, &data)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_becomes_a_dead_letter_at_once() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    let (_, good) = requested(FACTORY, 10);
    let good: Value = serde_json::from_slice(&good.body).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        bad.to_string()
    };
    let bad = [
        ("not json".to_owned(), "undecodable"),
        ("{}".to_owned(), "undecodable"),
        (with("/data/quantity", json!(0)), "undecodable"),
        (with("/data/sku", json!("a b")), "undecodable"),
        (with("/type", json!("jaego.production.requested.v2")), "unknown-type"),
    ];
    for (body, _) in &bad {
        world.publish_raw(EVENTS, "production.requested", "m-1", "", body.as_bytes()).await;
    }
    let letters = service.dead_letters(5).await;
    for (letter, (body, reason)) in letters.iter().rev().zip(&bad) {
        assert_eq!((&letter["body"], &letter["reason"]), (&json!(body), &json!(reason)));
        assert_eq!((&letter["queue"], &letter["message_id"]), (&json!("production.requests"), &json!("m-1")));
    }
    // Messages that follow are handled.
    let id = world.request(FACTORY, 10).await;
    service.until(id, "accepted").await;
    assert_eq!(world.factory.requests().len(), 1);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_replenishment_is_not_asked_for_any_more() {
    let world = World::new("600").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    service.until(id, "retrying").await;
    let closing = closed(id);
    world.publish(closing.clone()).await;
    let shown = service.until(id, "cancelled").await;
    assert_eq!(shown["next_attempt_at"], Value::Null);
    world.publish(closing).await;

    // The closing may arrive before the request.
    let (early, request) = requested(FACTORY, 10);
    world.publish(closed(early)).await;
    world.messages("production.replenishments-closed", 0).await;
    world.wait_for_count("SELECT count(*) FROM early_closings", 1).await;
    world.publish(request).await;
    let shown = service.until(early, "cancelled").await;
    assert_eq!((&shown["attempt_count"], &shown["outcome_reason"]), (&json!(0), &json!("the season is over")));
    assert_eq!(world.factory.requests().len(), 1);

    let outcomes = world.outcomes(2).await;
    for (kind, data) in &outcomes {
        assert_eq!((kind.as_str(), &data["revision"]), ("jaego.production.cancelled.v1", &json!(1)));
    }
    world.messages("restock.production-cancelled", 2).await;
    assert_eq!(world.count("SELECT count(*) FROM early_closings").await, 0);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_counts_once_and_ends_all_attempts() {
    // The receipt arrives before the next attempt, however slow this machine is.
    let world = World::new("3600").await;
    let service = world.start_with_factory().await;
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    service.until(id, "retrying").await;
    let first = received(id, 4);
    world.publish(first.clone()).await;
    world.publish(first.clone()).await;
    let shown = service.until(id, "partly_received").await;
    assert_eq!(shown["next_attempt_at"], Value::Null);
    world.publish(received(id, 6)).await;
    let shown = service.until(id, "received").await;
    assert_eq!(shown["received"], 10);
    world.publish(first).await;

    // The goods may arrive before the request; this receipt also shows that the replay was handled.
    let (early, request) = requested(FACTORY, 10);
    world.publish(received(early, 3)).await;
    world.wait_for_count("SELECT count(*) FROM receipts", 3).await;
    world.publish(request).await;
    let shown = service.until(early, "partly_received").await;
    assert_eq!((&shown["received"], &shown["attempt_count"]), (&json!(3), &json!(0)));
    assert_eq!(service.production_request(id).await.body["received"], 10);
    assert_eq!(world.factory.requests().len(), 1);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_of_another_product_are_stored_under_their_own_product_and_end_no_request() {
    const OTHER: &str = "CP-502102";
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    let id = world.request(FACTORY, 10).await;
    service.until(id, "accepted").await;
    let stranger = received_as(id, OTHER, 7);
    world.publish(stranger.clone()).await;
    world.publish(stranger).await;
    world.publish(received(id, 4)).await;
    let shown = service.until(id, "partly_received").await;
    assert_eq!(shown["received"], 4);

    // Goods of two products arrive before their requests. A request counts its own product, and is sent to the
    // factory if there is none of it.
    let (mixed, mixed_request) = requested(FACTORY, 10);
    let (strange, strange_request) = requested(FACTORY, 10);
    for early in [received(mixed, 3), received_as(mixed, OTHER, 5), received_as(strange, OTHER, 2)] {
        world.publish(early).await;
    }
    world.wait_for_count("SELECT count(*) FROM receipts", 5).await;
    // Totals include all receipts, whether or not their requests are known.
    let totals = json!([{"sku": SKU, "received": 7}, {"sku": OTHER, "received": 14}]);
    let audit = service.get("/api/v1/audit").await.body;
    assert_eq!((&audit["ok"], &audit["totals"]), (&json!(true), &totals), "{audit}");

    world.publish(mixed_request).await;
    world.publish(strange_request).await;
    assert_eq!(service.until(mixed, "partly_received").await["received"], 3);
    assert_eq!(service.until(strange, "accepted").await["received"], 0);
    assert_eq!(world.factory.requests().len(), 2);
    let audit = service.get("/api/v1/audit").await.body;
    assert_eq!((&audit["ok"], &audit["totals"]), (&json!(true), &totals), "{audit}");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_an_older_release_is_of_the_requested_product() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    // Stored without a product, before its request arrived.
    let (id, request) = requested(FACTORY, 10);
    let keep = format!(
        "INSERT INTO receipts (id, request_id, quantity, received_at) VALUES (gen_random_uuid(), '{id}', 3, now())"
    );
    world.as_admin().await.batch_execute(&keep).await.unwrap();
    world.publish(request).await;
    assert_eq!(service.until(id, "partly_received").await["received"], 3);
    let audit = service.get("/api/v1/audit").await.body;
    assert_eq!((&audit["ok"], &audit["totals"]), (&json!(true), &json!([{"sku": SKU, "received": 3}])), "{audit}");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_answered_with_its_state_and_restarts_nothing() {
    let mut world = World::new("0.05").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000");
    let service = world.start_with_factory().await;
    let (accepted, event) = requested(FACTORY, 10);
    world.publish(event.clone()).await;
    service.until(accepted, "accepted").await;
    world.outcomes(1).await;
    world.publish(event).await;
    let events = world.outcomes(2).await;
    assert_eq!(events[0].0, "jaego.production.accepted.v1");
    for field in ["request_id", "revision", "reason"] {
        assert_eq!(events[0].1[field], events[1].1[field], "{events:?}");
    }
    assert_eq!(world.factory.requests().len(), 1, "the factory is not asked again");

    // Only an operator's redrive restarts a dead letter.
    world.factory.set_faults(Faults { refuse_status: Some(503), ..Faults::default() }).unwrap();
    let (dead, event) = requested(FACTORY, 10);
    world.publish(event.clone()).await;
    service.until(dead, "dead_lettered").await;
    world.outcomes(3).await;
    let calls = world.factory.requests().len();
    world.publish(event).await;
    let events = world.outcomes(4).await;
    assert!(events.iter().filter(|(kind, _)| kind == "jaego.production.dead_lettered.v1").count() == 2, "{events:?}");
    assert_eq!(service.production_request(dead).await.body["status"], "dead_lettered");
    assert_eq!(world.factory.requests().len(), calls);
    service.dead_letters(1).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_about_a_held_request_delay_no_other_message() {
    const MANY: i64 = 100;
    let mut world = World::new("3600").await;
    // Nothing that waits for the held row gives up during the test.
    for limit in ["DATABASE__LOCK_TIMEOUT_MS", "DATABASE__STATEMENT_TIMEOUT_MS"] {
        world.set(limit, "600000");
    }
    let service = world.start_with_factory().await;
    let (held, asking) = requested("FF-unknown", 10);
    world.publish(asking.clone()).await;
    service.until(held, "refused").await;
    let holder = world.as_admin().await;
    let lock = format!("BEGIN; SELECT FROM production_requests WHERE id = '{held}' FOR UPDATE");
    holder.batch_execute(&lock).await.unwrap();
    for _ in 0..MANY {
        world.publish(received(held, 1)).await;
        world.publish(asking.clone()).await;
    }
    let free = world.request("FF-unknown", 10).await;
    service.until(free, "refused").await;
    world.publish(received(free, 10)).await;
    let receipts = async |id: RequestId, expected: i64| {
        let sql = format!("SELECT count(*) FROM receipts WHERE request_id = '{id}'");
        testkit::wait_until(&sql, crate::harness::SOON, async || {
            let count = world.count(&sql).await;
            if count == expected { Ok(()) } else { Err(count) }
        })
        .await;
    };
    receipts(free, 1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    receipts(held, MANY).await;
    testkit::wait_until("all to be handled", crate::harness::SOON, async || {
        (world.count("SELECT count(*) FROM message_retries").await == 0).then_some(())
    })
    .await;
    world.finish(service).await;
}
