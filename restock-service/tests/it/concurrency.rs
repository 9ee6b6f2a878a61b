//! Callbacks of one request at the same time.

use futures::future::join_all;
use shared::ids::RequestId;
use testkit::wait_until;

use crate::harness::{Answer, SOON, Service, claims, echo, part};

/// A busy machine takes its time: what is tested is not how soon it gives up.
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
    // It is deleted after the broker has confirmed it.
    wait_until("the outbox to be empty", SOON, || async {
        let left = service.world.number("SELECT count(*) FROM outbox").await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_by_several_tokens_never_exceed_the_request() {
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
    // 14 parts of 7 fit wholly, 2 units of the 15th, nothing is open for the others.
    assert_eq!((statuses(&answers, "received"), statuses(&answers, "quarantined")), (15, 17));
    assert_eq!(world.number("SELECT sum(quantity)::int8 FROM receipts").await, 100);
    assert_eq!(world.number("SELECT received FROM production_requests").await, 100);
    assert_eq!(world.number("SELECT quantity FROM quarantine WHERE reason = 'over-delivery'").await, 5);
    assert_eq!(world.rows().await, [15, 32, 18]);
    world.wait_for_depth("sales.stock-received", 15).await;
    service.stop().await;
}
