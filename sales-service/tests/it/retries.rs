//! Messages whose handler failed are stored for their next attempt.

use jaego_contracts::ids::{ReceiptId, RequestId};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{SOON, Shop};
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
