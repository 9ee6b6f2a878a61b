//! Orders: conservation, batches, shortages, keys, overload, restarts.

use std::collections::HashSet;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Shop, one, policy};

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_orders_on_a_thousand_units_sell_exactly_a_thousand() {
    let shop = Shop::open().await;
    shop.product("CP-1", 1000, policy()).await;
    let statuses = join_all((0..2000).map(|_| async { shop.order(one("CP-1", 1)).await.status })).await;
    let sold = statuses.iter().filter(|status| **status == StatusCode::CREATED).count();
    let refused = statuses.iter().filter(|status| **status == StatusCode::CONFLICT).count();
    assert_eq!((sold, refused), (1000, 1000));
    assert_eq!(shop.figures("CP-1").await, (0, 0, 10));
    assert_eq!(shop.count("SELECT count(*) FROM orders WHERE status = 'confirmed'").await, 1000);
    assert_eq!(shop.count("SELECT count(*) FROM orders WHERE status = 'rejected'").await, 1000);
    assert_eq!(shop.count("SELECT count(*) FROM stock_movements WHERE cause = 'sale' AND delta = -1").await, 1000);
    assert_eq!(shop.count("SELECT count(*) FROM replenishments").await, 1);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_of_a_product_with_three_units() {
    let shop = Shop::open().await;
    shop.product("CP-502101", 3, policy()).await;
    for _ in 0..3 {
        let answer = shop.order(one("CP-502101", 1)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["status"]), (201, &json!("confirmed")), "{answer:?}");
    }
    let refused = shop.order(one("CP-502101", 1)).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.content_type(), "application/problem+json");
    assert_eq!(refused.body["type"], "/problems/out-of-stock");
    assert_eq!(refused.body["lines"][0]["requested"], 1);
    assert_eq!(refused.body["lines"][0]["available"], 0);
    let order = shop.get(&format!("/api/v1/orders/{}", refused.body["order_id"].as_str().expect("id"))).await;
    assert_eq!(order.body["status"], "rejected");
    assert_eq!(order.body["replenishment_ids"], json!([]), "no unit of it waits");
    let refused = join_all((0..200).map(|_| shop.order(one("CP-502101", 1)))).await;
    assert!(refused.iter().all(|answer| answer.status == 409));
    assert_eq!(shop.count("SELECT count(*) FROM replenishments").await, 1, "rule 5");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_several_lines_is_all_or_none() {
    let shop = Shop::open().await;
    let mut choice = policy();
    choice["shortage"] = json!("choice");
    shop.product("A", 5, choice.clone()).await;
    shop.product("B", 1, choice).await;
    let lines = json!([{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 2}]);
    let refused = shop.order(json!({"lines": lines, "on_shortage": "reject"})).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.body["lines"].as_array().map(Vec::len), Some(1), "only the short line");
    assert_eq!((shop.figures("A").await.0, shop.figures("B").await.0), (5, 1));
    let sold = shop.order(json!({"lines": lines, "on_shortage": "backorder", "customer": "김"})).await;
    assert_eq!((sold.status.as_u16(), &sold.body["status"]), (202, &json!("backordered")));
    assert_eq!(sold.body["lines"][1]["filled"], 1);
    assert_eq!(sold.body["total"], json!({"amount": 4000, "currency": "KRW"}));
    assert_eq!((shop.figures("A").await.0, shop.figures("B").await), (3, (0, 1, 10)));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_identical_requests_with_one_key_make_one_order() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5000, policy()).await;
    let answers = join_all((0..1000).map(|_| shop.order_with_key("key-1", one("CP-1", 1)))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "every one is answered as the first");
    let ids: HashSet<String> = answers.iter().map(|answer| answer.body["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    assert_eq!(shop.figures("CP-1").await.0, 4999);
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_replayed_and_a_reused_key_is_a_conflict() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    let first = shop.order_with_key("key-1", one("CP-1", 1)).await;
    let again = shop.order_with_key("key-1", one("CP-1", 1)).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (409, 409));
    assert_eq!(first.body["order_id"], again.body["order_id"]);
    assert!(again.replayed() && !first.replayed());
    let other = shop.order_with_key("key-1", one("CP-1", 2)).await;
    assert_eq!((other.status.as_u16(), &other.body["type"]), (422, &json!("/problems/idempotency-key-reused")));
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_503_and_nothing_is_half_done() {
    let shop =
        Shop::open_with(&[("JAEGO_SALES__INTAKE__QUEUE_MAX", "2"), ("JAEGO_SALES__INTAKE__BATCH_MAX", "1")]).await;
    shop.product("CP-1", 1000, policy()).await;
    let answers = join_all((0..300).map(|_| shop.order(one("CP-1", 1)))).await;
    let sold = answers.iter().filter(|answer| answer.status == 201).count();
    let shed: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(sold + shed.len(), 300);
    assert!(!shed.is_empty(), "three hundred orders do not fit into a queue of two");
    assert!(shed.iter().all(|answer| answer.retry_after().is_some() && answer.body["type"] == "/problems/overloaded"));
    assert_eq!(shop.figures("CP-1").await.0, 1000 - i64::try_from(sold).expect("small"));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_in_hand_are_answered_while_the_service_stops() {
    let mut shop = Shop::open().await;
    shop.product("CP-1", 1000, policy()).await;
    let (http, url) = (shop.http.clone(), format!("{}/api/v1/orders", shop.api));
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let request = http.post(&url).json(&one("CP-1", 1));
            tokio::spawn(async move { request.send().await.map(|response| response.status()) })
        })
        .collect();
    testkit::wait_until("the first order to be written", crate::harness::SOON, || async {
        (shop.count("SELECT count(*) FROM orders").await > 0).then_some(())
    })
    .await;
    shop.stop().await;
    let answers = join_all(clients).await;
    let sold = answers.iter().filter(|answer| matches!(answer, Ok(Ok(StatusCode::CREATED)))).count();
    let kept = shop.count("SELECT count(*) FROM orders WHERE status = 'confirmed'").await;
    assert_eq!(i64::try_from(sold).expect("small"), kept, "what was accepted was answered, and the other way round");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_is_found_whoever_else_misuses_its_key_at_the_same_time() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5000, policy()).await;
    let first = shop.order_with_key("key-1", one("CP-1", 1)).await;
    assert_eq!(first.status, 201);
    let ask = |number: i64| shop.order_with_key("key-1", one("CP-1", if number % 2 == 0 { 2 } else { 1 }));
    for (number, answer) in join_all((0..200).map(ask)).await.iter().enumerate() {
        if number % 2 == 0 {
            assert_eq!(answer.body["type"], "/problems/idempotency-key-reused", "{answer:?}");
        } else {
            assert!(answer.replayed() && answer.body == first.body, "{answer:?}");
        }
    }
    // A first request that stores nothing does not reserve the key.
    let ask = |number: i64| shop.order_with_key("key-2", one(if number % 2 == 0 { "NOT-HERE" } else { "CP-1" }, 1));
    for (number, answer) in join_all((0..200).map(ask)).await.iter().enumerate().filter(|(number, _)| number % 2 == 1) {
        assert_eq!(answer.status, 201, "{number}: {answer:?}");
    }
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 2);
    shop.assert_books_agree().await;
}
