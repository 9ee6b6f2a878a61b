//! Orders are decided on cached products, but never on stale ones.

use std::collections::BTreeSet;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl as _;
use jaego_contracts::ids::{ReceiptId, RequestId};
use jaego_pg::pool;
use jaego_settings::Settings as _;
use reqwest::Method;
use sales_service::store::product_states;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{PATIENT, Response, SOON, Shop, one, order_at, policy, product_body, settings};
use crate::messages::{publish, received_of};

/// Number of batches whose products were in this state: the label `state` of the metric.
async fn batches(shop: &Shop, state: &str) -> u64 {
    shop.metric("jaego_intake_batches_total", &format!("state=\"{state}\"")).await.unwrap_or(0)
}

fn off() -> Value {
    json!({"reorder_point": 0, "order_up_to": 10, "lot_size": 10, "mode": "off", "shortage": "reject"})
}

/// Places orders until a batch is decided on the cache; the batch before it read the product.
async fn order_until_known(shop: &Shop, sku: &str) {
    let known = batches(shop, "known").await;
    let mut ordered = 0;
    while batches(shop, "known").await == known {
        shop.order(one(sku, 1)).await;
        ordered += 1;
        assert!(ordered < 100, "{sku} is never in the cache");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_products_are_sold_without_a_read_and_the_books_agree() {
    if !testkit::is_alone("known::cached_products_are_sold_without_a_read_and_the_books_agree").await {
        return;
    }
    let shop = Shop::open().await;
    shop.product("CP-1", 10, off()).await;
    let ordered = [(); 12].map(|()| shop.order(one("CP-1", 1)));
    let mut sold = 0;
    for order in ordered {
        sold += i64::from(order.await.status == 201);
    }
    assert_eq!((sold, shop.figures("CP-1").await), (10, (0, 0, 0)));
    assert_eq!((batches(&shop, "read").await, batches(&shop, "known").await), (2, 10), "no other process wrote");
    assert_eq!(batches(&shop, "changed").await, 0);
    shop.assert_books_agree().await;
}

/// Makes a change outside the intake and checks the answer to the next order.
async fn is_seen(shop: &Shop, sku: &str, change: impl AsyncFnOnce(), is_right: impl Fn(&Response) -> bool) {
    order_until_known(shop, sku).await;
    let changed = batches(shop, "changed").await;
    change().await;
    let answer = shop.order(one(sku, 1)).await;
    assert!(is_right(&answer), "{sku}: {answer:?}");
    assert_eq!(batches(shop, "changed").await, changed + 1, "{sku}: the cached product was stale");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_by_somebody_else_is_seen_by_the_next_order() {
    if !testkit::is_alone("known::every_change_by_somebody_else_is_seen_by_the_next_order").await {
        return;
    }
    let shop = Shop::open().await;
    let put = |sku: &'static str, body: Value| {
        let shop = &shop;
        async move || {
            let put = shop.operate(Method::PUT, &format!("/api/v1/products/{sku}"), body.clone()).await;
            assert_eq!(put.status, 200, "{put:?}");
        }
    };
    let adjust = async |sku: &str, delta: i64| {
        let body = json!({"delta": delta, "reason": "correction"});
        let adjusted = shop.operate(Method::POST, &format!("/api/v1/products/{sku}/adjustments"), body).await;
        assert_eq!(adjusted.status, 201, "{adjusted:?}");
    };
    for sku in ["PRICE", "SALE", "POLICY", "LESS", "MORE", "GOODS", "CANCEL"] {
        shop.product(sku, 1000, off()).await;
    }
    let on_hand = async |sku: &str| shop.figures(sku).await.0;
    let sell_out = async |sku: &str| {
        let sold = shop.order(one(sku, on_hand(sku).await)).await;
        assert_eq!(sold.status, 201, "{sold:?}");
    };

    let mut dearer = product_body(&off());
    dearer["price"]["amount"] = json!(2000);
    is_seen(&shop, "PRICE", put("PRICE", dearer), |answer| answer.body["total"]["amount"] == 2000).await;

    let mut withdrawn = product_body(&off());
    withdrawn["on_sale"] = json!(false);
    is_seen(&shop, "SALE", put("SALE", withdrawn), |answer| answer.status == 422).await;

    let all = async || adjust("LESS", -on_hand("LESS").await).await;
    is_seen(&shop, "LESS", all, |answer| answer.status == 409).await;

    sell_out("MORE").await;
    is_seen(&shop, "MORE", async || adjust("MORE", 1).await, |answer| answer.status == 201).await;

    sell_out("POLICY").await;
    let mut waits = off();
    waits["shortage"] = json!("backorder");
    is_seen(&shop, "POLICY", put("POLICY", product_body(&waits)), |answer| answer.status == 202).await;

    sell_out("GOODS").await;
    let goods = async || {
        let body = received_of("GOODS", ReceiptId::generate(), RequestId::generate(), 5);
        publish(&shop, "stock.received", &body).await;
        wait_until("the goods", SOON, || async {
            let units = on_hand("GOODS").await;
            if units == 5 { Ok(()) } else { Err(format!("{units} units")) }
        })
        .await;
    };
    is_seen(&shop, "GOODS", goods, |answer| answer.status == 201).await;

    let whole = shop.order(one("CANCEL", 400)).await;
    sell_out("CANCEL").await;
    let path = format!("/api/v1/orders/{}/cancel", whole.body["id"].as_str().expect("an id"));
    let cancel = async || assert_eq!(shop.operate(Method::POST, &path, json!({})).await.status, 200);
    is_seen(&shop, "CANCEL", cancel, |answer| answer.status == 201).await;

    // Even a change that bypasses the service is noticed.
    shop.product("BY-HAND", 1000, off()).await;
    let sql = "UPDATE stock SET on_hand = 3 WHERE sku = 'BY-HAND'";
    order_until_known(&shop, "BY-HAND").await;
    shop.database.batch_execute(sql).await.expect("written");
    assert_eq!(shop.order(one("BY-HAND", 1)).await.status, 201);
    assert_eq!(shop.figures("BY-HAND").await.0, 2, "sold from the row, not from the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_was_closed_is_made_again() {
    if !testkit::is_alone("known::a_proposal_that_was_closed_is_made_again").await {
        return;
    }
    let shop = Shop::open().await;
    let mut by_hand = policy();
    by_hand["mode"] = json!("manual");
    shop.product("ASKS", 0, by_hand).await;
    let proposals = async || {
        let listed = shop.get("/api/v1/replenishments?sku=ASKS&status=proposed").await;
        listed.body["items"].as_array().expect("a list").clone()
    };
    order_until_known(&shop, "ASKS").await;
    let proposed = proposals().await;
    assert_eq!(proposed.len(), 1);
    let id = proposed[0]["id"].as_str().expect("an id").to_owned();
    let close = json!({"reason": "not now"});
    let closed = shop.operate(Method::POST, &format!("/api/v1/replenishments/{id}/close"), close).await;
    assert_eq!(closed.status, 200, "{closed:?}");
    let changed = batches(&shop, "changed").await;
    shop.order(one("ASKS", 1)).await;
    assert_eq!(batches(&shop, "changed").await, changed + 1);
    let again = proposals().await;
    assert_eq!(again.len(), 1, "{again:?}");
    assert_ne!(again[0]["id"], json!(id), "a new proposal");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_for_a_product_sees_what_was_written_during_the_wait() {
    if !testkit::is_alone("known::a_batch_that_waits_for_a_product_sees_what_was_written_during_the_wait").await {
        return;
    }
    let shop = Shop::open().await;
    shop.product("CP-1", 1000, off()).await;
    order_until_known(&shop, "CP-1").await;
    // A separate connection, because PostgreSQL keeps one snapshot of its activity statistics per transaction.
    let other = shop.as_admin().await;
    other.batch_execute("BEGIN; UPDATE stock SET on_hand = 0 WHERE sku = 'CP-1'").await.expect("written");
    let waits = async {
        let locks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
            AND datname = current_database()";
        wait_until("an order that waits", SOON, || async {
            if shop.count(locks).await == 1 { Ok(()) } else { Err("nobody waits") }
        })
        .await;
        other.batch_execute("COMMIT").await.expect("committed");
    };
    let (answer, ()) = futures::join!(shop.order(one("CP-1", 1)), waits);
    assert_eq!((answer.status.as_u16(), batches(&shop, "changed").await), (409, 1), "{answer:?}");
    assert_eq!(shop.figures("CP-1").await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_of_one_replica_is_seen_by_the_other() {
    if !testkit::is_alone("known::a_proposal_of_one_replica_is_seen_by_the_other").await {
        return;
    }
    let shop = Shop::open().await;
    let mut by_hand = policy();
    by_hand["mode"] = json!("manual");
    shop.product("CP-1", 3, by_hand).await;
    let second = shop.replica().await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    // The second replica sells nothing, and no figure changes.
    assert_eq!(order_at(&second, one("CP-1", 5)).await.status, 409);
    assert_eq!(shop.order(one("CP-1", 5)).await.status, 409);
    let proposed = shop.get("/api/v1/replenishments?sku=CP-1&status=proposed").await;
    assert_eq!(proposed.body["items"].as_array().map(Vec::len), Some(1), "{proposed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_remember_the_same_product_sell_each_unit_once() {
    if !testkit::is_alone("known::two_replicas_that_remember_the_same_product_sell_each_unit_once").await {
        return;
    }
    let shop = Shop::open_with(&PATIENT).await;
    shop.product("CP-1", 40, off()).await;
    let second = shop.replica().await;
    let order_there = async || order_at(&second, one("CP-1", 1)).await.status;
    let mut sold = 0;
    for _ in 0..30 {
        sold += i64::from(shop.order(one("CP-1", 1)).await.status == 201);
        sold += i64::from(order_there().await == 201);
    }
    assert_eq!((sold, shop.figures("CP-1").await), (40, (0, 0, 0)));
    let changed = batches(&shop, "changed").await;
    assert!(changed <= 1, "{changed} of 30 batches were decided twice: shared products are read first");
    shop.assert_books_agree().await;
}

#[derive(QueryableByName)]
struct Read {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn one_product_is_locked_by_its_key_with_a_plan_made_while_the_tables_were_small() {
    let shop = Shop::open().await;
    shop.product("CP-1", 10, off()).await;
    let by_itself = "ALTER TABLE stock SET (autovacuum_enabled = off); \
        ALTER TABLE products SET (autovacuum_enabled = off)";
    shop.database.batch_execute(by_itself).await.expect("altered");
    let skus = BTreeSet::from(["CP-1".parse().expect("a SKU")]);
    let pool = pool(&settings(&shop).common().database, "known-test").expect("a pool");
    let connection = pool.get().await.expect("a connection");
    let in_transaction = async |sql: &str| sql_query(sql).execute(&mut &*connection).await.expect("done");
    let held = async || {
        in_transaction("BEGIN").await;
        let loaded = product_states::lock(&connection, &skus).await.expect("loaded");
        product_states::holding(&loaded.versions).run(&connection).await.expect("held");
        let read = "SELECT sum(seq_tup_read)::bigint AS rows FROM pg_stat_xact_user_tables \
            WHERE relname IN ('stock', 'products', 'factories')";
        let read: Read = sql_query(read).get_result(&mut &*connection).await.expect("counted");
        in_transaction("ROLLBACK").await;
        read.rows
    };
    // PostgreSQL may keep a statement's generic plan from its sixth execution on.
    for _ in 0..10 {
        held().await;
    }
    let fill = "INSERT INTO products (sku, name, price, factory_id, on_sale, reorder_point, order_up_to, lot_size, mode, \
            shortage) \
        SELECT 'X-' || n, 'x', 1, 'F', true, 0, 1, 1, 'off', 'reject' FROM generate_series(1, 5000) AS n; \
        INSERT INTO stock (sku) SELECT sku FROM products ON CONFLICT DO NOTHING";
    shop.database.batch_execute(fill).await.expect("filled");
    assert_eq!(held().await, 0, "rows read by sequential scans");
}
