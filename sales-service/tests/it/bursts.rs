//! Messages that arrive together are handled together, with the same result as one by one.

use jaego_contracts::ids::{ReceiptId, RequestId};
use serde_json::json;
use testkit::wait_until;

use crate::harness::{SOON, Shop, one, policy};
use crate::messages::{publish, received_of};

/// Number of transactions that applied receipts.
const TRANSACTIONS: &str = "SELECT count(DISTINCT xmin::text) FROM receipts_applied";

async fn receive(shop: &Shop, sku: &str, receipt: ReceiptId, request: RequestId, quantity: i64) {
    publish(shop, "stock.received", &received_of(sku, receipt, request, quantity)).await;
}

async fn wait_for_figures(shop: &Shop, sku: &str, expected: (i64, i64, i64)) {
    wait_until(&format!("figures of {sku}"), SOON, || async {
        let figures = shop.figures(sku).await;
        if figures == expected { Ok(()) } else { Err(figures) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_arrive_together_are_applied_together_each_once_and_in_order() {
    let mut shop = Shop::open().await;
    let mut backorder = policy();
    backorder["shortage"] = json!("backorder");
    shop.product("CP-1", 0, backorder).await;
    let mut off = policy();
    off["mode"] = json!("off");
    shop.product("CP-2", 0, off).await;
    let mut orders = Vec::new();
    for quantity in [3, 4, 5] {
        let order = shop.order(one("CP-1", quantity)).await;
        assert_eq!(order.status, 202, "{order:?}");
        orders.push(order.body["id"].as_str().expect("an id").to_owned());
    }
    let ordered: Vec<RequestId> = shop
        .database
        .query("SELECT id::text FROM replenishments WHERE status = 'open' ORDER BY id", &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| row.get::<_, String>(0).parse().expect("an id"))
        .collect();
    let on_order = shop.figures("CP-1").await.2;
    assert!(on_order >= 12, "{on_order}");
    shop.stop().await;
    // The first product gets single units for an open request. The second gets receipts without a request, each sent
    // twice.
    for _ in 0..10 {
        receive(&shop, "CP-1", ReceiptId::generate(), ordered[0], 1).await;
        let receipt = ReceiptId::generate();
        receive(&shop, "CP-2", receipt, RequestId::generate(), 2).await;
        receive(&shop, "CP-2", receipt, RequestId::generate(), 2).await;
    }
    shop.start().await;
    wait_for_figures(&shop, "CP-2", (20, 0, 0)).await;
    wait_for_figures(&shop, "CP-1", (0, 2, on_order - 10)).await;
    let together = shop.count(TRANSACTIONS).await;
    assert!(together < 20, "20 receipts in {together} transactions");
    assert_eq!(shop.count("SELECT count(*) FROM receipts_applied").await, 20);
    assert_eq!(shop.count("SELECT count(*) FROM stock_movements WHERE cause = 'receipt'").await, 20);
    for (order, status) in orders.iter().zip(["confirmed", "confirmed", "backordered"]) {
        let order = shop.get(&format!("/api/v1/orders/{order}")).await;
        assert_eq!(order.body["status"], status, "the oldest first: {order:?}");
    }
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_among_many_fails_alone() {
    let mut shop = Shop::open_with(&[("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "3600000")]).await;
    shop.product("CP-1", 0, policy()).await;
    shop.stop().await;
    for number in 0..30 {
        receive(&shop, "CP-1", ReceiptId::generate(), RequestId::generate(), 1).await;
        if number == 7 {
            receive(&shop, "CP-unknown", ReceiptId::generate(), RequestId::generate(), 1).await;
        }
        if number == 20 {
            publish(&shop, "stock.received", b"no receipt").await;
        }
    }
    shop.start().await;
    wait_for_figures(&shop, "CP-1", (30, 0, 0)).await;
    shop.wait_for_count("SELECT count(*) FROM dead_letters WHERE body = 'no receipt'", 1).await;
    let parked = "SELECT count(*) FROM message_retries WHERE last_error LIKE '%CP-unknown%' AND attempts = 1";
    shop.wait_for_count(parked, 1).await;
    assert_eq!(shop.count("SELECT count(*) FROM message_retries").await, 1, "its retries are its own");
    shop.assert_books_agree().await;
}
