//! Callbacks that are taken in batches.

use jaego_contracts::ids::RequestId;
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::harness::{Answer, FACTORY, SOON, Service, claims, part};

/// So long that a busy machine does not reach it.
pub(crate) const PATIENT: (&str, &str) = ("DATABASE__STATEMENT_TIMEOUT_MS", "60000");
pub(crate) const NO_LOCK_LIMIT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT_MS", "0");

/// Locks the table, so that the worker stays busy with one batch while further callbacks gather.
pub(crate) async fn hold_table(service: &Service) -> Client {
    // The audit at the start would wait for the lock, too.
    wait_until("the first audit", SOON, async || {
        (service.metric("jaego_audit_completed_timestamp_seconds").await > 0.0).then_some(())
    })
    .await;
    let holder = service.world.as_admin().await;
    holder.batch_execute("BEGIN; LOCK TABLE production_requests IN ACCESS EXCLUSIVE MODE").await.unwrap();
    holder
}

/// Waits until this many of the service's statements wait for a lock.
pub(crate) async fn wait_for_blocked(service: &Service, number: i64) {
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND application_name = 'restock-service'";
    service.world.wait_for_count(blocked, number).await;
}

/// Waits until this many callbacks wait behind the one that the worker is handling.
pub(crate) async fn wait_for_waiting(service: &Service, number: u32) {
    wait_until("callbacks waiting", SOON, async || {
        let seen = service.metric("jaego_callbacks_waiting").await;
        if (seen - f64::from(number + 1)).abs() < 0.5 { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Starts a batch of one that waits for the table.
async fn busy_worker(service: &Service) -> JoinHandle<Answer> {
    let call = service.begin_call(&service.world.token(1), &part("busy", 1));
    wait_for_blocked(service, 1).await;
    call
}

async fn batches(service: &Service) -> (f64, f64) {
    (service.metric("jaego_callback_batch_size_count").await, service.metric("jaego_callback_batch_size_sum").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_of_a_batch_see_each_others_effect_in_the_order_of_arrival() {
    let service = Service::start(&[PATIENT, NO_LOCK_LIMIT]).await;
    let world = &service.world;
    let holder = hold_table(&service).await;
    let busy = busy_worker(&service).await;
    let request_id = RequestId::generate();
    let (one, two) = (world.sign(&claims(request_id, 100)), world.sign(&claims(request_id, 100)));
    let other = world.token(10);
    let count = |count: i64| json!({"MessageAttributeProductCnt": count});
    let calls: [(&str, Value); 10] = [
        (&one, part("a", 40)),
        (&one, part("a", 40)),
        (&two, part("a", 40)),
        (&two, part("d", 40)),
        (&other, count(4)),
        (&one, part("a", 41)),
        (&one, part("b", 30)),
        (&one, part("c", 1)),
        (&other, count(4)),
        (&one, part("b", 30)),
    ];
    let mut answers = Vec::new();
    for (waiting, (token, body)) in (1..).zip(&calls) {
        answers.push(service.begin_call(token, body));
        wait_for_waiting(&service, waiting).await;
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    let mut seen = Vec::new();
    for answer in answers {
        let answer = answer.await.unwrap();
        seen.push(match answer.status.as_u16() {
            200 => format!("{} {} {}", answer.received().0, answer.received().1, answer.body["quarantined"]),
            _ => answer.quarantined().to_owned(),
        });
    }
    let expected = [
        "received 40 null",
        "duplicate 40 null",
        "duplicate 40 null",
        "received 40 null",
        "received 4 null",
        "ambiguous-delivery",
        "received 20 10",
        "nothing-open",
        "ambiguous-delivery",
        "duplicate 20 10",
    ];
    assert_eq!(seen, expected);
    assert_eq!(busy.await.unwrap().received(), ("received", 1));
    assert_eq!(batches(&service).await, (2.0, 11.0), "one, and then all the others together");
    assert_eq!(world.rows().await, [5, 6, 4]);
    assert_eq!(world.count("SELECT sum(received)::int8 FROM production_requests").await, 105);
    world.wait_for_depth("sales.stock-received", 5).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_queue_callbacks_wait_for_a_place() {
    let service =
        Service::start(&[PATIENT, NO_LOCK_LIMIT, ("INTAKE__QUEUE_MAX", "2"), ("INTAKE__BATCH_MAX", "1")]).await;
    let holder = hold_table(&service).await;
    let busy = busy_worker(&service).await;
    let waiting = [1, 2, 3, 4].map(|_| service.begin_call(&service.world.token(5), &part("a", 5)));
    wait_for_waiting(&service, 4).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(busy.await.unwrap().received(), ("received", 1));
    for call in waiting {
        assert_eq!(call.await.unwrap().received(), ("received", 5));
    }
    assert_eq!(service.world.rows().await, [5, 5, 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_the_store_cannot_take_does_not_fail_its_batch() {
    let service = Service::start(&[PATIENT, NO_LOCK_LIMIT]).await;
    let world = &service.world;
    let holder = hold_table(&service).await;
    let busy = busy_worker(&service).await;
    // PostgreSQL's type text cannot hold NUL.
    let mut poison = claims(RequestId::generate(), 5);
    poison.jti = "a\0b".to_owned();
    let poison = world.sign(&poison);
    let calls: Vec<_> = (0..9)
        .map(|index| service.begin_call(&if index == 4 { poison.clone() } else { world.token(5) }, &part("a", 5)))
        .collect();
    wait_for_waiting(&service, 9).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    for (index, call) in calls.into_iter().enumerate() {
        let answer = call.await.unwrap();
        match index {
            4 => assert_eq!(answer.refusal(), (500, "internal")),
            _ => assert_eq!(answer.received(), ("received", 5)),
        }
    }
    assert_eq!(busy.await.unwrap().status, 200);
    assert_eq!(batches(&service).await, (2.0, 10.0), "they were one batch");
    assert_eq!(world.rows().await, [9, 9, 0]);
    assert_eq!(world.count("SELECT count(*) FROM production_requests").await, 9);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_it_is_durable() {
    let service = Service::start(&[PATIENT, NO_LOCK_LIMIT]).await;
    let world = &service.world;
    let holder = world.as_admin().await;
    // The commit waits for the holder of the lock; later it fails.
    let slow = "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$; \
                CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON receipts DEFERRABLE INITIALLY DEFERRED \
                FOR EACH ROW EXECUTE FUNCTION at_commit()";
    holder.batch_execute(slow).await.unwrap();
    holder.batch_execute("SELECT pg_advisory_lock(4711)").await.unwrap();
    let token = world.token(5);
    let call = service.begin_call(&token, &part("a", 5));
    wait_for_blocked(&service, 1).await;
    assert_eq!(world.rows().await, [0, 0, 0]);
    assert!(!call.is_finished(), "everything is written but not committed, so there must be no answer yet");
    holder.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap();
    assert_eq!(call.await.unwrap().received(), ("received", 5));
    assert_eq!(world.rows().await, [1, 1, 0]);

    let failing = "CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN RAISE EXCEPTION 'the commit fails'; END $$";
    holder.batch_execute(failing).await.unwrap();
    let answer = service.call(&world.token(5), &part("a", 5)).await;
    assert_eq!(answer.refusal(), (500, "internal"));
    // It is not retried, because the store would never take it; it is recorded for an operator.
    world.wait_for_count("SELECT count(*) FROM quarantine WHERE reason = 'lost'", 1).await;
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 5);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_delays_only_its_own_callbacks() {
    let service = Service::start(&[PATIENT, NO_LOCK_LIMIT]).await;
    let world = &service.world;
    let held = world.token(100);
    assert_eq!(service.call(&held, &part("a", 40)).await.received(), ("received", 40));
    let holder = world.as_admin().await;
    holder.batch_execute("BEGIN; SELECT * FROM production_requests FOR UPDATE").await.unwrap();
    let calls = [service.begin_call(&held, &part("b", 10)), service.begin_call(&held, &part("c", 10))];
    wait_for_waiting(&service, 1).await;
    for index in 0..3 {
        assert_eq!(service.call(&world.token(5), &part("a", 5)).await.received(), ("received", 5), "{index}");
    }
    assert!(calls.iter().all(|call| !call.is_finished()));
    holder.batch_execute("ROLLBACK").await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().received(), ("received", 10));
    }
    assert_eq!(world.count("SELECT received FROM production_requests WHERE quantity = 100").await, 60);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_booked_after_the_sender_has_disconnected() {
    let service = Service::start(&[PATIENT, NO_LOCK_LIMIT]).await;
    let holder = hold_table(&service).await;
    let busy = busy_worker(&service).await;
    let gone = service.begin_call(&service.world.token(7), &part("a", 7));
    wait_for_waiting(&service, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(busy.await.unwrap().received(), ("received", 1));
    service.world.wait_for_count("SELECT count(*) FROM receipts", 2).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_not_stored_in_time_is_answered_503_and_booked_later() {
    let few = [("INTAKE__QUEUE_MAX", "1"), ("INTAKE__BATCH_MAX", "1")];
    let service =
        Service::start(&[&[PATIENT, NO_LOCK_LIMIT, ("CALLBACK__HOLD_MS", "100")], few.as_slice()].concat()).await;
    let world = &service.world;
    let holder = hold_table(&service).await;
    let busy = busy_worker(&service).await;
    let answer = service.call(&world.token(5), &part("a", 5)).await;
    assert_eq!(answer.refusal(), (503, "unavailable"));
    assert!(answer.retry_after().is_some());
    let answer = service.call(&world.token(5), &part("a", 5)).await;
    assert_eq!(answer.refusal(), (503, "overloaded"), "there is a place for one");
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(busy.await.unwrap().problem(), "unavailable");
    world.wait_for_count("SELECT count(*) FROM receipts", 3).await;
    assert_eq!(world.count("SELECT sum(quantity)::int8 FROM receipts").await, 11);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_sources_that_another_replica_has_heard_of_holds_at_once() {
    let service = Service::start(&[PATIENT, NO_LOCK_LIMIT]).await;
    let world = &service.world;
    let token = world.token(100);
    assert_eq!(service.call(&token, &part("a", 40)).await.received(), ("received", 40));
    let revoke = "INSERT INTO factories (id, callback_sources, revision) VALUES ($1, ARRAY['192.0.2.0/24'], 1)";
    world.database.execute(revoke, &[&FACTORY]).await.unwrap();
    for token in [token, world.token(5)] {
        let answer = service.call(&token, &part("b", 5)).await;
        assert_eq!(answer.refusal(), (403, "source-not-allowed"));
    }
    assert_eq!(world.rows().await, [1, 1, 0]);
    assert_eq!(world.count("SELECT count(*) FROM production_requests").await, 1);
    service.stop().await;
}
