//! The broker and the database fail while the service runs. It reports this, loses nothing, and recovers by itself.

use std::time::{Duration, Instant};

use jaego_contracts::ids::{ReceiptId, RequestId};
use jaego_contracts::topology;
use serde_json::{Value, json};
use testkit::{LinkCutter, wait_until};

use crate::dead_letters::lock_waits;
use crate::harness::{SOON, Shop, one, policy};
use crate::messages::{publish, received_of};

async fn ready(shop: &Shop) -> (u16, Value) {
    let seen = shop.readiness().await;
    (seen.status.as_u16(), seen.body)
}

/// Waits for a status of `/readyz` and returns its checks.
async fn wait_for(shop: &Shop, code: u16, status: &str) -> Value {
    wait_until(status, SOON, || async {
        let (seen, body) = ready(shop).await;
        if seen == code && body["status"] == status { Ok(body["checks"].clone()) } else { Err(body.to_string()) }
    })
    .await
}

/// Returns true if the gauge of this part of the service reports a connection.
async fn is_connected(shop: &Shop, part: &str) -> bool {
    let gauge: Option<u64> = shop.metric("jaego_broker_connected", &format!("part=\"{part}\"")).await;
    gauge.expect("a gauge of each part") > 0
}

async fn receive(shop: &Shop, quantity: i64) {
    publish(shop, "stock.received", &received_of("CP-1", ReceiptId::generate(), RequestId::generate(), quantity)).await;
}

async fn wait_for_on_hand(shop: &Shop, expected: i64) {
    shop.wait_for_count("SELECT on_hand FROM stock WHERE sku = 'CP-1'", expected).await;
}

async fn delete_queue(shop: &Shop, queue: &str) {
    let vhost = &shop.surroundings.vhost;
    vhost.broker().delete_queue(&vhost.name, queue).await.expect("deleted");
}

async fn apply_topology(shop: &Shop) {
    shop.surroundings.vhost.import(&topology::definitions()).await.expect("imported");
}

/// Number of this process's threads that drive a connection to the broker.
fn link_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin-io-loop")).count()
}

