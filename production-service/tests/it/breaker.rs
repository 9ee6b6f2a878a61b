//! Factories that are away, and the effect on their requests, other factories and replicas.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use factory_simulator::FactorySimulator;
use factory_simulator::Faults;
use jaego_contracts::ids::RequestId;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{FACTORY, SOON, Service, World};

/// Timeout of tests with many requests.
const LONG: Duration = Duration::from_secs(120);
const MANY: usize = 500;

fn refuse(status: u16, times: Option<u64>) -> Faults {
    Faults { refuse_status: Some(status), for_next: times, ..Faults::default() }
}

async fn breaker(service: &Service, factory: &str) -> Value {
    service.get(&format!("/api/v1/factories/{factory}")).await.body["breaker"].clone()
}

/// Waits until `count` requests are in `status`.
async fn until_all(world: &World, status: &str, count: usize) {
    let sql = world.as_admin().await;
    let query = "SELECT coalesce(string_agg(status || ' ' || count, ', '), '') FROM \
        (SELECT status, count(*) FROM production_requests GROUP BY status ORDER BY status) AS counted";
    let expected = format!("{status} {count}");
    wait_until(&expected, LONG, || async {
        let counts: String = sql.query_one(query, &[]).await.unwrap().get(0);
        if counts == expected { Ok(()) } else { Err(counts) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_opens_probes_and_closes_and_waiting_costs_no_attempts() {
    let mut world = World::new("0.1,0.1,0.1,0.1,0.1,60,60").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "3");
    world.set("BREAKER__OPEN_MS", "500");
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(503, None)).unwrap();
    let first = world.request(FACTORY, 10).await;
    let open = wait_until("an open breaker", SOON, || async {
        let breaker = breaker(&service, FACTORY).await;
        if breaker["state"] == "open" { Ok(breaker) } else { Err(breaker) }
    })
    .await;
    assert_eq!((&open["failures_in_a_row"], &open["last_error"]), (&json!(3), &json!("the factory answered 503")));
    assert!(open["next_probe_at"].is_string() && open["opened_at"].is_string(), "{open}");

    // More requests arrive: they wait and show why, and only one at a time is a probe.
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(world.request(FACTORY, 10).await);
    }
    let events = wait_until("a waiting request", SOON, || async {
        let shown = service.production_request(others[4]).await.body;
        if shown["waiting_for"] == "breaker_open" { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!((&events["status"], &events["attempt_count"]), (&json!("requested"), &json!(0)));
    let asked = world.factory.requests().len();
    wait_until("two more probes", SOON, async || (world.factory.requests().len() >= asked + 2).then_some(())).await;
    let probes = world.factory.requests().split_off(3);
    for pair in probes.windows(2) {
        assert!(pair[1].at - pair[0].at >= chrono::Duration::milliseconds(500), "one at a time");
    }
    let attempts = world.count("SELECT sum(attempt_count)::bigint FROM production_requests").await;
    assert!(attempts <= i64::try_from(3 + probes.len() + 1).unwrap(), "{attempts} attempts by {} calls", probes.len());

    world.factory.clear_faults();
    for id in others.iter().chain([&first]) {
        service.until(*id, "accepted").await;
    }
    assert_eq!(breaker(&service, FACTORY).await["state"], "closed");
    let accepted: Vec<_> = world.factory.requests().into_iter().filter(|one| one.answer_status == Some(201)).collect();
    assert_eq!(accepted.len(), 6, "each once");
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_holds_for_replicas_and_over_a_restart_and_an_operators_change_resets_it() {
    let mut world = World::new("0.05,60").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "2");
    world.set("BREAKER__OPEN_MS", "60000");
    world.set("BREAKER__OPEN_MAX_MS", "60000");
    let service = world.start_with_factory().await;
    let replica = world.start().await;
    world.factory.set_faults(refuse(503, None)).unwrap();
    world.request(FACTORY, 10).await;
    wait_until("an open breaker", SOON, async || (breaker(&replica, FACTORY).await["state"] == "open").then_some(()))
        .await;
    service.stop().await;
    let service = world.start().await;
    let id = world.request(FACTORY, 10).await;
    service.until(id, "requested").await;
    // A later request of another factory has been sent, so both replicas have looked for work.
    service.put_factory("FF-2", json!({"base_url": world.factory.url()})).await;
    world.factory.clear_faults();
    let other = world.request("FF-2", 10).await;
    service.until(other, "accepted").await;
    assert_eq!(service.production_request(id).await.body["attempt_count"], 0);
    assert_eq!(world.factory.requests().len(), 3);

    service.put_factory(FACTORY, json!({"base_url": world.factory.url()})).await;
    service.until(id, "accepted").await;
    assert_eq!(breaker(&service, FACTORY).await["state"], "closed");
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_factory_among_three_does_not_slow_the_others() {
    let mut world = World::new("1,5,30").await;
    world.set("DELIVERY__CONCURRENCY", "20");
    let service = world.start().await;
    let slow = FactorySimulator::start_local(3_600_000).unwrap();
    slow.set_faults(Faults { delay_ms: 600_000, ..Faults::default() }).unwrap();
    service.put_factory("FF-dead", json!({"base_url": slow.url(), "timeout_ms": 60000, "max_in_flight": 1000})).await;
    for id in ["FF-1", "FF-2"] {
        service.put_factory(id, json!({"base_url": world.factory.url(), "max_in_flight": 50})).await;
    }
    for _ in 0..30 {
        world.request("FF-dead", 10).await;
    }
    wait_until("calls to the dead factory", SOON, async || (slow.requests().len() >= 10).then_some(())).await;
    let mut ids = Vec::new();
    for factory in ["FF-1", "FF-2"] {
        for _ in 0..10 {
            ids.push(world.request(factory, 10).await);
        }
    }
    for id in ids {
        service.until(id, "accepted").await;
    }
    // None of the calls to the dead factory has timed out so far.
    assert_eq!(slow.requests().len(), 10, "half of what the process does at once");
    let ended = "SELECT count(*) FROM production_attempts WHERE factory_id = 'FF-dead' AND outcome IS NOT NULL";
    assert_eq!(world.count(ended).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn factories_with_backlogs_have_their_share_of_the_places() {
    let mut world = World::new("1").await;
    world.set("DELIVERY__CONCURRENCY", "8");
    world.factory.set_faults(Faults { delay_ms: 200, ..Faults::default() }).unwrap();
    let service = world.start().await;
    let names: Vec<String> = (1..=6).map(|number| format!("FF-{number}")).collect();
    for name in &names {
        let fields = json!({"base_url": world.factory.url(), "max_in_flight": 4, "enabled": false});
        service.put_factory(name, fields).await;
        for _ in 0..30 {
            world.request(name, 10).await;
        }
    }
    until_all(&world, "requested", 180).await;
    for name in &names {
        service.put_factory(name, json!({"base_url": world.factory.url(), "max_in_flight": 4})).await;
    }
    let accepted = "SELECT count(*) FROM (SELECT FROM production_requests WHERE status = 'accepted' \
                    GROUP BY factory_id HAVING count(*) >= 12) AS far";
    wait_until("a factory's first twelve", SOON, async || (world.count(accepted).await > 0).then_some(())).await;
    let starved = "SELECT count(*) FROM (SELECT FROM production_requests GROUP BY factory_id \
                   HAVING count(*) FILTER (WHERE status = 'accepted') < 3) AS starved";
    assert_eq!(world.count(starved).await, 0, "factories that others kept from being called");
    until_all(&world, "accepted", 180).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_for_all_replicas() {
    let world = World::new("1").await;
    let service = world.start_as("one").await;
    let replica = world.start_as("two").await;
    // Each replica stores requests, and calls the factory for those that it has stored.
    wait_until("two consumers", SOON, || async {
        let vhost = &world.surroundings.vhost;
        let queue =
            vhost.broker().queue(&vhost.name, "production.requests").await.map_err(|error| error.to_string())?;
        if queue.consumers == 2 { Ok(()) } else { Err(format!("{} consumers", queue.consumers)) }
    })
    .await;
    let limits = json!({"base_url": world.factory.url(), "rate_per_s": 5, "max_in_flight": 100});
    service.put_factory(FACTORY, limits).await;
    for _ in 0..15 {
        world.request(FACTORY, 10).await;
    }
    until_all(&world, "accepted", 15).await;
    assert_eq!(world.factory.requests().len(), 15);
    assert_both_call(&world, 1);
    // Measured by the database's clock, which enforces the rate: the transit time of a call depends on the machine.
    let too_many = "SELECT count(*) FROM production_attempts AS last WHERE 5 < (SELECT count(*) FROM production_attempts \
        WHERE started_at > last.started_at - interval '1 second' AND started_at <= last.started_at)";
    assert_eq!(world.count(too_many).await, 0, "six within a second");
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_send_five_hundred_requests_once_each_while_the_factory_fails_for_a_while() {
    let mut world = World::new("0.1,0.2,0.5,1,2,5,60").await;
    world.set("BREAKER__OPEN_MS", "200");
    world.set("BREAKER__OPEN_MAX_MS", "500");
    let service = world.start_as("one").await;
    let replica = world.start_as("two").await;
    let fast = json!({"base_url": world.factory.url(), "max_in_flight": 32});
    service.put_factory(FACTORY, fast).await;
    world.factory.set_faults(Faults { for_ms: Some(3_000), ..refuse(503, None) }).unwrap();
    let ids = publish_many(&world, MANY).await;
    until_all(&world, "accepted", MANY).await;
    assert_accepted_once(&world, &ids).await;
    assert_both_call(&world, MANY / 20);
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_that_fails_for_twenty_seconds_gets_every_request_once_accepted_exactly_once() {
    const REQUESTS: usize = 40;
    const OUTAGE: Duration = Duration::from_secs(20);
    let mut world = World::new("1,2,3,4,5,4,4,60").await;
    // Each request is retried again and again, whatever happens to the others.
    world.set("BREAKER__FAILURES_IN_A_ROW", "1000000");
    world.set("BREAKER__WINDOW_CALLS_MIN", "1000000");
    let service = world.start_with_factory().await;
    world.factory.set_faults(refuse(503, None)).unwrap();
    let begun = Instant::now();
    let ids = publish_many(&world, REQUESTS).await;
    let calls_of =
        |id: &String| world.factory.requests().iter().filter(|one| one.idempotency_key.as_ref() == Some(id)).count();
    // On a slow machine some requests arrive late; they must be refused often enough as well.
    wait_until("refused calls of each", LONG, || async {
        let fewest = ids.iter().map(calls_of).min().unwrap_or_default();
        if fewest >= 5 && begun.elapsed() >= OUTAGE { Ok(()) } else { Err(fewest) }
    })
    .await;
    world.factory.set_faults(Faults::default()).unwrap();
    until_all(&world, "accepted", REQUESTS).await;
    assert_accepted_once(&world, &ids).await;
    let asked = world.factory.requests();
    let first_accepted = asked.iter().find(|one| one.answer_status == Some(201)).unwrap();
    let outage = (first_accepted.at - asked[0].at).to_std().unwrap();
    assert!(outage + Duration::from_secs(3) > OUTAGE, "{outage:?}");
    for id in &ids {
        let calls = calls_of(id);
        assert!(calls > 5, "{id}: {calls} calls");
    }
    world.outcomes(u32::try_from(REQUESTS).unwrap()).await;
    world.finish(service).await;
}

/// Replicas share the work: each has called the factory at least `at_least` times.
fn assert_both_call(world: &World, at_least: usize) {
    let calls = world.calls_by_replica();
    assert_eq!(calls.keys().collect::<Vec<_>>(), ["one", "two"], "{calls:?}");
    assert!(calls.values().all(|calls| *calls >= at_least), "{calls:?}");
}

/// The factory has accepted exactly these requests, once each, and has received no call that is not stored.
async fn assert_accepted_once(world: &World, ids: &HashSet<String>) {
    let mut accepted: HashMap<String, usize> = HashMap::new();
    for one in world.factory.requests().into_iter().filter(|one| one.answer_status == Some(201)) {
        *accepted.entry(one.idempotency_key.unwrap()).or_default() += 1;
    }
    assert_eq!(accepted.len(), ids.len());
    assert!(accepted.iter().all(|(id, times)| ids.contains(id) && *times == 1), "{accepted:?}");
    let attempts = world.count("SELECT count(*) FROM production_attempts").await;
    assert_eq!(i64::try_from(world.factory.requests().len()), Ok(attempts));
}

async fn publish_many(world: &World, count: usize) -> HashSet<String> {
    let mut ids: Vec<RequestId> = Vec::new();
    for _ in 0..count {
        ids.push(world.request(FACTORY, 1).await);
    }
    ids.into_iter().map(|id| id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_requests_to_a_dead_factory_are_one_group_and_a_redrive_processes_them() {
    let world = World::new("0.2,0.2,0.2").await;
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": "http://127.0.0.1:9"})).await;
    publish_many(&world, MANY).await;
    until_all(&world, "dead_lettered", MANY).await;
    let groups = wait_until("one group", LONG, || async {
        let groups = service.get("/api/v1/dead-letters/groups").await.body;
        if groups["items"][0]["count"] == MANY { Ok(groups) } else { Err(groups) }
    })
    .await;
    assert_eq!(groups["items"].as_array().map(Vec::len), Some(1), "{groups}");
    let group = &groups["items"][0];
    assert_eq!(group["reason"], "factory-unreachable");
    // Waiting used no attempts: most requests were never sent.
    let attempts = world.count("SELECT count(*) FROM production_attempts").await;
    assert!(attempts < 200, "{attempts} calls to a dead factory");

    let fields = json!({"base_url": world.factory.url(), "max_in_flight": 32});
    service.put_factory(FACTORY, fields).await;
    let redrive = service.redrive(json!({"group": group["group"], "rate_per_s": 1000})).await;
    let ended = wait_until("the end of the redrive", LONG, || async {
        let body = service.get(&format!("/api/v1/dead-letters/redrives/{redrive}")).await.body;
        if body["done"] == true { Ok(body) } else { Err(body) }
    })
    .await;
    assert_eq!((&ended["processed"], &ended["failed_again"]), (&json!(MANY), &json!(0)), "{ended}");
    until_all(&world, "accepted", MANY).await;
    assert_eq!(world.factory.requests().len(), MANY);
    service.dead_letters(0).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hopeless_requests_are_given_up_by_one_connection_however_often_they_are_found() {
    // No request exhausts its schedule before the breaker gives it up.
    let mut world = World::new("0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2").await;
    world.set("BREAKER__FAILURES_IN_A_ROW", "1");
    // The insert that is held waits for as long as the test does.
    world.set("DATABASE__STATEMENT_TIMEOUT_MS", "600000");
    let service = world.start_with_factory().await;
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    service.put_factory("FF-other", json!({"base_url": other.url()})).await;
    let (admin, holder) = (world.as_admin().await, world.as_admin().await);
    let hold = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$; \
        CREATE TRIGGER hold BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION hold()";
    admin.batch_execute(hold).await.unwrap();
    holder.batch_execute("SELECT pg_advisory_lock(4711)").await.unwrap();
    world.factory.set_faults(refuse(503, None)).unwrap();
    let ids = publish_many(&world, 300).await;
    let giving_up = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' \
        AND datname = current_database()";
    wait_until("requests that are given up", SOON, || async {
        let count = world.count(giving_up).await;
        if count > 0 { Ok(()) } else { Err(count) }
    })
    .await;
    // Each of these takes more than one look for work.
    for _ in 0..10 {
        let id = world.request("FF-other", 1).await;
        service.until(id, "accepted").await;
        assert_eq!(world.count(giving_up).await, 1);
    }
    holder.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap();
    let given_up = "SELECT count(*) FROM production_requests WHERE status = 'dead_lettered'";
    wait_until("all of them to be given up", LONG, || async {
        let count = world.count(given_up).await;
        if count == i64::try_from(ids.len()).unwrap() { Ok(()) } else { Err(count) }
    })
    .await;
    world.finish(service).await;
}
