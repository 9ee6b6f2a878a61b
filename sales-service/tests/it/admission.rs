//! Surges: a request whose client has disconnected, or that waited too long, must cost no database work.

use reqwest::StatusCode;
use testkit::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{SOON, Shop, one, policy};

/// A shop in which one order is being decided but blocked by a lock. A second one may wait; there is no room for a
/// third.
struct Held {
    shop: Shop,
    lock: tokio_postgres::Client,
}

impl Held {
    async fn open(wait_max_ms: &str) -> Self {
        let shop = Shop::open_with(&[
            ("JAEGO_SALES__INTAKE__QUEUE_MAX", "2"),
            ("JAEGO_SALES__INTAKE__BATCH_MAX", "1"),
            ("JAEGO_SALES__INTAKE__WAIT_MAX_MS", wait_max_ms),
            ("JAEGO_SALES__INTAKE__LOCK_WAIT_MS", "300"),
            ("JAEGO_SALES__HTTP__WORKERS", "1"),
        ])
        .await;
        shop.product("CP-1", 1000, policy()).await;
        let lock = shop.as_admin().await;
        lock.batch_execute("BEGIN; SELECT * FROM stock FOR UPDATE").await.expect("locked");
        Self { shop, lock }
    }

    /// Starts an order, and returns when it waits for the lock.
    async fn order_in_hand(&self) -> tokio::task::JoinHandle<StatusCode> {
        let request = self.shop.http.post(format!("{}/api/v1/orders", self.shop.api)).json(&one("CP-1", 1));
        let order = tokio::spawn(async move { request.send().await.expect("an answer").status() });
        let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database()";
        self.shop.wait_for_count(blocked, 1).await;
        order
    }

    /// Waits until the queue is full. Then even an invalid order is refused with 503, before it is parsed. The probe
    /// is an invalid order, because that never takes the free place itself.
    async fn wait_for_a_full_queue(&self) {
        wait_until("the queue to be full", SOON, || async {
            match self.shop.order(serde_json::json!({"lines": []})).await.status {
                StatusCode::SERVICE_UNAVAILABLE => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    async fn release(&self) {
        self.lock.batch_execute("ROLLBACK").await.expect("released");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_disconnected_client_is_dropped() {
    let held = Held::open("600000").await;
    let first = held.order_in_hand().await;

    let address = held.shop.api.trim_start_matches("http://").to_owned();
    let mut gone = TcpStream::connect(&address).await.expect("connected");
    let body = one("CP-1", 7).to_string();
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    gone.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    held.wait_for_a_full_queue().await;
    gone.shutdown().await.expect("closed");
    // The service closes its side without an answer once it notices that the client has disconnected.
    let mut answer = Vec::new();
    gone.read_to_end(&mut answer).await.expect("closed by the service");
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    // The request has been dropped once the thread that closed the connection (there is only one) takes the next one.
    held.wait_for_a_full_queue().await;

    held.release().await;
    assert_eq!(first.await.expect("ended"), StatusCode::CREATED);
    assert_eq!(held.shop.order(one("CP-1", 1)).await.status, StatusCode::CREATED, "the queue goes on");
    assert_eq!(held.shop.count("SELECT count(*) FROM orders").await, 2);
    assert_eq!(held.shop.figures("CP-1").await.0, 998);
    held.shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waited_too_long_is_refused_and_costs_no_row() {
    let held = Held::open("1500").await;
    let first = held.order_in_hand().await;
    let (http, url) = (held.shop.http.clone(), format!("{}/api/v1/orders", held.shop.api));
    let late = tokio::spawn(async move {
        let answer = http.post(url).header("Idempotency-Key", "late").json(&one("CP-1", 1)).send();
        answer.await.expect("an answer")
    });
    held.wait_for_a_full_queue().await;
    // Neither is written, and both are answered in time even though the row is still locked.
    assert_eq!(first.await.expect("ended"), StatusCode::SERVICE_UNAVAILABLE);
    let late = late.await.expect("ended");
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(late.headers().contains_key("retry-after"));
    let problem: serde_json::Value = late.json().await.expect("json");
    assert_eq!(problem["type"], "/problems/overloaded");
    held.release().await;
    assert_eq!(held.shop.count("SELECT count(*) FROM orders").await, 0);
    // Nothing was stored, so the same request counts as a new one.
    let again = wait_until("a place in the queue", SOON, || async {
        let again = held.shop.order_with_key("late", one("CP-1", 1)).await;
        if again.status == StatusCode::SERVICE_UNAVAILABLE { Err(again) } else { Ok(again) }
    })
    .await;
    assert!(again.status == StatusCode::CREATED && !again.replayed(), "{again:?}");
}
