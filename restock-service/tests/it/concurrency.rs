//! Callbacks of one request at the same time.

use futures::future::join_all;
use jaego_contracts::ids::RequestId;
use jaego_contracts::production;
use jaego_contracts::trace::TraceContext;
use serde_json::json;

use crate::consumers::{cancelled, requested};
use crate::harness::{Answer, SOON, Service, claims, echo, part};

/// Long timeouts for a busy machine: giving up early is not what is tested.
const PATIENT: &[(&str, &str)] = &[("DATABASE__WAIT_TIMEOUT_MS", "30000"), ("DATABASE__STATEMENT_TIMEOUT_MS", "30000")];

fn statuses(answers: &[Answer], status: &str) -> usize {
    answers.iter().filter(|answer| answer.body["status"] == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_identical_callbacks_make_one_receipt() {
    let service = Service::start(PATIENT).await;
    let token = service.world.token(100);
    let body = echo("100", &token);
    let answers = join_all((0..32).map(|_| service.call(&token, &body))).await;
    assert!(answers.iter().all(|answer| answer.received().1 == 100), "{answers:?}");
    assert_eq!((statuses(&answers, "received"), statuses(&answers, "duplicate")), (1, 31));
    assert!(answers.iter().all(|answer| answer.body["receipt_id"] == answers[0].body["receipt_id"]));
    assert_eq!(service.world.rows().await, [1, 1, 0]);
    service.world.wait_for_depth("sales.stock-received", 1).await;
    // The event is deleted after the broker has confirmed it.
    service.world.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    service.stop().await;
}

// Control: booked-once.
#[tokio::test(flavor = "multi_thread")]
async fn parts_under_several_tokens_never_exceed_the_request() {
    let service = Service::start(PATIENT).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let tokens: Vec<String> = (0..4).map(|_| world.sign(&claims(request_id, 100))).collect();
    let calls = (0..32_usize).map(|index| {
        let (token, body) = (&tokens[index % 4], part(&format!("part-{index}"), 7));
        let service = &service;
        async move { service.call(token, &body).await }
    });
    let answers = join_all(calls).await;
    // 14 parts of 7 fit completely and 2 units of the 15th; nothing is open for the others.
    assert_eq!((statuses(&answers, "received"), statuses(&answers, "quarantined")), (15, 17));
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 100);
    assert_eq!(world.count("SELECT received FROM production_requests").await, 100);
    assert_eq!(world.count("SELECT quantity FROM quarantine WHERE reason = 'over-delivery'").await, 5);
    assert_eq!(world.rows().await, [15, 32, 18]);
    world.wait_for_depth("sales.stock-received", 15).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_hear_of_one_request_at_once_book_each_unit_once() {
    let service = Service::start(PATIENT).await;
    let world = &service.world;
    let mut second = world.replica(PATIENT).await;
    let both: [&testkit::harness::Service; 2] = [&service, &second];
    for round in 0..12_usize {
        let request_id = RequestId::generate();
        // Two attempts, with each part reported by both, to both processes. The event that announces the request,
        // an operator's booking and, in some rounds, the request's cancellation come in between.
        let tokens = [0, 1].map(|_| world.sign(&claims(request_id, 100)));
        let calls = (0..16_usize).map(|index| {
            let (door, token) = (both[(index / 4) % 2], &tokens[index / 8]);
            let body = part(&format!("part-{}", index % 4), 25);
            async move { world.call(door, token, &body).await }
        });
        let body = json!({"request_id": request_id, "quantity": 30, "reason": "race"});
        let by_hand = both.map(|door| door.post("/api/v1/receipts", body.clone()));
        let events = async {
            world.publish(&production::REQUESTED, TraceContext::new_root(), &requested(request_id, 100)).await;
            if round % 3 == 2 {
                world.publish(&production::CANCELLED, TraceContext::new_root(), &cancelled(request_id, 100)).await;
            }
        };
        let (answers, by_hand, ()) = tokio::join!(join_all(calls), join_all(by_hand), events);
        assert!(answers.iter().all(|answer| [200, 202].contains(&answer.status.as_u16())), "{answers:?}");
        assert!(by_hand.iter().all(|answer| [201, 404, 409].contains(&answer.status.as_u16())), "{by_hand:?}");
        let of = |sql: &str| sql.replace("$1", &format!("'{request_id}'"));
        let booked =
            world.count(&of("SELECT coalesce(sum(quantity), 0)::int8 FROM receipts WHERE request_id = $1")).await;
        let received = world.count(&of("SELECT received FROM production_requests WHERE id = $1")).await;
        assert_eq!(booked, received, "round {round}");
        assert!(booked <= 100, "round {round}: {booked} of 100 were booked");
        let named = world.count(&of("SELECT count(*) FROM deliveries WHERE request_id = $1")).await;
        assert_eq!(named, 4, "round {round}: each part is one delivery, whoever reports it");
        let twice = "SELECT count(*) FROM (SELECT FROM receipts WHERE request_id = $1 AND delivery_id IS NOT NULL \
                     GROUP BY delivery_id HAVING count(*) > 1) AS twice";
        assert_eq!(world.count(&of(twice)).await, 0, "round {round}");

        // A quarantined delivery is accepted once.
        assert_eq!(world.call(&second, &tokens[0], &json!({"OrderStockCnt": 0})).await.problem(), "invalid-count");
        let waiting = of("SELECT id::text FROM quarantine WHERE request_id = $1 AND reason = 'invalid-count'");
        let entry: String = world.database.query_one(&waiting, &[]).await.unwrap().get(0);
        let (path, body) = (format!("/api/v1/quarantine/{entry}/accept"), json!({"reason": "race", "quantity": 1}));
        let accepts = both.map(|door| door.post(&path, body.clone()));
        let statuses: Vec<u16> = join_all(accepts).await.iter().map(|answer| answer.status.as_u16()).collect();
        assert!(statuses == [200, 409] || statuses == [409, 200], "round {round}: {statuses:?}");
    }
    let audit = second.get("/api/v1/audit").await;
    assert_eq!(audit.body["ok"], true, "{audit:?}");
    second.process.terminate(SOON).await.unwrap();
    service.stop().await;
}
