//! A locked, slow or unreachable part delays only what depends on it, and every order gets a truthful answer in time.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use jaego_contracts::ids::{ReceiptId, RequestId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{Response, SOON, Shop, one, policy, product_body};
use crate::messages::{publish, received_of};

/// `intake.wait_max_ms` in these tests.
const WAIT_MAX: (&str, &str) = ("JAEGO_SALES__INTAKE__WAIT_MAX_MS", "2000");
/// A client waits this long only if the service is broken.
const FOR_EVER: Duration = Duration::from_secs(25);

fn backorder() -> Value {
    let mut waits = policy();
    waits["shortage"] = json!("backorder");
    waits["max_backordered"] = json!(1_000_000);
    waits
}

/// Locks a product's row until the connection is dropped or rolls back.
pub async fn hold(shop: &Shop, sku: &str) -> tokio_postgres::Client {
    let holder = shop.as_admin().await;
    holder.batch_execute(&format!("BEGIN; SELECT FROM stock WHERE sku = '{sku}' FOR UPDATE")).await.expect("held");
    holder
}

/// Blocks the commit of every transaction that writes `table` until [`open_gate`].
async fn close_gate(shop: &Shop, table: &str) {
    let gate = format!(
        "CREATE TABLE gate (is_closed boolean); INSERT INTO gate VALUES (true); GRANT SELECT ON gate TO PUBLIC; \
         CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         WHILE (SELECT is_closed FROM gate) LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION at_commit()"
    );
    shop.database.batch_execute(&gate).await.expect("closed");
}

async fn open_gate(shop: &Shop) {
    shop.database.batch_execute("UPDATE gate SET is_closed = false").await.expect("opened");
}

/// Sends an order without waiting for its answer.
pub fn begin_order(shop: &Shop, body: Value) -> tokio::task::JoinHandle<Response> {
    let request = shop.http.post(format!("{}/api/v1/orders", shop.api)).json(&body);
    tokio::spawn(async move {
        let answer = Response::to(request);
        tokio::time::timeout(FOR_EVER, answer).await.expect("an answer, whatever the database does")
    })
}

