//! Messages of a product whose row is held wait by themselves, and messages of a busy product are not starved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Utc;
use jaego_contracts::ids::{ReceiptId, RequestId};
use serde_json::json;
use testkit::wait_until;

use crate::dead_letters::lock_waits;
use crate::harness::{SOON, Shop, one, policy};
use crate::messages::{event, publish, received_of};
use crate::stalls::hold;

/// More than the service accepts without acknowledging them.
const MANY: i64 = 150;
/// Nothing that waits for a held row gives up during a test.
const PATIENT: [(&str, &str); 2] =
    [("JAEGO_SALES__DATABASE__LOCK_TIMEOUT_MS", "600000"), ("JAEGO_SALES__DATABASE__STATEMENT_TIMEOUT_MS", "600000")];

/// A message that is parked is not retried during the test.
const NO_RETRY: (&str, &str) = ("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "3600000");

async fn receive(shop: &Shop, sku: &str) {
    publish(shop, "stock.received", &received_of(sku, ReceiptId::generate(), RequestId::generate(), 1)).await;
}

async fn wait_for_on_hand(shop: &Shop, sku: &str, units: i64) {
    wait_until(&format!("{units} of {sku}"), SOON, || async {
        let (on_hand, ..) = shop.figures(sku).await;
        if on_hand == units { Ok(()) } else { Err(on_hand) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_held_product_delay_no_other_message() {
    let shop = Shop::open_with(&PATIENT).await;
    for sku in ["HELD", "FREE"] {
        shop.product(sku, 0, policy()).await;
    }
    let holder = hold(&shop, "HELD").await;
    for _ in 0..MANY {
        receive(&shop, "HELD").await;
    }
    receive(&shop, "FREE").await;
    wait_for_on_hand(&shop, "FREE", 1).await;

    // The same holds for messages that are due for a retry.
    receive(&shop, "LATER").await;
    let parked =
        |sku: &str| format!("SELECT count(*) FROM message_retries WHERE convert_from(body, 'UTF8') LIKE '%{sku}%'");
    wait_until("the message to be parked", SOON, || async { (shop.count(&parked("LATER")).await == 1).then_some(()) })
        .await;
    assert!(shop.count(&parked("HELD")).await > 64, "more than are retried at a time");
    let due = "UPDATE message_retries SET next_attempt_at = now() - interval '1 hour' WHERE convert_from(body, 'UTF8') LIKE '%HELD%'";
    shop.database.batch_execute(due).await.expect("due");
    shop.product("LATER", 0, policy()).await;
    wait_for_on_hand(&shop, "LATER", 1).await;

    assert_eq!(shop.figures("HELD").await.0, 0, "it is still held");
    holder.batch_execute("ROLLBACK").await.expect("released");
    wait_for_on_hand(&shop, "HELD", MANY).await;
    assert_eq!(shop.count("SELECT count(*) FROM receipts_applied").await, MANY + 2);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_a_held_replenishment_delays_no_order_of_another_product() {
    let mut shop = Shop::open_with(&PATIENT).await;
    for sku in ["HELD", "FREE"] {
        shop.product(sku, 0, policy()).await;
    }
    let body = json!({"sku": "HELD", "quantity": 10});
    let ordered = shop.operate(reqwest::Method::POST, "/api/v1/replenishments", body).await;
    assert_eq!(ordered.status, 201, "{ordered:?}");
    let request: RequestId = ordered.body["id"].as_str().expect("an id").parse().expect("an id");
    shop.stop().await;
    let holder = shop.as_admin().await;
    holder.batch_execute("BEGIN; SELECT FROM replenishments FOR UPDATE").await.expect("held");
    // They arrive together.
    publish(&shop, "stock.received", &received_of("HELD", ReceiptId::generate(), request, 10)).await;
    for _ in 0..3 {
        receive(&shop, "FREE").await;
    }
    shop.start().await;
    wait_for_on_hand(&shop, "FREE", 3).await;
    let order = shop.order(one("FREE", 1)).await;
    assert_eq!(order.status, 201, "{order:?}");
    assert_eq!(shop.figures("HELD").await, (0, 0, 10), "it is still held");
    holder.batch_execute("ROLLBACK").await.expect("released");
    wait_for_on_hand(&shop, "HELD", 10).await;
    assert_eq!(shop.figures("HELD").await, (10, 0, 0));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_a_held_product_delay_no_other_outcome() {
    let shop = Shop::open_with(&PATIENT).await;
    let mut request = std::collections::BTreeMap::new();
    for sku in ["HELD", "FREE"] {
        let mut reorders = policy();
        reorders["reorder_point"] = json!(5);
        shop.product(sku, 0, reorders).await;
        let body = json!({"sku": sku, "quantity": 10});
        let ordered = shop.operate(reqwest::Method::POST, "/api/v1/replenishments", body).await;
        assert_eq!(ordered.status, 201, "{ordered:?}");
        request.insert(sku, ordered.body["id"].clone());
    }
    let revision = async |sku: &str| {
        let sql = "SELECT revision FROM replenishments WHERE id = $1::text::uuid";
        shop.sql_one(sql, &[&request[sku].as_str().expect("an id")]).await.get::<_, i64>(0)
    };
    let announce = async |sku: &str, revision: i64| {
        let data = json!({
            "request_id": request[sku], "sku": sku, "quantity": 10, "factory_id": "FF-1", "revision": revision,
            "at": Utc::now(), "reason": "",
        });
        publish(&shop, "production.accepted", &event("jaego.production.accepted.v1", &data)).await;
    };
    let holder = hold(&shop, "HELD").await;
    for number in 1..=MANY {
        announce("HELD", number).await;
    }
    announce("FREE", 7).await;
    let wait_for = async |sku: &str, expected: i64| {
        wait_until(&format!("revision {expected} of {sku}"), SOON, || async {
            let revision = revision(sku).await;
            if revision == expected { Ok(()) } else { Err(revision) }
        })
        .await;
    };
    wait_for("FREE", 7).await;
    assert_eq!(revision("HELD").await, 0, "it is still held");
    holder.batch_execute("ROLLBACK").await.expect("released");
    wait_for("HELD", MANY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_product_whose_row_is_always_busy_are_applied() {
    let shop = Shop::open_with(&[PATIENT[0], PATIENT[1], NO_RETRY]).await;
    shop.product("BUSY", 0, policy()).await;
    // Short transactions, several at a time, so that the row is never free for one that does not wait for it.
    let is_over = Arc::new(AtomicBool::new(false));
    let mut load = Vec::new();
    for _ in 0..4 {
        let (client, is_over) = (shop.as_admin().await, is_over.clone());
        load.push(tokio::spawn(async move {
            let busy = "BEGIN; SELECT FROM stock WHERE sku = 'BUSY' FOR UPDATE; SELECT pg_sleep(0.02); COMMIT";
            while !is_over.load(Ordering::Relaxed) {
                client.batch_execute(busy).await.expect("held for a moment");
            }
        }));
    }
    for _ in 0..40 {
        receive(&shop, "BUSY").await;
    }
    wait_for_on_hand(&shop, "BUSY", 40).await;
    is_over.store(true, Ordering::Relaxed);
    for one in load {
        one.await.expect("ended");
    }
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_message_does_not_wait_for_lanes_of_held_products() {
    let shop = Shop::open_with(&[PATIENT[0], PATIENT[1], NO_RETRY]).await;
    shop.product("FREE", 0, policy()).await;
    let mut holders = Vec::new();
    for sku in ["HELD-1", "HELD-2", "HELD-3", "HELD-4"] {
        shop.product(sku, 0, policy()).await;
        holders.push(hold(&shop, sku).await);
        receive(&shop, sku).await;
    }
    shop.wait_for_count(&lock_waits(&shop), 4).await;
    receive(&shop, "FREE").await;
    wait_for_on_hand(&shop, "FREE", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_held_product_are_parked_when_the_consumer_must_be_renewed() {
    let renewing = ("JAEGO_SALES__AMQP__RENEW_IDLE_MS", "100");
    let shop = Shop::open_with(&[PATIENT[0], PATIENT[1], NO_RETRY, renewing]).await;
    for sku in ["HELD", "FREE"] {
        shop.product(sku, 0, policy()).await;
    }
    let holder = hold(&shop, "HELD").await;
    for _ in 0..40 {
        receive(&shop, "HELD").await;
    }
    shop.wait_for_count(&lock_waits(&shop), 1).await;
    let parked = "SELECT count(*) FROM message_retries WHERE convert_from(body, 'UTF8') LIKE '%HELD%'";
    wait_until("messages that are parked", SOON, || async {
        receive(&shop, "FREE").await;
        (shop.count(parked).await > 0).then_some(())
    })
    .await;
    holder.batch_execute("ROLLBACK").await.expect("released");
}
