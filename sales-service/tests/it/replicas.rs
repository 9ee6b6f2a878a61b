//! Two replicas on one database: concurrent orders, cancellations and receipts leave the books balanced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jaego_contracts::ids::{ReceiptId, RequestId};
use serde_json::json;
use testkit::wait_until;

use crate::harness::{PATIENT, Response, SOON, Shop, one, policy};

/// Pseudo-random numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_of_two_replicas_leave_clean_books() {
    // 64 clients compete for three rows. Waiting for a turn must not count as a locked row.
    let shop = Shop::open_with(&PATIENT).await;
    let second = shop.replica().await;
    let replicas = [shop.api.clone(), second.api.clone()];
    for sku in ["CP-1", "CP-2", "CP-3"] {
        let mut policy = policy();
        // One product orders automatically; its receipts are for those requests.
        policy["mode"] = json!(if sku == "CP-3" { "auto" } else { "off" });
        policy["shortage"] = json!("backorder");
        shop.product(sku, 50, policy).await;
    }
    let until = Instant::now() + Duration::from_secs(20);
    let (orders, cancels, receipts) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let client = |number: u64| {
        let (shop, replicas, orders, cancels, receipts) = (&shop, &replicas, &orders, &cancels, &receipts);
        async move {
            let mut dice = Dice(number);
            let mut mine: Vec<String> = Vec::new();
            while Instant::now() < until {
                let sku = format!("CP-{}", 1 + dice.below(3));
                let replica = &replicas[usize::try_from(dice.below(2)).expect("small")];
                match dice.below(10) {
                    0 => {
                        let quantity = i64::try_from(1 + dice.below(20)).expect("small");
                        let open = "SELECT id::text FROM replenishments WHERE sku = $1 AND status = 'open' \
                                    ORDER BY random() LIMIT 1";
                        let open = shop.database.query_opt(open, &[&sku]).await.expect("rows");
                        let request = open.map_or_else(RequestId::generate, |row| {
                            row.get::<_, String>(0).parse().expect("a request's id")
                        });
                        let body = crate::messages::received_of(&sku, ReceiptId::generate(), request, quantity);
                        for _ in 0..=dice.below(2) {
                            crate::messages::publish(shop, "stock.received", &body).await;
                        }
                        receipts.fetch_add(1, Ordering::Relaxed);
                    }
                    1 | 2 if !mine.is_empty() => {
                        let id = mine.swap_remove(usize::try_from(dice.below(mine.len() as u64)).expect("small"));
                        let request = shop.http.post(format!("{replica}/api/v1/orders/{id}/cancel"));
                        let answer =
                            request.bearer_auth(testkit::service::OPERATOR_TOKEN).send().await.expect("an answer");
                        assert_eq!(answer.status(), 200);
                        cancels.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {
                        let lines = json!([
                            {"sku": sku, "quantity": 1 + dice.below(4)},
                            {"sku": format!("CP-{}", 1 + dice.below(3)), "quantity": 1},
                        ]);
                        let request = shop.http.post(format!("{replica}/api/v1/orders")).json(&json!({"lines": lines}));
                        let answer = Response::to(request).await;
                        assert!([201, 202, 409].contains(&answer.status.as_u16()), "{answer:?}");
                        if answer.status != 409 {
                            mine.push(answer.body["id"].as_str().expect("id").to_owned());
                        }
                        orders.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    join_all((0..64).map(client)).await;
    let counts = [&orders, &cancels, &receipts].map(|count| count.load(Ordering::Relaxed));
    assert!(counts.iter().all(|count| *count > 10), "too little was done to prove anything: {counts:?}");
    wait_until("every receipt to be applied", SOON, || async {
        let applied = shop.count("SELECT count(*) FROM receipts_applied").await;
        if applied == i64::try_from(counts[2]).expect("small") { Ok(()) } else { Err(applied) }
    })
    .await;
    assert!(shop.count("SELECT count(*) FROM replenishments WHERE status = 'complete'").await > 0);
    shop.assert_books_agree().await;
    let audit = shop.get("/api/v1/audit").await;
    assert_eq!(audit.body["ok"], true, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_two_replicas_makes_one_order() {
    let shop = Shop::open().await;
    let second = shop.replica().await;
    shop.product("CP-1", 5000, policy()).await;
    let replicas = [shop.api.clone(), second.api.clone()];
    let ask = |number: usize| {
        let request = shop.http.post(format!("{}/api/v1/orders", replicas[number % 2]));
        Response::to(request.header("Idempotency-Key", "one").json(&one("CP-1", 1)))
    };
    let answers = join_all((0..1000).map(ask)).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body["id"] == answers[0].body["id"]));
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 1);
    assert_eq!(shop.figures("CP-1").await.0, 4999);
}
