//! Messages whose handler failed are stored for their next attempt.

use jaego_contracts::ids::{ReceiptId, RequestId};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::dead_letters::{REDRIVE, letters, lock_waits};
use crate::harness::{SOON, Shop, policy};
use crate::messages::received_of;

async fn publish(shop: &Shop, properties: &Value, body: &[u8]) {
    let vhost = &shop.surroundings.vhost;
    let routed = vhost.broker().publish(&vhost.name, "jaego.events", "stock.received", properties, body).await;
    assert!(routed.expect("published"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_delivered_again_is_kept_once() {
    if !testkit::is_alone("retries::a_message_that_is_delivered_again_is_kept_once").await {
        return;
    }
    let shop = Shop::open_with(&[("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "3600000")]).await;
    let unheard_of = || received_of("NOT-HERE", ReceiptId::generate(), RequestId::generate(), 1);
    let (one, other) = (unheard_of(), unheard_of());
    let named = json!({"delivery_mode": 2, "message_id": "m-1"});
    let nameless = json!({"delivery_mode": 2});
    for (properties, body) in [
        (&named, &one),
        (&named, &other),
        (&nameless, &one),
        // The same messages again, as after a lost acknowledgement.
        (&named, &one),
        (&nameless, &one),
    ] {
        publish(&shop, properties, body).await;
    }
    wait_until("all to be consumed", SOON, || async {
        let parked = shop.metric("jaego_messages_consumed_total", "outcome=\"parked\"").await;
        if parked == Some(5) { Ok(()) } else { Err(parked) }
    })
    .await;
    assert_eq!(shop.count("SELECT count(*) FROM message_retries").await, 3);

    // Rows written by the previous release do not count as duplicates.
    let old = "INSERT INTO message_retries (queue, message_id, headers, body, attempts, next_attempt_at, last_error) \
               SELECT queue, message_id, headers, body, attempts, next_attempt_at, last_error FROM message_retries";
    shop.database.batch_execute(old).await.expect("still possible while both releases run");
}

/// Stops every access to `stock` until the transaction ends.
async fn stop_stock(shop: &Shop) -> tokio_postgres::Client {
    let other = shop.as_admin().await;
    other.batch_execute("BEGIN; LOCK TABLE stock IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_another_replica_has_taken_over_is_neither_finished_nor_given_up() {
    // The second attempt of a message is its last one.
    let mut shop = Shop::open_with(&[
        ("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50"),
        ("JAEGO_SALES__DATABASE__LOCK_TIMEOUT_MS", "600000"),
        ("JAEGO_SALES__DATABASE__STATEMENT_TIMEOUT_MS", "600000"),
    ])
    .await;
    // A dead letter whose redrive succeeds.
    let receipt = ReceiptId::generate();
    publish(&shop, &json!({"message_id": "m-1"}), &received_of("SOON", receipt, RequestId::generate(), 1)).await;
    let letter = letters(&shop, "", 1).await.remove(0);
    shop.product("SOON", 0, policy()).await;
    let other = stop_stock(&shop).await;
    // A message whose last attempt fails.
    let late = "INSERT INTO message_retries (queue, message_id, headers, body, attempts, next_attempt_at, last_error) \
                VALUES ('sales.stock-received', 'm-2', '{}', $1, 1, now(), '')";
    let body = received_of("NEVER", ReceiptId::generate(), RequestId::generate(), 1);
    shop.database.execute(late, &[&body]).await.expect("due");
    let ordered = shop.operate(reqwest::Method::POST, REDRIVE, json!({"ids": [letter["id"]]})).await;
    assert_eq!(ordered.status, 202, "{ordered:?}");
    shop.wait_for_count("SELECT count(*) FROM message_retries WHERE next_attempt_at > now() + interval '30 s'", 2)
        .await;
    shop.wait_for_count(&lock_waits(&shop).replace("count(*)", "least(count(*), 1)"), 1).await;
    // The process has been frozen for so long that another one has claimed both.
    let taken = "UPDATE message_retries SET next_attempt_at = now() + interval '1 hour'";
    shop.database.batch_execute(taken).await.expect("taken over");
    other.batch_execute("ROLLBACK").await.expect("released");
    shop.wait_for_count("SELECT on_hand FROM stock WHERE sku = 'SOON'", 1).await;
    shop.stop().await;
    assert_eq!(
        shop.count("SELECT count(*) FROM message_retries WHERE attempts < 2").await,
        2,
        "they belong to the other process"
    );
    assert_eq!(shop.count("SELECT count(*) FROM dead_letters WHERE status = 'redriving'").await, 1);
    assert_eq!(shop.count("SELECT count(*) FROM dead_letters").await, 1, "nothing was given up");
}
