//! The relay and the outbox: several windows in flight, in order, one leader among replicas, and no event lost.

use std::collections::BTreeSet;
use std::time::Duration;

use jaego_contracts::ids::{ReceiptId, RequestId};
use serde_json::{Value, json};
use testkit::process::Signal;
use testkit::wait_until;
use tokio_postgres::{AsyncMessage, NoTls};

use crate::harness::{SOON, Shop, one, policy};
use crate::messages::{publish, received_of};

/// Routing key with a single queue, `production.replenishments-closed`.
const CLOSED: &str = "replenishment.closed";
const CLOSED_QUEUE: &str = "production.replenishments-closed";

/// Inserts the events `<name>-<first>` to `<name>-<last>`, in that order.
fn events(name: &str, key: &str, first: i64, last: i64) -> String {
    format!(
        "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
         SELECT '{name}-' || n, 'jaego.events', '{key}', 'text/plain', '{{}}', 'x', true \
         FROM generate_series({first}, {last}) n ORDER BY n"
    )
}

async fn execute(shop: &Shop, sql: &str) {
    shop.database.batch_execute(sql).await.expect("executed");
}

async fn wait_for_waiting(shop: &Shop, filter: &str, expected: i64) {
    let query = format!("SELECT count(*) FROM outbox WHERE {filter}");
    wait_until(&query, SOON, || async {
        let count = shop.count(&query).await;
        if count == expected { Ok(()) } else { Err(count) }
    })
    .await;
}

/// The message ids of a queue, in order.
async fn queued(shop: &Shop, queue: &str, at_most: u32) -> Vec<String> {
    let vhost = &shop.surroundings.vhost;
    let messages = vhost.broker().get_messages(&vhost.name, queue, at_most).await.expect("messages");
    messages.into_iter().map(|message| message.properties.message_id.expect("an id")).collect()
}

async fn depth(shop: &Shop, queue: &str) -> u32 {
    shop.surroundings.vhost.depth(queue).await.expect("depth")
}

