//! Results of calls are recorded together, with the same effect as one by one.

use std::collections::HashSet;

use diesel_async::{AsyncConnection as _, RunQueryDsl as _};
use factory_simulator::Faults;
use jaego_contracts::ids::RequestId;
use jaego_pg::StoreError;
use jaego_settings::Settings as _;
use production_service::store::attempts::{self, AttemptEnd};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{FACTORY, SOON, Service, World};

const CALLS: usize = 12;

/// Starts `CALLS` calls, whose answers the factory holds.
async fn calls_under_way(world: &World, service: &Service) -> Vec<RequestId> {
    let fields = json!({"base_url": world.factory.url(), "max_in_flight": CALLS, "timeout_ms": 30_000});
    service.put_factory(FACTORY, fields).await;
    world.factory.hold(CALLS);
    let mut ids = Vec::new();
    for _ in 0..CALLS {
        ids.push(world.request(FACTORY, 10).await);
    }
    wait_until("all calls", SOON, async || (world.factory.requests().len() == CALLS).then_some(())).await;
    ids
}

fn outcomes(shown: &Value) -> Vec<&Value> {
    shown["attempts"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect()
}

/// Waits until a statement like this is blocked by a lock.
async fn until_waiting(world: &World, statement: &str) {
    let admin = world.as_admin().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1";
    wait_until("a statement that waits for a lock", SOON, async || {
        (admin.query_one(waiting, &[&statement]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_many_kinds_in_one_batch_are_recorded_each_by_its_kind() {
    let world = World::new("3600").await;
    let service = world.start_with_factory().await;
    let fields = json!({"base_url": world.factory.url(), "max_in_flight": CALLS});
    service.put_factory(FACTORY, fields).await;
    // No result can be recorded while this table is locked.
    let mut holder = world.as_admin().await;
    let first = world.request(FACTORY, 10).await;
    service.until(first, "accepted").await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut ids = Vec::new();
    let mut ask = async |status: Option<u16>| {
        world.factory.set_faults(Faults { refuse_status: status, ..Faults::default() }).unwrap();
        let before = world.factory.requests().len();
        ids.push(world.request(FACTORY, 10).await);
        wait_until("a call", SOON, async || (world.factory.requests().len() > before).then_some(())).await;
    };
    for status in [None, Some(429), None, Some(400), None, Some(500), Some(400)] {
        ask(status).await;
    }
    // The first result waits for the table; the others wait for the first.
    until_waiting(&world, "INSERT INTO outbox%").await;
    held.commit().await.unwrap();

    let expected = [
        ("accepted", 201, "accepted", 1),
        ("retrying", 429, "retry", 0),
        ("accepted", 201, "accepted", 1),
        ("refused", 400, "refused", 1),
        ("accepted", 201, "accepted", 1),
        ("retrying", 500, "unknown", 0),
        ("refused", 400, "refused", 1),
    ];
    let asked = world.factory.requests();
    for (id, (status, answered, outcome, revision)) in ids.iter().zip(expected) {
        let shown = service.until(*id, status).await;
        let attempt = &shown["attempts"][0];
        assert_eq!((&attempt["status"], &attempt["outcome"]), (&json!(answered), &json!(outcome)), "{shown}");
        let job = asked.iter().find(|one| one.idempotency_key == Some(id.to_string())).unwrap().job_id.clone();
        assert_eq!(shown["factory_job_id"], json!(job), "{shown}");
        assert_eq!(shown["next_attempt_at"].is_null(), status != "retrying", "{shown}");
        let events = format!("SELECT revision FROM production_requests WHERE id = '{id}'");
        assert_eq!(world.count(&events).await, revision);
    }
    // Time and factory of the acceptance are stored for accepted requests, and for no others.
    let kept = "SELECT count(*) FROM production_requests p JOIN production_attempts a ON a.request_id = p.id \
        WHERE p.accepted_by = a.factory_id AND p.accepted_at = a.started_at + a.duration_ms * interval '1 millisecond'";
    assert_eq!(world.count(kept).await, 4);
    assert_eq!(world.count("SELECT count(*) FROM production_requests WHERE accepted_at IS NOT NULL").await, 4);
    let events: Vec<(String, Value)> = world.outcomes(6).await;
    let events: HashSet<(String, String)> =
        events.into_iter().map(|(kind, data)| (kind, data["request_id"].as_str().unwrap().to_owned())).collect();
    assert_eq!(events.len(), 6);
    for (id, (status, ..)) in ids.iter().zip(expected).filter(|(_, (status, ..))| *status != "retrying") {
        assert!(events.contains(&(format!("jaego.production.{status}.v1"), id.to_string())), "{id} {events:?}");
    }
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_during_a_database_outage_are_all_recorded_and_no_factory_is_called_twice() {
    let world = World::new("1").await;
    let service = world.start().await;
    // No answer arrives before the outage: the relay could not record that it has published the outcome.
    let ids = calls_under_way(&world, &service).await;
    let outage = world.begin_outage().await;
    world.factory.release();
    wait_until("all answers", SOON, async || {
        world.factory.requests().iter().all(|request| request.answer_status.is_some()).then_some(())
    })
    .await;
    outage.end().await;
    for id in ids {
        let shown = service.until(id, "accepted").await;
        assert_eq!(outcomes(&shown), [&json!("accepted")]);
    }
    assert_eq!(world.factory.requests().len(), CALLS);
    world.outcomes(u32::try_from(CALLS).unwrap()).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_cannot_be_recorded_does_not_hold_back_those_that_wait_with_it() {
    let world = World::new("1").await;
    let service = world.start().await;
    let ids = calls_under_way(&world, &service).await;
    let poisoned = ids[CALLS / 2];
    // No result of this request can be stored.
    let poison = format!(
        "ALTER TABLE production_attempts ADD CONSTRAINT poison CHECK (request_id <> '{poisoned}' OR outcome IS NULL)"
    );
    world.as_admin().await.batch_execute(&poison).await.unwrap();
    world.factory.release();
    for id in ids.iter().filter(|id| **id != poisoned) {
        service.until(*id, "accepted").await;
    }
    let shown = service.production_request(poisoned).await.body;
    assert_eq!((&shown["status"], outcomes(&shown)), (&json!("sending"), vec![&Value::Null]), "{shown}");
    assert_eq!(world.factory.requests().len(), CALLS);

    // No process has its call in flight any more: it counts as lost when its lease has expired, and is made again.
    let cured = "ALTER TABLE production_attempts DROP CONSTRAINT poison; UPDATE production_requests \
        SET lease_until = now() WHERE status = 'sending'";
    world.as_admin().await.batch_execute(cured).await.unwrap();
    let shown = service.until(poisoned, "accepted").await;
    assert_eq!(outcomes(&shown), [&json!("unknown"), &json!("accepted")]);
    world.outcomes(u32::try_from(CALLS).unwrap()).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_somebody_else_has_locked_keeps_no_other_one_waiting() {
    let world = World::new("1").await;
    let service = world.start().await;
    let ids = calls_under_way(&world, &service).await;
    let mut holder = world.as_admin().await;
    let held = holder.transaction().await.unwrap();
    let lock = format!("SELECT FROM production_requests WHERE id = '{}' FOR UPDATE", ids[0]);
    held.batch_execute(&lock).await.unwrap();
    world.factory.release();
    until_waiting(&world, "SELECT \"production_requests\"%").await;
    for id in &ids[1..] {
        service.until(*id, "accepted").await;
    }
    let shown = service.production_request(ids[0]).await.body;
    assert_eq!(shown["status"], "sending", "{shown}");
    held.commit().await.unwrap();
    let shown = service.until(ids[0], "accepted").await;
    assert_eq!(outcomes(&shown), [&json!("accepted")]);
    assert_eq!(world.factory.requests().len(), CALLS);
    world.outcomes(u32::try_from(CALLS).unwrap()).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_request_is_locked_for_longer_than_a_statement_may_wait_is_recorded() {
    let mut world = World::new("1").await;
    world.set("DATABASE__LOCK_TIMEOUT_MS", "2000");
    let service = world.start().await;
    let ids = calls_under_way(&world, &service).await;
    let mut holder = world.as_admin().await;
    let held = holder.transaction().await.unwrap();
    let lock = format!("SELECT FROM production_requests WHERE id = '{}' FOR UPDATE", ids[0]);
    held.batch_execute(&lock).await.unwrap();
    world.factory.release();
    let admin = world.as_admin().await;
    let waiting = "SELECT max(extract(epoch FROM query_start)::float8) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'SELECT \"production_requests\"%'";
    let began = async || admin.query_one(waiting, &[]).await.unwrap().get::<_, Option<f64>>(0);
    let first = wait_until("an attempt to record it", SOON, began).await;
    wait_until("another attempt", SOON, async || began().await.filter(|next| *next > first)).await;
    held.commit().await.unwrap();
    let shown = service.until(ids[0], "accepted").await;
    assert_eq!(outcomes(&shown), [&json!("accepted")]);
    assert_eq!(world.factory.requests().len(), CALLS, "no factory is called again");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_records_every_end_of_the_calls_that_are_under_way() {
    let world = World::new("1").await;
    let service = world.start().await;
    let ids = calls_under_way(&world, &service).await;
    tokio::join!(service.stop(), async { world.factory.release() });
    let accepted = "SELECT count(*) FROM production_requests p JOIN production_attempts a ON a.request_id = p.id \
        WHERE p.status = 'accepted' AND a.outcome = 'accepted' AND a.number = 1";
    assert_eq!(world.count(accepted).await, i64::try_from(ids.len()).unwrap());
    assert_eq!(world.factory.requests().len(), CALLS);
    let service = world.start().await;
    world.outcomes(u32::try_from(CALLS).unwrap()).await;
    world.finish(service).await;
}

#[derive(diesel::QueryableByName)]
struct Scans {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    seq_scan: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_found_by_index_however_small_their_table_was_when_that_was_planned() {
    let world = World::new("3600").await;
    world.start_with_factory().await.stop().await;
    let pool = jaego_pg::pool(&world.settings().common().database, "test").unwrap();
    let mut connection = pool.get().await.unwrap();
    // Enough rows that scanning a small table once is cheaper than looking each of them up.
    let ends = std::array::from_fn::<_, 64, _>(|_| AttemptEnd {
        request_id: RequestId::generate(),
        number: 1,
        outcome: "accepted",
        duration_ms: Some(1),
        status: Some(201),
        error: None,
        answer: None,
    });
    let scans: Scans = connection
        .transaction(async |connection| {
            attempts::end(connection, &ends).await?;
            let scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'production_attempts'";
            Ok::<_, StoreError>(diesel::sql_query(scans).get_result(connection).await?)
        })
        .await
        .unwrap();
    assert_eq!(scans.seq_scan, 0);
}
