//! Messages that arrive together are stored as if each had arrived alone.

use std::sync::Arc;

use chrono::{SubsecRound, Utc};
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::production::ProductionRequested;
use jaego_contracts::topology::EVENTS;
use jaego_contracts::trace::TraceContext;
use jaego_postbox::consumer::{Handled, IfHeld};
use jaego_postbox::outbox::Outbox;
use jaego_settings::Settings as _;
use production_service::commands::Context;
use production_service::commands::keep_requests::{Message, keep_requests};
use testkit::wait_until;
use tokio::sync::Notify;

use crate::harness::{FACTORY, SKU, SOON, World};

/// A database that has the factory, and no running service.
async fn quiet_world() -> (World, Context) {
    let world = World::new("1").await;
    world.start_with_factory().await.stop().await;
    let settings = world.settings();
    let context = Context {
        pool: jaego_pg::pool(&settings.common().database, "test").unwrap(),
        outbox: Outbox::new(1_000),
        due: Arc::new(Notify::new()),
        retry_schedule: settings.delivery.retry_schedule().into(),
        throttled_max: std::time::Duration::MAX,
        breaker: settings.breaker.rules(),
    };
    (world, context)
}

struct Asked {
    requested: ProductionRequested,
    event_id: String,
    trace: TraceContext,
}

fn asked(factory: &str) -> Asked {
    let id = RequestId::generate();
    let requested = ProductionRequested {
        request_id: id,
        sku: SKU.parse().unwrap(),
        quantity: Quantity::try_from(10).unwrap(),
        factory_id: factory.parse().unwrap(),
        reason: "position 0 is at the reorder point 0".to_owned(),
        requested_at: Utc::now().trunc_subsecs(6),
    };
    Asked { requested, event_id: format!("event of {id}"), trace: TraceContext::new_root() }
}

fn message(asked: &Asked) -> Message {
    Message {
        requested: asked.requested.clone(),
        is_redriven: false,
        event_id: asked.event_id.clone(),
        event: asked.event_id.clone().into_bytes(),
        trace: asked.trace,
    }
}

/// Stored rows and published events, without the parts that differ between runs.
async fn result(world: &World) -> Vec<String> {
    let sql = world.as_admin().await;
    let kept = "SELECT concat_ws(' ', id, sku, factory_id, quantity, received, status, overdue, attempt_count, \
            attempts_before_schedule, next_attempt_at <= now(), revision, outcome_reason, reason, traceparent, event_id, \
            encode(event, 'hex'), requested_at, received_at, has_died, outcome_unknown) \
        FROM production_requests ORDER BY id";
    let events = "SELECT concat_ws(' ', routing_key, event -> 'data' ->> 'request_id', event -> 'data' ->> 'revision', \
            event -> 'data' ->> 'reason', event ->> 'traceparent') \
        FROM (SELECT id, routing_key, convert_from(body, 'UTF8')::json AS event FROM outbox) AS events \
        WHERE routing_key LIKE 'production.%' ORDER BY id";
    let mut all = Vec::new();
    for query in [kept, events, "SELECT concat_ws(' ', request_id, reason) FROM early_closings"] {
        all.extend(sql.query(query, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_kept_together_come_to_the_same_as_one_by_one() {
    let [usual, unknown, closed, part, whole, other, dead] =
        [FACTORY, "FF-unknown", FACTORY, FACTORY, FACTORY, FACTORY, FACTORY].map(asked);
    let mut results = Vec::new();
    for together in [true, false] {
        let (world, context) = quiet_world().await;
        keep_requests(&context, vec![message(&dead)], IfHeld::Wait).await.unwrap();
        let id = |asked: &Asked| asked.requested.request_id;
        let receipt = |id: RequestId, units: i64, sku: &str| {
            format!("INSERT INTO receipts VALUES ('{id}', '{id}', {units}, '2026-01-01', '{sku}');")
        };
        let before = [
            format!("INSERT INTO early_closings VALUES ('{}', 'the season is over', now());", id(&closed)),
            receipt(id(&part), 4, SKU),
            receipt(id(&whole), 10, SKU),
            receipt(id(&other), 10, "CP-other"),
            "UPDATE production_requests SET status = 'dead_lettered', next_attempt_at = NULL, has_died = true;".into(),
        ];
        world.as_admin().await.batch_execute(&before.concat()).await.unwrap();
        let mut all = [&usual, &dead, &unknown, &usual, &closed, &part, &whole, &dead, &other].map(message);
        (all[1].is_redriven, all[7].is_redriven) = (true, true);
        let handled = if together {
            keep_requests(&context, all.into(), IfHeld::LeaveOut).await.unwrap()
        } else {
            let mut handled = Vec::new();
            for one in all {
                handled.extend(keep_requests(&context, vec![one], IfHeld::Wait).await.unwrap());
            }
            handled
        };
        let underway: Vec<usize> =
            (0..handled.len()).filter(|place| handled[*place] == Some(Handled::Underway)).collect();
        assert_eq!((handled.len(), underway), (9, vec![1, 7]));
        results.push(result(&world).await);
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].len(), 7 + 2, "{:#?}", results[0]);
    for (asked, expected) in [
        (&usual, "0 requested"),
        (&unknown, "0 refused"),
        (&closed, "0 cancelled"),
        (&part, "4 partly_received"),
        (&whole, "10 received"),
        (&other, "0 requested"),
        (&dead, "0 requested"),
    ] {
        let id = asked.requested.request_id.to_string();
        let kept = results[0].iter().find(|row| row.starts_with(&id)).unwrap();
        assert!(kept.contains(&format!(" 10 {expected} ")), "{expected}: {kept}");
    }
}

/// Requests to an unknown factory: they are refused when stored, and nothing changes them afterwards.
async fn ask_for_thirty(world: &World) -> Vec<RequestId> {
    let mut requests = Vec::new();
    for _ in 0..30 {
        requests.push(world.request("FF-unknown", 10).await);
    }
    requests
}

async fn wait_for(what: &str, world: &World, query: &str, expected: i64) {
    wait_until(what, SOON, || async {
        let count = world.count(query).await;
        if count == expected { Ok(()) } else { Err(count) }
    })
    .await;
}

const REFUSED: &str = "SELECT count(*) FROM production_requests WHERE status = 'refused'";

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_came_in_a_burst_are_kept_in_few_transactions() {
    let world = World::new("1").await;
    let requests = ask_for_thirty(&world).await;
    let service = world.start().await;
    wait_for("30 requests", &world, REFUSED, 30).await;
    let transactions = world.count("SELECT count(DISTINCT xmin::text) FROM production_requests").await;
    assert!(transactions < 30, "30 requests in {transactions} transactions");
    for request in requests {
        service.until(request, "refused").await;
    }
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_in_a_burst_fails_alone() {
    let world = World::new("1").await;
    ask_for_thirty(&world).await;
    world.publish_raw(EVENTS, "production.requested", "odd", &TraceContext::new_root().to_string(), b"odd").await;
    ask_for_thirty(&world).await;
    let service = world.start().await;
    wait_for("60 requests", &world, REFUSED, 60).await;
    wait_for("the dead letter", &world, "SELECT count(*) FROM dead_letters WHERE body = 'odd'", 1).await;
    world.finish(service).await;
}
