//! Crashes of the service, and calls that it loses.

use factory_simulator::Faults;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{FACTORY, SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_in_the_middle_of_a_call_and_the_request_is_sent_again() {
    let mut world = World::new("1").await;
    world.set("DELIVERY__LEASE_MS", "1500");
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 1500})).await;
    service.stop().await;
    world.factory.set_faults(Faults { delay_ms: 5_000, for_next: Some(1), ..Faults::default() }).unwrap();
    let mut replica = world.replica().await;
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (world.factory.requests().len() == 1).then_some(())).await;
    replica.process.kill9().unwrap();

    let service = world.start().await;
    let shown = service.until(id, "accepted").await;
    let outcomes: Vec<&Value> = shown["attempts"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, [&json!("unknown"), &json!("accepted")]);
    let asked = world.factory.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].idempotency_key, asked[1].idempotency_key);
    assert_ne!(asked[0].body, asked[1].body, "a new callback token");
    world.outcomes(1).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_hand_is_lost_to_other_replicas_only_and_its_answer_is_still_written_down() {
    let world = World::new("1").await;
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 60_000})).await;
    world.factory.hold(1);
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (world.factory.requests().len() == 1).then_some(())).await;
    // A lease outlasts its call, but here it is ended early, together with the lease of a call that no process makes.
    let other = world.request(FACTORY, 10).await;
    service.until(other, "accepted").await;
    let lose = format!(
        "UPDATE production_requests SET status = 'sending', lease_until = now() WHERE id IN ('{id}', '{other}')"
    );
    assert_eq!(world.as_admin().await.execute(&lose, &[]).await.unwrap(), 2);
    // A check for lost calls finds both. Once the other call has been made again, this process has checked and has
    // left alone the call that it has in flight.
    wait_until("the lost call to be made again", SOON, || async {
        let shown = service.production_request(other).await.body;
        (shown["attempt_count"] == 2 && shown["status"] == "accepted").then_some(()).ok_or(shown)
    })
    .await;
    let shown = service.production_request(id).await.body;
    assert_eq!((&shown["status"], &shown["attempt_count"]), (&json!("sending"), &json!(1)), "{shown}");

    let replica = world.start().await;
    let shown = service.until(id, "accepted").await;
    assert_eq!((&shown["attempts"][0]["outcome"], &shown["attempt_count"]), (&json!("unknown"), &json!(2)));
    world.factory.release();
    wait_until("the first call's answer", SOON, || async {
        let shown = service.production_request(id).await.body;
        (shown["attempts"][0]["outcome"] == "accepted").then_some(()).ok_or(shown)
    })
    .await;
    // Two acceptances but one outcome, and two outcomes of the other request, which was reclaimed in between.
    world.outcomes(3).await;
    // The acceptance that came first counts, although the other one was recorded after it.
    let first = "SELECT count(*) FROM production_requests p JOIN production_attempts a ON a.request_id = p.id \
        WHERE a.number = 2 AND p.accepted_at = a.started_at + a.duration_ms * interval '1 millisecond'";
    assert_eq!(world.count(&format!("{first} AND p.id = '{id}'")).await, 1);
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_while_the_database_is_away_is_recorded_and_the_factory_asked_once() {
    let mut world = World::new("1").await;
    world.set("DELIVERY__LEASE_MS", "1");
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 5000})).await;
    world.factory.set_faults(Faults { delay_ms: 600, for_next: Some(1), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (world.factory.requests().len() == 1).then_some(())).await;
    let outage = world.begin_outage().await;
    // The answer is in memory, and the lease expires before it can be recorded.
    let admin = world.as_admin().await;
    let is_over = "SELECT lease_until < now() FROM production_requests WHERE status = 'sending'";
    wait_until("the lease to run out", SOON, async || {
        admin.query_one(is_over, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    outage.end().await;

    let shown = service.until(id, "accepted").await;
    let outcomes: Vec<&Value> = shown["attempts"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, [&json!("accepted")]);
    world.outcomes(1).await;
    assert_eq!(world.factory.requests().len(), 1);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_never_shorter_than_the_factorys_time() {
    for (lease_ms, timeout_ms, expected_ms) in [("0", 700, 45_700), ("1", 700, 1_700), ("9000", 700, 9_000)] {
        let mut world = World::new("1").await;
        world.set("DELIVERY__LEASE_MS", lease_ms);
        let service = world.start().await;
        service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": timeout_ms})).await;
        world.factory.set_faults(Faults { delay_ms: 400, for_next: Some(1), ..Faults::default() }).unwrap();
        let id = world.request(FACTORY, 10).await;
        let lease = "SELECT round(extract(epoch FROM lease_until - updated_at) * 1000)::bigint \
            FROM production_requests WHERE status = 'sending'";
        let sql = world.as_admin().await;
        let row = wait_until("a call", SOON, async || sql.query_opt(lease, &[]).await.unwrap()).await;
        let begun_within = row.get::<_, i64>(0) - expected_ms;
        assert!((0..900).contains(&begun_within), "{lease_ms}: {begun_within} ms too long");
        service.until(id, "accepted").await;
        world.finish(service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlasts_the_stop_is_made_again_by_the_next_process_at_once() {
    let mut world = World::new("1").await;
    world.set("SHUTDOWN__DRAIN_MS", "1000");
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 60_000})).await;
    world.factory.set_faults(Faults { delay_ms: 600_000, for_next: Some(1), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (world.factory.requests().len() == 1).then_some(())).await;
    service.stop().await;

    // Its lease would have outlasted its timeout.
    let service = world.start().await;
    let shown = service.until(id, "accepted").await;
    let outcomes: Vec<&Value> = shown["attempts"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, [&json!("unknown"), &json!("accepted")]);
    world.outcomes(1).await;
    world.finish(service).await;
}
