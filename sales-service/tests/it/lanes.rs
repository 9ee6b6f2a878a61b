//! Many products are held at once: each delays its own orders only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use serde_json::json;
use testkit::wait_until;

use crate::harness::{SOON, Shop, one, policy};
use crate::stalls::{begin_order, hold};

/// Nobody gives up before a broken program would have tried each of many held products in turn.
const PATIENT: [(&str, &str); 2] =
    [("JAEGO_SALES__INTAKE__WAIT_MAX_MS", "20000"), ("JAEGO_SALES__INTAKE__LOCK_WAIT_MS", "2000")];

async fn wait_for_lanes(shop: &Shop, expected: u64) {
    wait_until(&format!("{expected} lanes"), SOON, || async {
        let seen: Option<u64> = shop.metric("jaego_intake_lanes", "").await;
        if seen == Some(expected) { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_free_again_does_not_wait_for_those_that_are_still_held() {
    const HELD: usize = 120;
    let shop = Shop::open_with(&PATIENT).await;
    for sku in ["FREE", "AGAIN"] {
        shop.product(sku, 1000, policy()).await;
    }
    let products = format!(
        "INSERT INTO products (sku, name, price, factory_id, on_sale, reorder_point, order_up_to, lot_size, mode, shortage) \
         SELECT 'HELD-' || n, 'x', 1, 'F', true, 0, 1, 1, 'off', 'reject' FROM generate_series(1, {HELD}) AS n; \
         INSERT INTO stock (sku) SELECT sku FROM products ON CONFLICT DO NOTHING"
    );
    shop.database.batch_execute(&products).await.expect("added");
    let holder = shop.as_admin().await;
    holder
        .batch_execute("BEGIN; SELECT FROM stock WHERE sku LIKE 'HELD-%' ORDER BY sku FOR UPDATE")
        .await
        .expect("held");
    let _held: Vec<_> = (1..=HELD).map(|n| begin_order(&shop, one(&format!("HELD-{n}"), 1))).collect();
    wait_for_lanes(&shop, 120).await;
    let again = hold(&shop, "AGAIN").await;
    let order = begin_order(&shop, one("AGAIN", 1));
    wait_for_lanes(&shop, 121).await;
    again.batch_execute("ROLLBACK").await.expect("released");
    let answer = order.await.expect("ended");
    assert_eq!(answer.status, 201, "{answer:?}");
    for answer in join_all((0..20).map(|_| shop.order(one("FREE", 1)))).await {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 21, "the others are still held");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_held_and_a_free_product_does_not_delay_orders_of_the_free_one() {
    let shop = Shop::open_with(&[PATIENT[0]]).await;
    let mut holders = Vec::new();
    for sku in ["A", "B"] {
        shop.product(sku, 1000, policy()).await;
        holders.push(hold(&shop, sku).await);
    }
    let both = begin_order(&shop, json!({"lines": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 1}]}));
    wait_for_lanes(&shop, 2).await;
    let first: Vec<_> = (0..3).map(|_| begin_order(&shop, one("A", 1))).collect();
    holders[0].batch_execute("ROLLBACK").await.expect("released");
    for order in first {
        let answer = order.await.expect("ended");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert!(!both.is_finished(), "it needs the product that is still held");
    holders[1].batch_execute("ROLLBACK").await.expect("released");
    assert_eq!(both.await.expect("ended").status, 201);
    wait_for_lanes(&shop, 0).await;
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_in_a_lane_are_taken_though_their_row_is_locked_whenever_it_is_looked_at() {
    let shop = Shop::open_with(&PATIENT).await;
    shop.product("BUSY", 1000, policy()).await;
    let holder = hold(&shop, "BUSY").await;
    let orders: Vec<_> = (0..5).map(|_| begin_order(&shop, one("BUSY", 1))).collect();
    wait_for_lanes(&shop, 1).await;
    // Short transactions, several at a time: each look finds one of them.
    let is_over = Arc::new(AtomicBool::new(false));
    let mut load = Vec::new();
    for _ in 0..8 {
        let (client, is_over) = (shop.as_admin().await, is_over.clone());
        load.push(tokio::spawn(async move {
            let busy =
                "BEGIN; UPDATE stock SET version = version + 1 WHERE sku = 'BUSY'; SELECT pg_sleep(0.05); COMMIT";
            while !is_over.load(Ordering::Relaxed) {
                client.batch_execute(busy).await.expect("held for a moment");
            }
        }));
    }
    holder.batch_execute("ROLLBACK").await.expect("released");
    for order in orders {
        let answer = order.await.expect("ended");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    for one in load {
        one.await.expect("ended");
    }
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_whose_master_data_are_held_delays_only_its_own_orders() {
    let shop = Shop::open_with(&[PATIENT[0]]).await;
    let mut waits = policy();
    waits["shortage"] = json!("backorder");
    shop.product("HELD", 0, waits).await;
    shop.product("FREE", 1000, policy()).await;
    let holder = shop.as_admin().await;
    holder.batch_execute("BEGIN; SELECT FROM products WHERE sku = 'HELD' FOR UPDATE").await.expect("held");
    // They need a replenishment, which refers to the held row.
    let held: Vec<_> = (0..3).map(|_| begin_order(&shop, one("HELD", 1))).collect();
    wait_for_lanes(&shop, 1).await;
    for _ in 0..20 {
        assert_eq!(shop.order(one("FREE", 1)).await.status, 201);
    }
    assert!(held.iter().all(|order| !order.is_finished()), "these wait");
    holder.batch_execute("ROLLBACK").await.expect("released");
    for order in held {
        let answer = order.await.expect("ended");
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    wait_for_lanes(&shop, 0).await;
    shop.assert_books_agree().await;
}