/// Orders until the service decides on its cache of the product.
async fn make_known(shop: &Shop, sku: &str) {
    for _ in 0..3 {
        assert_eq!(shop.order(one(sku, 1)).await.status, 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_product_delays_no_other() {
    let shop = Shop::open_with(&[("JAEGO_SALES__INTAKE__WAIT_MAX_MS", "20000")]).await;
    for sku in ["HELD", "FREE"] {
        shop.product(sku, 1000, policy()).await;
        make_known(&shop, sku).await;
    }
    let holder = hold(&shop, "HELD").await;
    let held: Vec<_> = (0..8).map(|_| begin_order(&shop, one("HELD", 1))).collect();
    let both = begin_order(&shop, json!({"lines": [{"sku": "FREE", "quantity": 1}, {"sku": "HELD", "quantity": 1}]}));
    // If these waited for the row, each would wait as long as it is locked.
    for _ in 0..20 {
        let free = tokio::time::timeout(FOR_EVER, shop.order(one("FREE", 1))).await.expect("nobody holds it");
        assert_eq!(free.status, 201, "{free:?}");
    }
    assert!(held.iter().all(|order| !order.is_finished()) && !both.is_finished(), "these do wait");
    holder.batch_execute("ROLLBACK").await.expect("released");
    for order in held {
        assert_eq!(order.await.expect("ended").status, 201);
    }
    assert_eq!(both.await.expect("ended").status, 201);
    assert_eq!((shop.figures("HELD").await.0, shop.figures("FREE").await.0), (1000 - 3 - 9, 1000 - 3 - 21));
    // The product is sold as usual again.
    assert_eq!(shop.order(one("HELD", 1)).await.status, 201);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_held_product_are_answered_when_their_time_is_over() {
    let shop = Shop::open_with(&[WAIT_MAX, ("JAEGO_SALES__INTAKE__LANE_MAX", "4")]).await;
    shop.product("HELD", 1000, policy()).await;
    let _holder = hold(&shop, "HELD").await;
    let orders = (0..16).map(|_| begin_order(&shop, one("HELD", 1)));
    for order in join_all(orders).await {
        let answer = order.expect("ended");
        // The outcome of an order that was in the database when its time was up is unknown.
        let kinds = [json!("/problems/overloaded"), json!("/problems/outcome-unknown")];
        assert!(answer.status == 503 && kinds.contains(&answer.body["type"]), "{answer:?}");
    }
    assert_eq!(shop.count("SELECT count(*) FROM orders").await, 0, "nothing was promised");
    // They leave the lane even though the product is still locked, so others find a place in it.
    wait_until("the lane to be empty", SOON, || async {
        let late = shop.metric("jaego_intake_dropped_total", "reason=\"late\"").await;
        late.filter(|late: &u64| *late >= 4).map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_it_is_committed() {
    for is_known in [false, true] {
        let shop = Shop::open_with(&[("JAEGO_SALES__INTAKE__WAIT_MAX_MS", "20000")]).await;
        shop.product("CP-1", 1000, policy()).await;
        let mut sold = 0;
        if is_known {
            make_known(&shop, "CP-1").await;
            sold = 3;
        }
        close_gate(&shop, "orders").await;
        let order = begin_order(&shop, one("CP-1", 1));
        let at_commit = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                         AND wait_event = 'PgSleep'";
        let observer = shop.as_admin().await;
        wait_until("the commit to wait", SOON, || async {
            let waiting: i64 = observer.query_one(at_commit, &[]).await.expect("asked").get(0);
            (waiting > 0).then_some(())
        })
        .await;
        assert!(!order.is_finished(), "written and not yet committed: nobody may hear of it");
        open_gate(&shop).await;
        assert_eq!(order.await.expect("ended").status, 201);
        let failing = "CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS \
                       $$ BEGIN RAISE EXCEPTION 'the commit fails'; END $$";
        shop.database.batch_execute(failing).await.expect("replaced");
        let failed = shop.order(one("CP-1", 1)).await;
        assert_eq!(failed.status, 500, "{failed:?}");
        assert_eq!(shop.count("SELECT count(*) FROM orders").await, sold + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_commit_hangs_is_answered_and_not_as_refused() {
    for is_known in [false, true] {
        let shop = Shop::open_with(&[WAIT_MAX]).await;
        shop.product("CP-1", 1000, policy()).await;
        let mut sold = 0;
        if is_known {
            make_known(&shop, "CP-1").await;
            sold = 3;
        }
        close_gate(&shop, "orders").await;
        let answer = begin_order(&shop, one("CP-1", 1)).await.expect("ended");
        assert_eq!((answer.status.as_u16(), &answer.body["type"]), (503, &json!("/problems/outcome-unknown")));
        assert!(answer.retry_after().is_some());
        let mut unknown = vec![answer.body["order_id"].as_str().expect("the order's id").to_owned()];
        open_gate(&shop).await;
        // Until the commit has ended, further orders may get the same answer.
        loop {
            let next = begin_order(&shop, one("CP-1", 1)).await.expect("ended");
            match (next.status.as_u16(), next.body["type"].as_str()) {
                (201, _) => break,
                (503, Some("/problems/outcome-unknown")) => {
                    unknown.push(next.body["order_id"].as_str().expect("the order's id").to_owned());
                }
                (503, Some("/problems/overloaded")) => {}
                _ => panic!("{next:?}"),
            }
        }
        // Each of them may have been taken or not. A lookup by id shows which, and nothing else was taken.
        let mut taken = 0;
        for id in &unknown {
            let found = shop.get(&format!("/api/v1/orders/{id}")).await;
            assert!(found.status == 200 || found.status == 404, "{found:?}");
            taken += i64::from(found.status == 200);
        }
        assert_eq!(shop.count("SELECT count(*) FROM orders").await, sold + taken + 1, "{unknown:?}");
        shop.assert_books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_proves_a_commit() {
    let shop = Shop::open().await;
    let ready = async |code: u16| {
        wait_until(&format!("{code}"), SOON, || async {
            let seen = shop.readiness().await.status;
            if seen == code { Ok(()) } else { Err(seen) }
        })
        .await;
    };
    ready(200).await;
    close_gate(&shop, "heartbeats").await;
    ready(503).await;
    open_gate(&shop).await;
    ready(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_answered_while_the_database_was_never_there() {
    let mut shop = Shop::open_with(&[WAIT_MAX]).await;
    shop.product("CP-1", 10, policy()).await;
    shop.stop().await;
    let link = shop.link("DATABASE__URL").await;
    link.cut();
    shop.start().await;
    let answer = begin_order(&shop, one("CP-1", 1)).await.expect("ended");
    assert_eq!((answer.status.as_u16(), &answer.body["type"]), (503, &json!("/problems/unavailable")));
    link.pass();
    wait_until("the shop to sell", SOON, || async {
        let answer = shop.order(one("CP-1", 1)).await;
        if answer.status == 201 { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_order_is_answered_truly_after_the_databases_answer_was_lost() {
    let mut shop = Shop::open_with(&[("JAEGO_SALES__INTAKE__WAIT_MAX_MS", "20000")]).await;
    shop.stop().await;
    let link = shop.link("DATABASE__URL").await;
    shop.start().await;
    shop.product("CP-1", 1000, policy()).await;
    for round in 1..=4 {
        if round == 3 {
            make_known(&shop, "CP-1").await;
        }
        let before = shop.count("SELECT count(*) FROM orders").await;
        // The database's answers are delayed long enough to be lost.
        link.delay_ms(0, 700);
        let orders: Vec<_> = (0..10).map(|_| begin_order(&shop, one("CP-1", 1))).collect();
        wait_until("the first to be committed", SOON, || async {
            (shop.count("SELECT count(*) FROM orders").await > before).then_some(())
        })
        .await;
        link.cut_once();
        link.delay_ms(0, 0);
        let mut ids = HashSet::new();
        for order in orders {
            let answer = order.await.expect("ended");
            assert_eq!(answer.status, 201, "round {round}: {answer:?}");
            ids.insert(answer.body["id"].to_string());
        }
        assert_eq!(ids.len(), 10);
        assert_eq!(shop.count("SELECT count(*) FROM orders").await, before + 10, "round {round}: each was taken once");
        shop.assert_books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_thousands_wait_for_is_handed_out_slice_by_slice() {
    let shop = Shop::open().await;
    let mut never = backorder();
    never["mode"] = json!("off");
    shop.product("CP-1", 0, never).await;
    shop.product("CP-2", 0, policy()).await;
    let waiting = "WITH taken AS (INSERT INTO orders (id, status, total, traceparent, created_at) \
            SELECT gen_random_uuid(), 'backordered', 1, '', now() FROM generate_series(1, 4500) RETURNING id) \
        INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
            SELECT id, 'CP-1', 1, 0, 1, 1 FROM taken; \
        UPDATE stock SET backordered = 4500 WHERE sku = 'CP-1'";
    shop.database.batch_execute(waiting).await.expect("they wait");
    let goods = received_of("CP-1", ReceiptId::generate(), RequestId::generate(), 4700);
    publish(&shop, "stock.received", &goods).await;
    publish(&shop, "stock.received", &goods).await;
    publish(&shop, "stock.received", &received_of("CP-2", ReceiptId::generate(), RequestId::generate(), 5)).await;
    let figures = async |sku: &str, expected: (i64, i64, i64)| {
        wait_until(&format!("{sku}: {expected:?}"), SOON, || async {
            let figures = shop.figures(sku).await;
            if figures == expected { Ok(()) } else { Err(figures) }
        })
        .await;
    };
    figures("CP-2", (5, 0, 0)).await;
    figures("CP-1", (200, 0, 0)).await;
    let entries = "SELECT count(*) FROM stock_movements WHERE sku = 'CP-1' AND cause = 'receipt'";
    assert_eq!(shop.count(entries).await, 5, "a thousand lines each, the rest goes on hand with the last");
    assert_eq!(shop.count("SELECT count(*) FROM orders WHERE status = 'confirmed'").await, 4500);
    shop.assert_books_agree().await;
    let audit = shop.get("/api/v1/audit").await;
    assert_eq!(audit.body["ok"], true, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_a_killed_process_left_are_handed_out_by_the_next() {
    let mut shop = Shop::open().await;
    let mut never = backorder();
    never["mode"] = json!("off");
    shop.product("CP-1", 0, never).await;
    assert_eq!(shop.order(one("CP-1", 3)).await.status, 202);
    shop.stop().await;
    // The state between two slices: the units have arrived and count as on order.
    let left = "INSERT INTO incoming (sku, cause, units, reference, actor, traceparent, arrived_at) VALUES ('CP-1', \
        'correction', 5, 'r', 'kim', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', now()); \
        UPDATE stock SET on_order = 5 WHERE sku = 'CP-1'";
    shop.database.batch_execute(left).await.expect("left");
    shop.assert_books_agree().await;
    shop.start().await;
    wait_until("the units", SOON, || async {
        let figures = shop.figures("CP-1").await;
        if figures == (2, 0, 0) { Ok(()) } else { Err(figures) }
    })
    .await;
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_held_product_waits_separately() {
    let shop = Shop::open().await;
    for sku in ["HELD", "FREE"] {
        shop.product(sku, 0, policy()).await;
    }
    let holder = hold(&shop, "HELD").await;
    for sku in ["HELD", "FREE"] {
        publish(&shop, "stock.received", &received_of(sku, ReceiptId::generate(), RequestId::generate(), 5)).await;
    }
    let on_hand = async |sku: &str, units: i64| {
        wait_until(&format!("{units} of {sku}"), SOON, || async {
            let (on_hand, ..) = shop.figures(sku).await;
            if on_hand == units { Ok(()) } else { Err(on_hand) }
        })
        .await;
    };
    on_hand("FREE", 5).await;
    // It is parked, and its attempt is counted.
    shop.wait_for_count("SELECT count(*) FROM message_retries WHERE attempts > 0", 1).await;
    holder.batch_execute("ROLLBACK").await.expect("released");
    on_hand("HELD", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backorders_make_few_requests_and_few_links() {
    let shop = Shop::open().await;
    shop.product("CP-1", 0, backorder()).await;
    let answers = join_all((0..300).map(|_| shop.order(one("CP-1", 10)))).await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    let requests = shop.count("SELECT count(*) FROM replenishments").await;
    assert!(requests <= 20, "{requests} requests for one product");
    let links = shop.count("SELECT count(*) FROM order_replenishments").await;
    assert!(links <= 300 + 2 * requests, "{links} links of 300 orders to {requests} requests");
    assert!(
        answers.iter().all(|answer| answer.body["replenishment_ids"].as_array().is_some_and(|ids| ids.len() <= 20))
    );
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_on_order_are_promised_first_to_orders_that_wait_already() {
    let shop = Shop::open().await;
    let factory =
        "INSERT INTO factories (factory_id, name, enabled, lead_time_s, revision) VALUES ('FF-1', 'F', true, 600, 1)";
    shop.database.batch_execute(factory).await.expect("known");
    let mut by_hand = backorder();
    by_hand["mode"] = json!("off");
    shop.product("CP-1", 0, by_hand).await;
    let asked = async |units: i64| {
        let body = json!({"sku": "CP-1", "quantity": units});
        assert_eq!(shop.operate(Method::POST, "/api/v1/replenishments", body).await.status, 201);
    };
    asked(20).await;
    shop.database.batch_execute("UPDATE replenishments SET ordered_at = now() - interval '300 s'").await.expect("aged");
    asked(10).await;
    let mut dates = Vec::new();
    for _ in 0..4 {
        let order = shop.order(one("CP-1", 10)).await;
        assert_eq!(order.status, 202, "{order:?}");
        let seen = shop.get(&format!("/api/v1/orders/{}", order.body["id"].as_str().expect("an id"))).await;
        assert_eq!(seen.body["lines"][0]["restock_eta"], order.body["lines"][0]["restock_eta"]);
        dates.push(order.body["lines"][0]["restock_eta"].clone());
    }
    assert!(dates[0].is_string() && dates[0] == dates[1], "{dates:?}");
    assert!(dates[2].as_str() > dates[1].as_str(), "the first goods go to the first two: {dates:?}");
    assert_eq!(dates[3], Value::Null, "nothing is on order for the fourth: {dates:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_backordered_only_as_the_policy_allows() {
    let shop = Shop::open().await;
    let ask = async |sku: &str, wish: Option<&str>| {
        let mut body = one(sku, 1);
        if let Some(wish) = wish {
            body["on_shortage"] = json!(wish);
        }
        shop.order(body).await.status.as_u16()
    };
    let cases = [("reject", [409, 409, 409]), ("backorder", [202, 409, 202]), ("choice", [409, 409, 202])];
    for (word, expected) in cases {
        let mut shortage = policy();
        shortage["shortage"] = json!(word);
        shop.product(word, 0, shortage).await;
        let seen = [ask(word, None).await, ask(word, Some("reject")).await, ask(word, Some("backorder")).await];
        assert_eq!(seen, expected, "{word}");
    }
}

// Control: order-bounds.
#[tokio::test(flavor = "multi_thread")]
async fn shoppers_order_within_bounds() {
    let shop = Shop::open().await;
    let mut body = product_body(&backorder());
    body["max_per_order"] = json!(20);
    let put = shop.operate(Method::PUT, "/api/v1/products/CP-1", body.clone()).await;
    assert_eq!((put.status.as_u16(), &put.body["max_per_order"]), (201, &json!(20)));
    let anybody = async |units: i64, key: &str| {
        let request = shop.http.post(format!("{}/api/v1/orders", shop.public)).json(&one("CP-1", units));
        let request = if key.is_empty() { request } else { request.header("Idempotency-Key", key) };
        Response::to(request).await
    };
    let refused = anybody(21, "").await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (422, &json!("/problems/invalid-request")));
    assert_eq!(refused.body["lines"], json!([{"sku": "CP-1", "max_per_order": 20}]));
    assert_eq!(anybody(20, "").await.status, 202);
    assert_eq!(shop.order(one("CP-1", 21)).await.status, 202, "operators are not bounded");
    assert_eq!(anybody(1, "short").await.status, 400, "somebody else may have had that key");
    assert_eq!(anybody(1, "01a2051b-cec2-7409-aeed-e0a5afd6eded").await.status, 202);
    body["max_per_order"] = json!(10_001);
    assert_eq!(shop.operate(Method::PUT, "/api/v1/products/CP-1", body).await.status, 422);
    // A policy without its own limit uses the shop's.
    let mut unbounded = backorder();
    unbounded.as_object_mut().expect("an object").remove("max_backordered");
    shop.product("CP-2", 0, unbounded).await;
    assert_eq!(shop.order(one("CP-2", 1_000_000)).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_products_are_not_made_for_the_shelf() {
    let shop = Shop::open_with(&[("JAEGO_SALES__REPLENISHMENT__SWEEP_EVERY_S", "1")]).await;
    let mut withdrawn = product_body(&policy());
    withdrawn["on_sale"] = json!(false);
    assert_eq!(shop.operate(Method::PUT, "/api/v1/products/GONE", withdrawn).await.status, 201);
    shop.product("HERE", 0, policy()).await;
    // The sweep goes in SKU order, so GONE comes before HERE.
    shop.wait_for_count("SELECT count(*) FROM replenishments WHERE sku = 'HERE'", 1).await;
    assert_eq!(shop.count("SELECT count(*) FROM replenishments WHERE sku = 'GONE'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_proposal_orders_only_the_remaining_shortage() {
    let shop = Shop::open().await;
    let levels =
        json!({"reorder_point": 10, "order_up_to": 1000, "lot_size": 5, "mode": "manual", "shortage": "reject"});
    shop.product("CP-1", 5, levels).await;
    let proposals = shop.get("/api/v1/replenishments?sku=CP-1&status=proposed").await;
    assert_eq!(proposals.body["items"][0]["quantity"], 995, "{proposals:?}");
    let id = proposals.body["items"][0]["id"].as_str().expect("an id").to_owned();
    let counted = json!({"delta": 985, "reason": "cycle_count"});
    assert_eq!(shop.operate(Method::POST, "/api/v1/products/CP-1/adjustments", counted).await.status, 201);
    let approved = shop.operate(Method::POST, &format!("/api/v1/replenishments/{id}/approve"), json!({})).await;
    assert_eq!((approved.status.as_u16(), &approved.body["quantity"]), (200, &json!(10)), "{approved:?}");
    assert_eq!(shop.figures("CP-1").await, (990, 0, 10));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledgers_times_and_the_revisions_of_stock_only_rise() {
    let shop = Shop::open().await;
    shop.product("CP-1", 1000, policy()).await;
    let second = shop.replica().await;
    let orders = (0..100).map(|number| {
        let api = if number % 2 == 0 { &shop.api } else { &second.api };
        shop.http.post(format!("{api}/api/v1/orders")).json(&one("CP-1", 1)).send()
    });
    // The row is locked from time to time, so that batches have to wait for it.
    let holding = async {
        for _ in 0..20 {
            hold(&shop, "CP-1").await.batch_execute("ROLLBACK").await.expect("released");
        }
    };
    let (answers, ()) = futures::join!(join_all(orders), holding);
    assert!(answers.into_iter().all(|answer| answer.expect("an answer").status() == 201));
    let backwards = "SELECT count(*) FROM (SELECT at, lag(at) OVER (ORDER BY entry) AS previous FROM stock_movements) \
                     entries WHERE at < previous";
    assert_eq!(shop.count(backwards).await, 0);
    // Simulates a clock that is an hour fast. Later entries must not get an earlier time.
    shop.database.batch_execute("UPDATE stock SET updated_at = now() + interval '1 hour'").await.expect("set");
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    assert_eq!(shop.count("SELECT count(*) FROM stock_movements WHERE at > now() + interval '50 min'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_needs_no_room_in_the_outbox() {
    let mut shop = Shop::open_with(&[("JAEGO_SALES__OUTBOX__PENDING_MAX", "3")]).await;
    shop.product("CP-1", 10, policy()).await;
    let first = shop.order_with_key("key-1", one("CP-1", 1)).await;
    assert_eq!(first.status, 201);
    shop.stop().await;
    // No queue accepts these events, so they stay in the outbox.
    let full = "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
        SELECT 'x-' || n, 'jaego.events', 'nowhere', 'text/plain', '{}', 'x', true FROM generate_series(1, 10) n";
    shop.database.batch_execute(full).await.expect("filled");
    shop.start().await;
    wait_until("the outbox to be full", SOON, || async {
        let answer = shop.order(one("CP-1", 1)).await;
        if answer.status == 503 { Ok(()) } else { Err(answer) }
    })
    .await;
    let again = shop.order_with_key("key-1", one("CP-1", 1)).await;
    assert!(again.replayed() && again.body == first.body, "{again:?}");
    assert_eq!(shop.order_with_key("key-2", one("CP-1", 1)).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_prune_at_once_leave_no_orphans() {
    let mut shop = Shop::open().await;
    shop.product("CP-1", 0, policy()).await;
    shop.stop().await;
    let old = "WITH taken AS (INSERT INTO orders (id, status, total, traceparent, created_at) \
            SELECT gen_random_uuid(), 'rejected', 1, '', now() - interval '500 days' FROM generate_series(1, 8000) RETURNING id) \
        INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
            SELECT id, 'CP-1', 1, 0, 0, 1 FROM taken";
    shop.database.batch_execute(old).await.expect("old orders");
    let _others = [shop.replica().await, shop.replica().await, shop.replica().await];
    shop.start().await;
    shop.wait_for_count("SELECT count(*) FROM orders", 0).await;
    assert_eq!(shop.count("SELECT count(*) FROM order_lines").await, 0, "lines without their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_orders_survive_a_kill_under_load() {
    const CLIENTS: usize = 32;
    let shop = Shop::open().await;
    shop.product("CP-1", 100_000, policy()).await;
    let replica = shop.replica().await;
    let taken = std::sync::Arc::new(std::sync::Mutex::new(HashSet::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (http, url, taken) = (shop.http.clone(), format!("{}/api/v1/orders", replica.api), taken.clone());
            tokio::spawn(async move {
                while let Ok(response) = http.post(&url).json(&one("CP-1", 1)).send().await {
                    let (status, body) = (response.status(), response.json::<Value>().await);
                    if let (true, Ok(body)) = (status == 201, body) {
                        let id = body["id"].as_str().expect("an id").to_owned();
                        taken.lock().expect("a list").insert(id);
                    }
                }
            })
        })
        .collect();
    wait_until("orders under load", SOON, || async {
        let count = taken.lock().expect("a list").len();
        if count >= 500 { Ok(()) } else { Err(count) }
    })
    .await;
    // SIGKILL, in the middle of its work.
    drop(replica);
    for client in clients {
        client.await.expect("ended");
    }
    let stored = shop.database.query("SELECT id::text FROM orders", &[]).await.expect("orders");
    let stored: HashSet<String> = stored.iter().map(|row| row.get(0)).collect();
    let taken = taken.lock().expect("a list").clone();
    assert!(taken.is_subset(&stored), "{} answered orders are lost", taken.difference(&stored).count());
    let unanswered = stored.len() - taken.len();
    assert!(unanswered <= CLIENTS, "{unanswered} orders were taken of which {CLIENTS} clients got no answer");
    shop.assert_books_agree().await;
}
