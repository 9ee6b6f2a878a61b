//! PostgreSQL commits, and its answer is lost: the same callback is tried again, and finds what it wrote itself.

use jaego_contracts::ids::RequestId;
use serde_json::{Value, json};
use testkit::LinkCutter;
use tokio_postgres::Client;

use crate::harness::{Answer, Service, World, claims, part};
use crate::intake::{NO_LOCK_LIMIT, PATIENT, hold_table, wait_for_blocked, wait_for_waiting};

/// A service that reaches its database through a link that can be cut, and a client that holds its commits up.
struct Lossy {
    service: Service,
    link: LinkCutter,
    gate: Client,
}

impl Lossy {
    async fn start() -> Self {
        let world = World::new().await;
        let gate = world.as_admin().await;
        // A commit that changes one of these tables waits for the lock.
        let slow = "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS \
                    $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$; \
                    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON receipts DEFERRABLE INITIALLY DEFERRED \
                    FOR EACH ROW EXECUTE FUNCTION at_commit(); \
                    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE ON quarantine DEFERRABLE \
                    INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()";
        gate.batch_execute(slow).await.unwrap();
        let direct = world.own.database.url.clone();
        let target = direct.rsplit('@').next().and_then(|rest| rest.split('/').next()).unwrap();
        let link = LinkCutter::start(target).await.unwrap();
        let url = link.url(&direct).unwrap();
        let service = world.start(&[PATIENT, NO_LOCK_LIMIT, ("DATABASE__URL", &url)]).await;
        Self { service, link, gate }
    }

    /// Sends a callback whose commit succeeds without an answer; `written` returns 1 once it is committed.
    async fn call(&self, token: &str, body: &Value, written: &str) -> Answer {
        self.hold_commits().await;
        let call = self.service.begin_call(token, body);
        self.lose_answer(written).await;
        call.await.unwrap()
    }

    async fn hold_commits(&self) {
        self.gate.batch_execute("SELECT pg_advisory_lock(4711)").await.unwrap();
    }

    /// Lets the commit that waits succeed without an answer.
    async fn lose_answer(&self, written: &str) {
        wait_for_blocked(&self.service, 1).await;
        self.link.blackhole();
        self.gate.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap();
        self.service.world.wait_for_count(written, 1).await;
        self.link.cut_once();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nameless_part_is_booked_once_and_is_no_repetition_of_itself() {
    let lossy = Lossy::start().await;
    let (service, world) = (&lossy.service, &lossy.service.world);
    let token = world.token(100);
    let body = json!({"MessageAttributeProductCnt": 50});
    let answer = lossy.call(&token, &body, "SELECT count(*) FROM receipts").await;
    assert_eq!(answer.received(), ("received", 50));
    assert_eq!(world.rows().await, [1, 1, 0]);
    assert_eq!(world.count("SELECT received FROM production_requests").await, 50);
    assert_eq!(service.outcomes("received").await, 1);
    // A later one may be the second half.
    assert_eq!(service.call(&token, &body).await.quarantined(), "ambiguous-delivery");
    // A named part.
    let token = world.token(100);
    let answer = lossy.call(&token, &part("a", 60), "SELECT count(*) FROM receipts WHERE quantity = 60").await;
    assert_eq!(answer.received(), ("received", 60));
    assert_eq!(service.call(&token, &part("a", 60)).await.received(), ("duplicate", 60));
    assert_eq!(world.rows().await, [2, 2, 1]);
    lossy.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_operator_is_counted_once() {
    let lossy = Lossy::start().await;
    let (service, world) = (&lossy.service, &lossy.service.world);
    let times = async |reason: &str| {
        let query = format!("SELECT times_received FROM quarantine WHERE reason = '{reason}'");
        world.count(&query).await
    };
    let is_kept = |reason: &str, times: i64| {
        format!("SELECT count(*) FROM quarantine WHERE reason = '{reason}' AND times_received = {times}")
    };
    // A faulty delivery, a first one that is usable and not booked, and one that is neither.
    let mut late = claims(RequestId::generate(), 100);
    late.exp = (chrono::Utc::now() - chrono::Duration::seconds(1)).timestamp();
    let (token, late, parts) = (world.token(100), world.sign(&late), world.token(100));
    assert_eq!(service.call(&parts, &part("a", 10)).await.received(), ("received", 10));
    for (reason, token, body, status) in [
        ("invalid-count", &token, part("a", 0), 400),
        ("expired", &late, part("a", 10), 202),
        ("ambiguous-delivery", &parts, part("a", 11), 202),
    ] {
        for again in 1..=2 {
            let answer = lossy.call(token, &body, &is_kept(reason, again)).await;
            assert_eq!(answer.status, status, "{reason} {answer:?}");
            assert_eq!(times(reason).await, again, "{reason}");
        }
        assert_eq!(service.call(token, &body).await.status, status);
        assert_eq!(times(reason).await, 3, "{reason}");
    }
    assert_eq!(world.rows().await, [1, 2, 3]);
    lossy.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repetitions_of_one_batch_are_counted_once() {
    let lossy = Lossy::start().await;
    let (service, world) = (&lossy.service, &lossy.service.world);
    let (token, other) = (world.token(100), world.token(5));
    let body = json!({"OrderStockCnt": 10});
    assert_eq!(service.call(&token, &body).await.received(), ("received", 10));
    assert_eq!(service.call(&other, &part("a", 5)).await.received(), ("received", 5));
    let holder = hold_table(service).await;
    let busy = service.begin_call(&other, &part("a", 5));
    wait_for_blocked(service, 1).await;
    let mut calls = Vec::new();
    for waiting in 1..=3 {
        calls.push(service.begin_call(&token, &body));
        wait_for_waiting(service, waiting).await;
    }
    lossy.hold_commits().await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(busy.await.unwrap().received(), ("duplicate", 5));
    lossy.lose_answer("SELECT count(*) FROM quarantine WHERE times_received = 3").await;
    for call in calls {
        assert_eq!(call.await.unwrap().quarantined(), "ambiguous-delivery");
    }
    assert_eq!(world.count("SELECT times_received FROM quarantine").await, 3);
    assert_eq!(service.call(&token, &body).await.quarantined(), "ambiguous-delivery");
    assert_eq!(world.count("SELECT times_received FROM quarantine").await, 4);
    assert_eq!(world.rows().await, [2, 2, 1]);
    lossy.service.stop().await;
}