/// A shop that reaches its broker through a link that can be cut.
async fn behind_a_link(extra: &[(&str, &str)]) -> (Shop, LinkCutter) {
    let mut shop = Shop::open_with(extra).await;
    shop.stop().await;
    let link = shop.link("AMQP__URL").await;
    shop.start().await;
    wait_for(&shop, 200, "ready").await;
    (shop, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_has_begun_ends_though_the_broker_is_gone() {
    let patient = ("JAEGO_SALES__DATABASE__LOCK_TIMEOUT_MS", "60000");
    let (shop, link) = behind_a_link(&[patient, ("JAEGO_SALES__DATABASE__STATEMENT_TIMEOUT_MS", "60000")]).await;
    shop.product("CP-1", 0, policy()).await;
    let holder = shop.as_admin().await;
    // By then the handler holds the product's row and waits for this lock.
    holder.batch_execute("BEGIN; LOCK TABLE receipts_applied IN EXCLUSIVE MODE").await.expect("locked");
    receive(&shop, 5).await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let observer = shop.as_admin().await;
    wait_until("the handler to wait", SOON, || async {
        (observer.query_one(waiting, &[]).await.expect("asked").get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    link.cut();
    wait_for(&shop, 200, "degraded").await;
    holder.batch_execute("ROLLBACK").await.expect("released");
    // Its work is complete, and its locks are released.
    wait_for_on_hand(&shop, 5).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    link.pass();
    wait_for(&shop, 200, "ready").await;
    wait_for_on_hand(&shop, 4).await;
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_burns_no_attempt() {
    if !testkit::is_alone("faults::a_database_that_goes_away_burns_no_attempt").await {
        return;
    }
    let shop = Shop::open_with(&[("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50,50")]).await;
    shop.product("CP-1", 0, policy()).await;
    wait_for(&shop, 200, "ready").await;
    // The outage interrupts the handler of the first message.
    let mut locker = shop.as_admin().await;
    let lock = locker.transaction().await.expect("a transaction");
    lock.execute("SELECT * FROM stock WHERE sku = 'CP-1' FOR UPDATE", &[]).await.expect("locked");
    receive(&shop, 1).await;
    shop.wait_for_count(&lock_waits(&shop), 1).await;
    let outage = shop.begin_outage().await;
    lock.rollback().await.expect("unlocked");
    let checks = wait_for(&shop, 503, "not_ready").await;
    assert_ne!(checks["database"], "ok", "{checks}");
    for _ in 0..4 {
        receive(&shop, 1).await;
    }
    let refused = shop.order(one("CP-1", 1)).await;
    assert_eq!((refused.status.as_u16(), refused.retry_after().is_some()), (503, true), "{refused:?}");
    let vhost = &shop.surroundings.vhost;
    wait_until("all five to be held, none given back or given up", SOON, || async {
        let queue =
            vhost.broker().queue(&vhost.name, "sales.stock-received").await.map_err(|error| error.to_string())?;
        if queue.messages_unacknowledged == 5 { Ok(()) } else { Err(format!("{queue:?}")) }
    })
    .await;

    outage.end().await;
    wait_for_on_hand(&shop, 5).await;
    wait_for(&shop, 200, "ready").await;
    let consumed = async |outcome: &str| {
        shop.metric::<u64>("jaego_messages_consumed_total", &format!("outcome=\"{outcome}\"")).await
    };
    assert!(consumed("handled").await.is_some() && consumed("parked").await.is_none());
    for table in ["message_retries", "dead_letters"] {
        assert_eq!(shop.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_no_longer_answers_is_noticed() {
    let mut shop = Shop::open().await;
    shop.product("CP-1", 1, policy()).await;
    shop.stop().await;
    let link = shop.link("DATABASE__URL").await;
    shop.start().await;
    wait_for(&shop, 200, "ready").await;
    link.blackhole();
    let checks = wait_for(&shop, 503, "not_ready").await;
    assert!(checks["database"].as_str().is_some_and(|text| text.contains("in time")), "{checks}");
    // Simulates the kernel closing a connection on which nothing arrives any more.
    link.cut_once();
    wait_for(&shop, 200, "ready").await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_link_is_noticed_and_nothing_of_it_is_left_behind() {
    if !testkit::is_alone("faults::a_half_open_link_is_noticed_and_nothing_of_it_is_left_behind").await {
        return;
    }
    let (shop, link) = behind_a_link(&[("JAEGO_SALES__AMQP__TIMEOUT_MS", "1000")]).await;
    shop.product("CP-1", 2, policy()).await;
    assert!(is_connected(&shop, "relay").await && is_connected(&shop, "consumers").await);
    let threads = link_threads();
    assert_eq!(threads, 2, "the relay's and the consumers'");

    link.blackhole();
    let begun = Instant::now();
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    receive(&shop, 5).await;
    wait_until("both parts to say so", Duration::from_secs(20), || async {
        let (code, body) = ready(&shop).await;
        let broken = ["broker-relay", "broker-consumers"].iter().all(|check| body["checks"][*check] != "ok");
        if code == 200 && body["status"] == "degraded" && broken { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    let noticed = begun.elapsed();
    assert!(noticed < Duration::from_secs(16), "noticed after {noticed:?}");
    assert!(!is_connected(&shop, "relay").await && !is_connected(&shop, "consumers").await);
    // Each attempt hangs in the handshake until it times out.
    let tries = link.accepted();
    wait_until("some more tries", SOON, || async {
        let now = link.accepted();
        if now >= tries + 6 { Ok(()) } else { Err(now) }
    })
    .await;
    assert!(link_threads() <= threads, "{} threads are left of connections that were given up", link_threads());
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201, "the shop sells on");
    assert!(shop.count("SELECT count(*) FROM outbox").await >= 2);

    link.pass();
    wait_for(&shop, 200, "ready").await;
    shop.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    wait_for_on_hand(&shop, 5).await;
    wait_until("one thread a connection", SOON, || async {
        let now = link_threads();
        if now == 2 { Ok(()) } else { Err(now) }
    })
    .await;
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_that_breaks_again_and_again_gives_up_on_no_message() {
    let (shop, link) = behind_a_link(&[]).await;
    shop.product("CP-1", 0, policy()).await;
    link.delay_ms(20, 20);
    for round in 1..=8 {
        for _ in 0..3 {
            receive(&shop, 1).await;
        }
        link.cut_once();
        wait_for_on_hand(&shop, round * 3).await;
    }
    wait_for(&shop, 200, "ready").await;
    assert_eq!(shop.count("SELECT count(*) FROM dead_letters").await, 0);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_opens_too_late_keeps_no_messages() {
    let extra = [("JAEGO_SALES__AMQP__TIMEOUT_MS", "1000"), ("JAEGO_SALES__AMQP__RENEW_IDLE_MS", "100")];
    let (shop, link) = behind_a_link(&extra).await;
    shop.product("CP-1", 0, policy()).await;
    // To close a channel takes one round trip, to consume on another one takes three.
    link.delay_ms(0, 450);
    wait_until("a consumer that is given up", SOON, || async {
        let checks = shop.readiness().await.body["checks"].to_string();
        if checks.contains("sales.stock-received: sales.stock-received: the broker did not answer in time") {
            Ok(())
        } else {
            Err(checks)
        }
    })
    .await;
    link.delay_ms(0, 0);
    wait_for(&shop, 200, "ready").await;
    for _ in 0..40 {
        receive(&shop, 1).await;
    }
    wait_for_on_hand(&shop, 40).await;
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_hinders_no_other_and_is_consumed_when_it_is_back() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    wait_for(&shop, 200, "ready").await;
    delete_queue(&shop, "sales.factories").await;
    let checks = wait_for(&shop, 200, "degraded").await;
    assert!(checks["broker-consumers"].as_str().is_some_and(|text| text.contains("sales.factories")), "{checks}");
    assert!(!is_connected(&shop, "consumers").await && is_connected(&shop, "relay").await);
    receive(&shop, 4).await;
    wait_for_on_hand(&shop, 4).await;
    assert_eq!(ready(&shop).await.1["status"], "degraded", "still");

    delete_queue(&shop, "sales.stock-received.dlq").await;
    wait_until("the other queue to be missed, too", SOON, || async {
        let problem = ready(&shop).await.1["checks"]["broker-consumers"].clone();
        if problem.as_str().is_some_and(|text| text.contains("sales.stock-received.dlq")) {
            Ok(())
        } else {
            Err(problem)
        }
    })
    .await;
    // Messages that can be handled do not need the dead-letter queue.
    for _ in 0..3 {
        receive(&shop, 1).await;
    }
    wait_for_on_hand(&shop, 7).await;
    let checks = wait_for(&shop, 200, "degraded").await;
    assert!(checks["broker-consumers"].as_str().is_some_and(|text| text.contains("stock-received.dlq")), "{checks}");
    apply_topology(&shop).await;
    wait_for(&shop, 200, "ready").await;
    assert!(is_connected(&shop, "consumers").await);
    publish(&shop, "factory.changed", b"no factory").await;
    publish(&shop, "stock.received", b"no receipt").await;
    for queue in ["sales.factories", "sales.stock-received"] {
        shop.wait_for_count(&format!("SELECT count(*) FROM dead_letters WHERE queue = '{queue}'"), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_and_declared_again_at_once_is_consumed_again() {
    let shop = Shop::open_with(&[("JAEGO_SALES__AMQP__RENEW_IDLE_MS", "500")]).await;
    shop.product("CP-1", 0, policy()).await;
    wait_for(&shop, 200, "ready").await;
    let topology = topology::definitions();
    for round in 1..=10 {
        shop.surroundings.vhost.renew("sales.stock-received", &topology).await.expect("renewed");
        receive(&shop, 1).await;
        wait_for_on_hand(&shop, round).await;
    }
    // The same for its dead-letter queue.
    let (vhost, queue) = (&shop.surroundings.vhost, "sales.stock-received.dlq");
    for round in 1..=3 {
        vhost.renew(queue, &topology).await.expect("renewed");
        let properties = json!({ "message_id": format!("dead-{round}") });
        vhost.broker().publish(&vhost.name, "amq.default", queue, &properties, b"dead").await.expect("published");
        shop.wait_for_count("SELECT count(*) FROM dead_letters", round).await;
    }
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_until_a_queue_takes_it() {
    let shop = Shop::open().await;
    wait_for(&shop, 200, "ready").await;
    for queue in ["production.requests", "restock.production-requests"] {
        delete_queue(&shop, queue).await;
    }
    shop.product("CP-1", 0, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 409);
    let checks = wait_for(&shop, 200, "degraded").await;
    assert!(
        checks["broker-relay"]
            .as_str()
            .is_some_and(|text| text.contains("jaego.events/production.requested: no queue is bound for it")),
        "{checks}"
    );
    let held = "SELECT count(*) FROM outbox WHERE last_error = 'no queue is bound for it'";
    shop.wait_for_count(held, 1).await;
    shop.wait_for_count("SELECT count(*) FROM outbox", 1).await;

    apply_topology(&shop).await;
    shop.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    wait_for(&shop, 200, "ready").await;
    // The import makes one queue before the other, and the relay may publish the event between the two.
    let mut depth = 0;
    for queue in ["production.requests", "restock.production-requests"] {
        depth += shop.surroundings.vhost.depth(queue).await.expect("depth");
    }
    assert!(depth >= 1, "it is in none of the queues");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_which_the_broker_closes_the_channel_stops_no_other() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    let bad = |exchange: &str, key: &str, at: &str| {
        format!(
            "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required, not_before) \
             VALUES ('bad', '{exchange}', '{key}', 'text/plain', '{{}}', 'x', true, {at})"
        )
    };
    // One event has an unknown exchange, the other a routing key without permission. The same window claims all of
    // them.
    let good = "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
                SELECT 'good-' || n, 'jaego.events', 'replenishment.closed', 'text/plain', '{}', 'x', true \
                FROM generate_series(1, 20) n";
    let all = [bad("jaego.nowhere", "a", "now()"), bad("jaego.events", "stock.received", "now()"), good.to_owned()];
    shop.database.batch_execute(&format!("BEGIN; {}; COMMIT", all.join(";"))).await.expect("written");
    shop.wait_for_count("SELECT count(*) FROM outbox WHERE message_id <> 'bad'", 0).await;
    wait_until("all of them on the broker", SOON, || async {
        let depth = shop.surroundings.vhost.depth("production.replenishments-closed").await.expect("depth");
        if depth >= 20 { Ok(()) } else { Err(depth) }
    })
    .await;
    shop.wait_for_count("SELECT count(*) FROM outbox WHERE last_error IS NOT NULL AND attempts >= 2", 2).await;
    shop.database.batch_execute("DELETE FROM outbox WHERE message_id = 'bad'").await.expect("deleted");
    wait_for(&shop, 200, "ready").await;
}