/// Small windows, four in flight.
const NARROW: [(&str, &str); 2] = [("JAEGO_SALES__OUTBOX__WINDOW", "10"), ("JAEGO_SALES__OUTBOX__WINDOWS", "4")];

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_are_on_their_way_at_once_keep_their_order() {
    let shop = Shop::open_with(&NARROW).await;
    execute(&shop, &events("e", CLOSED, 1, 400)).await;
    wait_for_waiting(&shop, "true", 0).await;
    let expected: Vec<String> = (1..=400).map(|number| format!("e-{number}")).collect();
    assert_eq!(queued(&shop, CLOSED_QUEUE, 1_000).await, expected, "each once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_many_frames_arrives_whole() {
    let shop = Shop::open().await;
    let sql = "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
        SELECT 'long', 'jaego.events', 'replenishment.closed', 'text/plain', '{}', \
        convert_to(string_agg(n::text, ','), 'UTF8'), true FROM generate_series(1, 30000) AS n";
    execute(&shop, sql).await;
    wait_for_waiting(&shop, "true", 0).await;
    let vhost = &shop.surroundings.vhost;
    let messages = vhost.broker().get_messages(&vhost.name, CLOSED_QUEUE, 10).await.expect("messages");
    let numbers: Vec<String> = (1..=30_000).map(|number| number.to_string()).collect();
    assert_eq!(messages.iter().map(|message| &message.payload).collect::<Vec<_>>(), [&numbers.join(",")]);

    shop.product("CP-1", 0, policy()).await;
    let goods = received_of("CP-1", ReceiptId::generate(), RequestId::generate(), 7);
    let mut goods: Value = serde_json::from_slice(&goods).expect("json");
    goods["data"]["note"] = json!("x".repeat(200_000));
    publish(&shop, "stock.received", goods.to_string().as_bytes()).await;
    wait_until("the goods", SOON, || async {
        let (on_hand, ..) = shop.figures("CP-1").await;
        if on_hand == 7 { Ok(()) } else { Err(on_hand) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_between_confirm_and_settlement_costs_no_event() {
    let mut shop = Shop::open_with(&NARROW).await;
    shop.stop().await;
    let link = shop.link("AMQP__URL").await;
    execute(&shop, &events("e", CLOSED, 1, 200)).await;
    let mut locker = shop.as_admin().await;
    let lock = locker.transaction().await.expect("a transaction");
    lock.execute("SELECT * FROM outbox WHERE message_id = 'e-1' FOR UPDATE", &[]).await.expect("locked");
    shop.start().await;
    wait_until("a window on the broker that cannot be settled", SOON, || async {
        let depth = depth(&shop, CLOSED_QUEUE).await;
        if depth >= 10 { Ok(()) } else { Err(depth) }
    })
    .await;
    assert_eq!(shop.count("SELECT count(*) FROM outbox").await, 200);
    assert!(depth(&shop, CLOSED_QUEUE).await <= 40, "no more than four are on their way");
    link.cut_once();
    lock.rollback().await.expect("unlocked");
    wait_for_waiting(&shop, "true", 0).await;
    let arrived: BTreeSet<String> = queued(&shop, CLOSED_QUEUE, 1_000).await.into_iter().collect();
    let expected: BTreeSet<String> = (1..=200).map(|number| format!("e-{number}")).collect();
    assert_eq!(arrived, expected);
}

/// Events of a key that no queue accepts, more than all windows together hold, before and after deliverable ones.
fn held_and_free() -> String {
    let all = [
        events("held", "production.requested", 1, 100),
        events("free", CLOSED, 1, 100),
        events("held", "production.requested", 101, 200),
    ];
    format!("BEGIN; {}; COMMIT", all.join(";"))
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_no_queue_takes_do_not_hold_the_others() {
    let shop = Shop::open_with(&NARROW).await;
    let vhost = &shop.surroundings.vhost;
    for queue in ["production.requests", "restock.production-requests"] {
        vhost.broker().delete_queue(&vhost.name, queue).await.expect("deleted");
    }
    execute(&shop, &held_and_free()).await;
    wait_for_waiting(&shop, "message_id LIKE 'free-%'", 0).await;
    assert_eq!(depth(&shop, CLOSED_QUEUE).await, 100);
    assert_eq!(shop.count("SELECT count(*) FROM outbox").await, 200, "each of the others is kept");
    wait_for_waiting(&shop, "last_error = 'no queue is bound for it' AND attempts >= 2", 1).await;

    vhost.import(&jaego_contracts::topology::definitions()).await.expect("imported");
    wait_for_waiting(&shop, "true", 0).await;
    // The import creates one queue after the other; an event published in between reaches only the first.
    let mut arrived: BTreeSet<String> = BTreeSet::new();
    for queue in ["production.requests", "restock.production-requests"] {
        arrived.extend(queued(&shop, queue, 1_000).await);
    }
    assert_eq!(arrived.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_gets_one_event_now_and_then_and_its_neighbours_no_copies() {
    let shop = Shop::open_with(&NARROW).await;
    let vhost = &shop.surroundings.vhost;
    let queue = "restock.production-requests";
    let mut narrow = jaego_contracts::topology::definitions();
    for declared in narrow["queues"].as_array_mut().expect("queues") {
        if declared["name"] == queue {
            declared["arguments"]["x-max-length"] = json!(5);
        }
    }
    vhost.renew(queue, &narrow).await.expect("made anew");
    execute(&shop, &held_and_free()).await;
    wait_for_waiting(&shop, "message_id LIKE 'free-%'", 0).await;
    wait_for_waiting(&shop, "last_error LIKE 'the broker refused it%' AND attempts >= 4", 1).await;
    let waiting = shop.count("SELECT count(*) FROM outbox").await;
    assert!(waiting > 100, "{waiting} wait for room");
    // Duplicates are the events in flight when the queue became full, and one event per retry.
    let beside = queued(&shop, "production.requests", 1_000).await;
    let distinct: BTreeSet<&String> = beside.iter().collect();
    let copies = beside.len() - distinct.len();
    assert!(copies <= 60, "{copies} copies in the queue beside it");

    vhost.renew(queue, &jaego_contracts::topology::definitions()).await.expect("made anew");
    wait_for_waiting(&shop, "true", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_hangs_holds_only_its_own_events() {
    let shop = Shop::open().await;
    let vhost = &shop.surroundings.vhost;
    vhost.suspend(CLOSED_QUEUE).await.expect("suspended");
    // More than RabbitMQ lets a channel send to the queue before it blocks the connection.
    execute(&shop, &events("hung", CLOSED, 1, 300)).await;
    for round in 0..5 {
        let first = round * 300;
        execute(&shop, &events("free", "production.requested", first + 1, first + 300)).await;
        execute(&shop, &events("hung", CLOSED, first + 301, first + 600)).await;
        wait_for_waiting(&shop, "message_id LIKE 'free-%'", 0).await;
        // The first event has waited in vain, later also on a channel of its own.
        let probed = format!("last_error = 'the broker did not confirm in time' AND attempts >= {}", round / 2 + 1);
        wait_for_waiting(&shop, &probed, 1).await;
    }
    assert_eq!(shop.count("SELECT count(*) FROM outbox").await, 1_800, "each event of the queue that hangs is kept");

    vhost.resume(CLOSED_QUEUE).await.expect("resumed");
    wait_for_waiting(&shop, "true", 0).await;
    let arrived: BTreeSet<String> = queued(&shop, CLOSED_QUEUE, 10_000).await.into_iter().collect();
    let expected: BTreeSet<String> = (1..=1_800).map(|number| format!("hung-{number}")).collect();
    assert_eq!(arrived, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_reach_the_broker_never_leads() {
    let mut shop = Shop::open().await;
    shop.stop().await;
    let direct = shop.own.env.clone();
    let link = shop.link("AMQP__URL").await;
    link.blackhole();
    shop.start().await;
    // The relay and the consumers try at the same time.
    wait_until("attempts to connect", SOON, || async {
        let attempts = link.accepted();
        if attempts >= 4 { Ok(()) } else { Err(attempts) }
    })
    .await;
    assert_eq!(shop.count("SELECT count(*) FROM relay_lease WHERE until > now()").await, 0, "it does not lead");
    execute(&shop, &events("e", CLOSED, 1, 10)).await;
    shop.own.env = direct;
    let _second = shop.replica().await;
    wait_for_waiting(&shop, "true", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_link_to_the_broker_hangs_is_replaced() {
    let mut shop = Shop::open().await;
    shop.stop().await;
    let direct = shop.own.env.clone();
    let link = shop.link("AMQP__URL").await;
    shop.start().await;
    wait_for_leader(&shop).await;
    shop.own.env = direct;
    let _second = shop.replica().await;
    link.blackhole();
    execute(&shop, &events("e", CLOSED, 1, 10)).await;
    wait_for_waiting(&shop, "true", 0).await;
    assert!(depth(&shop, CLOSED_QUEUE).await >= 10);
}

async fn wait_for_leader(shop: &Shop) {
    let leads = "SELECT count(*) FROM relay_lease WHERE until > now()";
    wait_until("a leader", SOON, || async { (shop.count(leads).await == 1).then_some(()) }).await;
}

/// After the link has hung, bytes on its connections are lost for ever; new connections work.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_link_to_the_database_hung_goes_on() {
    let mut shop = Shop::open().await;
    shop.stop().await;
    let link = shop.link("DATABASE__URL").await;
    shop.start().await;
    wait_for_leader(&shop).await;
    link.blackhole();
    // The leader waits for an answer to its renewal.
    let lapsed = "SELECT count(*) FROM relay_lease WHERE until <= now()";
    wait_until("its lease to lapse", SOON, || async { (shop.count(lapsed).await == 1).then_some(()) }).await;
    link.pass();
    execute(&shop, &events("e", CLOSED, 1, 10)).await;
    wait_for_waiting(&shop, "true", 0).await;
    assert_eq!(depth(&shop, CLOSED_QUEUE).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_freezes_while_it_reads_is_replaced() {
    let mut shop = Shop::open_with(&NARROW).await;
    shop.stop().await;
    execute(&shop, &events("e", CLOSED, 0, 0)).await;
    let frozen = shop.replica().await;
    wait_for_waiting(&shop, "true", 0).await;
    // Its next read, with which it renews the lease, waits for this lock.
    let mut locker = shop.as_admin().await;
    let lock = locker.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    // A read of ten of these does not fit between the server and a process that reads nothing.
    let large = events("e", CLOSED, 1, 40).replace("'x'", "convert_to(repeat('x', 3000000), 'UTF8')");
    lock.batch_execute(&large).await.expect("written");
    let observer = shop.as_admin().await;
    let reading = async |state: &str| {
        let reading = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {state} \
             AND query LIKE '%FROM outbox WHERE id >%'"
        );
        wait_until(state, SOON, || async {
            (observer.query_one(&reading, &[]).await.expect("asked").get::<_, i64>(0) == 1).then_some(())
        })
        .await;
    };
    reading("wait_event = 'relation'").await;
    frozen.process.signal(Signal::SIGSTOP);
    lock.commit().await.expect("unlocked");
    // Its transaction sends rows, or waits for its next message if the statement had to be prepared.
    reading("wait_event IN ('ClientWrite', 'ClientRead') AND state <> 'idle'").await;
    let lease = observer.batch_execute("SELECT FROM relay_lease FOR UPDATE NOWAIT").await;
    lease.expect("the frozen leader holds no row that the next one needs");

    shop.start().await;
    wait_for_waiting(&shop, "true", 0).await;
    frozen.process.signal(Signal::SIGCONT);
    execute(&shop, &events("e", CLOSED, 41, 50)).await;
    wait_for_waiting(&shop, "true", 0).await;
    assert!(depth(&shop, CLOSED_QUEUE).await >= 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_relays_and_is_notified_of_the_commits_of_others() {
    let mut shop = Shop::open().await;
    shop.stop().await;
    let (other, connection) = tokio_postgres::connect(&shop.own.database.admin_url, NoTls).await.expect("connected");
    tokio::spawn(connection);
    let leads = "UPDATE relay_lease SET holder = gen_random_uuid(), until = now() + interval '9 seconds'";
    other.batch_execute(leads).await.expect("it leads");
    let renewing = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            other.batch_execute(leads).await.expect("it leads on");
        }
    });
    let (leader, mut connection) =
        tokio_postgres::connect(&shop.own.database.admin_url, NoTls).await.expect("connected");
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(signal) = message {
                sender.send(signal.channel().to_owned()).ok();
            }
        }
    });
    leader.batch_execute("LISTEN jaego_outbox").await.expect("listening");
    shop.start().await;
    shop.product("CP-1", 10, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    let signal = tokio::time::timeout(SOON, heard.recv()).await.expect("in time");
    assert_eq!(signal.as_deref(), Some("jaego_outbox"));
    assert!(shop.count("SELECT count(*) FROM outbox").await > 0, "it is the leader's to publish");

    renewing.abort();
    wait_for_waiting(&shop, "true", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_before_the_clock_was_set_back_is_void() {
    let mut shop = Shop::open().await;
    shop.stop().await;
    execute(&shop, "UPDATE relay_lease SET holder = gen_random_uuid(), until = now() + interval '1 hour'").await;
    execute(&shop, &events("e", CLOSED, 1, 1)).await;
    shop.start().await;
    wait_for_waiting(&shop, "true", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_committed_after_later_ones_is_published() {
    let shop = Shop::open_with(&NARROW).await;
    let mut slow = shop.as_admin().await;
    let transaction = slow.transaction().await.expect("a transaction");
    transaction.batch_execute(&events("slow", CLOSED, 1, 1)).await.expect("written");
    execute(&shop, &events("fast", CLOSED, 1, 100)).await;
    wait_until("the later ones to be published", SOON, || async {
        let depth = depth(&shop, CLOSED_QUEUE).await;
        if depth == 100 { Ok(()) } else { Err(depth) }
    })
    .await;
    transaction.commit().await.expect("committed");
    wait_for_waiting(&shop, "true", 0).await;
    assert_eq!(queued(&shop, CLOSED_QUEUE, 1_000).await.last().map(String::as_str), Some("slow-1"));
}
