//! Stock keeping: cancellations, decisions in words, pauses, the sweep, the audit.

use jaego_contracts::ids::{ReceiptId, RequestId};
use jaego_service::rebuild::rebuild_figures;
use jaego_settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::harness::{SOON, Shop, one, policy, settings};
use crate::messages::{publish, received_of};

fn with(key: &str, value: Value) -> Value {
    let mut policy = policy();
    policy[key] = value;
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_gives_its_units_back_once_and_to_the_oldest_first() {
    let shop = Shop::open().await;
    let mut waits = with("shortage", json!("backorder"));
    waits["mode"] = json!("off");
    shop.product("CP-1", 4, waits).await;
    let sold = shop.order(one("CP-1", 4)).await;
    let first = shop.order(one("CP-1", 3)).await;
    let second = shop.order(one("CP-1", 3)).await;
    assert_eq!((sold.status.as_u16(), first.status.as_u16(), second.status.as_u16()), (201, 202, 202));
    assert_eq!(shop.figures("CP-1").await, (0, 6, 0));
    let path =
        |answer: &crate::harness::Response| format!("/api/v1/orders/{}", answer.body["id"].as_str().expect("id"));
    for _ in 0..3 {
        let cancelled = shop.operate(Method::POST, &format!("{}/cancel", path(&sold)), json!({})).await;
        assert_eq!((cancelled.status.as_u16(), &cancelled.body["status"]), (200, &json!("cancelled")), "{cancelled:?}");
    }
    assert_eq!(shop.get(&path(&first)).await.body["status"], "confirmed");
    let waiting = shop.get(&path(&second)).await;
    assert_eq!((&waiting.body["status"], &waiting.body["lines"][0]["filled"]), (&json!("backordered"), &json!(1)));
    assert_eq!(shop.figures("CP-1").await, (0, 2, 0));
    shop.operate(Method::POST, &format!("{}/cancel", path(&second)), json!({})).await;
    assert_eq!(shop.figures("CP-1").await, (1, 0, 0), "its one unit is free, nobody waits");
    shop.assert_books_agree().await;

    let refused = shop.order(json!({"lines": [{"sku": "CP-1", "quantity": 9}], "on_shortage": "reject"})).await;
    let path = format!("/api/v1/orders/{}/cancel", refused.body["order_id"].as_str().expect("id"));
    assert_eq!(shop.operate(Method::POST, &path, json!({})).await.status, 409);
    let listed = shop.get("/api/v1/orders?status=rejected&sku=CP-1").await;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(1), "a refused order is demand");
    let log = shop.get("/api/v1/audit-log?limit=200").await;
    let actions: Vec<_> = log.body["items"].as_array().expect("items").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions.iter().filter(|action| **action == "order.cancel").count(), 2, "{actions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_is_explained_and_a_snooze_pauses_it() {
    let shop = Shop::open().await;
    let mut policy = with("reorder_point", json!(5));
    policy["order_up_to"] = json!(12);
    shop.product("CP-1", 6, policy).await;
    let path = "/api/v1/stock/CP-1/replenishment-decision";
    let above = shop.get(path).await;
    assert_eq!((&above.body["answer"], &above.body["quantity"]), (&json!("none"), &json!(0)), "{above:?}");
    let snooze = |until: &str| {
        let body = json!({"until": until, "reason": "season is over"});
        let shop = &shop;
        async move { shop.operate(Method::POST, "/api/v1/stock/CP-1/snooze", body).await.status }
    };
    assert_eq!(snooze("2020-01-01T00:00:00Z").await, 422, "in the past");
    assert_eq!(snooze("2100-01-01T00:00:00Z").await, 204);
    assert_eq!(shop.order(one("CP-1", 4)).await.status, 201);
    assert_eq!(shop.figures("CP-1").await, (2, 0, 0), "held back");
    let held = shop.get(path).await;
    assert_eq!(held.body["answer"], "none");
    assert_eq!(held.body["inputs"]["paused_until"], "2100-01-01T00:00:00Z");
    let words = "position 2 = 2 on hand + 0 on order - 0 backordered, at or below 5: order 10 (1 lot of 10) to reach at least 12";
    assert!(held.body["explanation"].as_str().is_some_and(|text| text.starts_with(words)), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_orders_after_a_pause() {
    let shop = Shop::open_with(&[("JAEGO_SALES__REPLENISHMENT__SWEEP_EVERY_S", "1")]).await;
    shop.product("CP-1", 1, policy()).await;
    let body = json!({"until": "2100-01-01T00:00:00Z", "reason": "season is over"});
    assert_eq!(shop.operate(Method::POST, "/api/v1/stock/CP-1/snooze", body).await.status, 204);
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    assert_eq!(shop.figures("CP-1").await, (0, 0, 0));
    shop.database.execute("UPDATE stock SET snoozed_until = now()", &[]).await.expect("the pause is over");
    wait_until("the sweep", SOON, || async {
        let figures = shop.figures("CP-1").await;
        if figures == (0, 0, 10) { Ok(()) } else { Err(figures) }
    })
    .await;
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_a_row_that_someone_changed_by_hand() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5, policy()).await;
    shop.order(one("CP-1", 2)).await;
    let audit = shop.get("/api/v1/audit").await;
    assert_eq!(audit.body["ok"], true, "{audit:?}");
    let totals = &audit.body["totals"][0];
    assert_eq!((&totals["on_hand"], &totals["sold"], &totals["adjusted"]), (&json!(3), &json!(2), &json!(5)));
    let broken = async || {
        let audit = shop.get("/api/v1/audit").await.body;
        let checks = audit["checks"].as_array().expect("checks").iter().filter(|check| check["ok"] == false).cloned();
        let broken: Vec<Value> = checks.collect();
        assert_eq!(audit["ok"], broken.is_empty());
        broken
    };
    // A manual change, the rule that detects it, and the statement that undoes it.
    let receipt = received_of("CP-1", ReceiptId::generate(), RequestId::generate(), 4);
    publish(&shop, "stock.received", &receipt).await;
    wait_until("goods", SOON, async || (shop.figures("CP-1").await.0 == 7).then_some(())).await;
    shop.operate(Method::POST, "/api/v1/replenishments", json!({"sku": "CP-1", "quantity": 4})).await;
    let by_hand = [
        ("UPDATE stock SET on_hand = on_hand + 1", "ledger-adds-up", "UPDATE stock SET on_hand = on_hand - 1"),
        ("UPDATE stock SET on_order = 7", "on-order-is-in-replenishments", "UPDATE stock SET on_order = 4"),
        ("UPDATE order_lines SET filled = 1", "sold-is-in-orders", "UPDATE order_lines SET filled = 2"),
        ("UPDATE orders SET status = 'cancelled'", "order-status-fits-lines", "UPDATE orders SET status = 'confirmed'"),
        (
            "UPDATE receipts_applied SET receipt_id = '00000000-0000-7000-8000-000000000001'",
            "each-receipt-is-in-the-ledger",
            "UPDATE receipts_applied SET receipt_id = m.reference::uuid FROM stock_movements m WHERE m.cause = 'receipt'",
        ),
        ("UPDATE replenishments SET received = 1", "received-is-in-receipts", "UPDATE replenishments SET received = 0"),
        (
            "UPDATE replenishments SET status = 'complete'",
            "replenishment-status-fits-received",
            "UPDATE replenishments SET status = 'open'",
        ),
        (
            "INSERT INTO replenishments (id, sku, factory_id, quantity, status, reason, explanation, traceparent, \
             position_before, on_order_before, ordered_at, created_at, updated_at) \
             VALUES (gen_random_uuid(), 'CP-1', 'FF-1', 4, 'open', 'shortage', '', '', 0, 0, now(), now(), now())",
            "one-shortfall-is-answered-once",
            "DELETE FROM replenishments WHERE reason = 'shortage'",
        ),
        (
            "UPDATE stock_movements SET before = before + 1, after = after + 1 WHERE cause = 'sale'",
            "ledger-chains",
            "UPDATE stock_movements SET before = before - 1, after = after - 1 WHERE cause = 'sale'",
        ),
        ("DELETE FROM stock_movements WHERE cause = 'correction'", "ledger-adds-up", ""),
    ];
    for (change, rule, undo) in by_hand {
        assert_eq!(broken().await, Vec::<Value>::new(), "before {change}");
        shop.database.batch_execute(change).await.expect("changed by hand");
        let broken = broken().await;
        let found = broken.iter().find(|check| check["name"] == rule);
        let detail = found.unwrap_or_else(|| panic!("{change} is not found: {broken:?}"))["detail"].as_str();
        assert!(detail.is_some_and(|text| text.contains("CP-1") || text.contains("order ")), "{broken:?}");
        shop.database.batch_execute(undo).await.expect("undone");
    }
    assert_eq!(shop.metric("jaego_audit_broken_rules", r#"rule="ledger-adds-up""#).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_someone_changed_by_hand_are_rebuilt_from_the_ledger() {
    let shop = Shop::open().await;
    let waits = with("shortage", json!("backorder"));
    shop.product("CP-1", 5, policy()).await;
    shop.product("CP-2", 1, waits).await;
    shop.order(one("CP-1", 2)).await;
    shop.order(one("CP-2", 4)).await;
    let figures = async || {
        let stock = shop.get("/api/v1/stock").await;
        let items = stock.body["items"].as_array().expect("items").clone();
        items.into_iter().map(|item| ["on_hand", "backordered", "on_order"].map(|name| item[name].clone())).collect()
    };
    let rebuild = async |is_write| {
        let settings = settings(&shop);
        let books = sales_service::app::IDENTITY.books;
        rebuild_figures(&settings.common().database, &books, is_write).await.expect("rebuilt")
    };
    let before: Vec<_> = figures().await;
    assert!(before[1][1] == 3 && before[1][2] != 0, "one waits, some are on order: {before:?}");
    assert!(rebuild(false).await.iter().all(|figure| figure.violations.is_empty()));

    let by_hand = "UPDATE stock SET on_order = on_order + 4; \
        UPDATE stock SET on_hand = on_hand + 2 WHERE sku = 'CP-1'; \
        UPDATE stock SET backordered = backordered + 1 WHERE sku = 'CP-2'";
    shop.database.batch_execute(by_hand).await.expect("changed by hand");
    for is_write in [false, true] {
        let compared = rebuild(is_write).await;
        let repaired = |count| if is_write { count } else { 0 };
        let off: Vec<_> = compared.iter().map(|figure| (figure.violations.len(), figure.repaired)).collect();
        // A repair for one rule repairs all three figures.
        assert_eq!(off, [(1, repaired(1)), (1, repaired(1)), (2, repaired(2))], "{compared:?}");
        assert!(compared[0].to_string().contains("CP-1: on hand is 5, the ledger says 3 (2 off)"), "{}", compared[0]);
        assert_eq!(figures().await == before, is_write);
    }
    assert!(rebuild(true).await.iter().all(|figure| figure.violations.is_empty()));
    assert_eq!(shop.count("SELECT count(*) FROM audit_log WHERE action = 'figures.rebuild'").await, 3);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_said_to_be_gone_while_they_are_there_are_found_again() {
    let shop = Shop::open().await;
    shop.product("CP-1", 5, policy()).await;
    let settings = settings(&shop);
    // Either figure alone would contradict the other, so both are set at once.
    shop.database.batch_execute("UPDATE stock SET on_hand = 0, backordered = 3").await.expect("changed by hand");
    let books = sales_service::app::IDENTITY.books;
    rebuild_figures(&settings.common().database, &books, true).await.expect("rebuilt");
    assert_eq!(shop.figures("CP-1").await, (5, 0, 0));
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_two_cancel_at_once_is_cancelled_for_both() {
    let shop = Shop::open().await;
    shop.product("CP-1", 50, policy()).await;
    for _ in 0..10 {
        let sold = shop.order(one("CP-1", 4)).await;
        let path = format!("/api/v1/orders/{}/cancel", sold.body["id"].as_str().expect("an id"));
        let cancels = (0..4).map(|_| shop.operate(Method::POST, &path, json!({})));
        for answer in futures::future::join_all(cancels).await {
            assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("cancelled")), "{answer:?}");
            assert_eq!(answer.body["lines"][0]["filled"], 0);
        }
    }
    assert_eq!(shop.figures("CP-1").await.0, 50);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_refused_orders_are_pruned_and_their_answers_survive() {
    let mut shop = Shop::open_with(&[("JAEGO_SALES__RETENTION__REFUSED_ORDERS_DAYS", "5")]).await;
    shop.product("CP-1", 1, policy()).await;
    let sold = shop.order(one("CP-1", 1)).await;
    let refused = shop.order_with_key("key-1", one("CP-1", 1)).await;
    let without_key = shop.order(one("CP-1", 1)).await;
    let statuses = [&sold, &refused, &without_key].map(|answer| answer.status.as_u16());
    assert_eq!(statuses, [201, 409, 409]);
    let age = async |shop: &mut Shop, days: i32, left: i64| {
        shop.stop().await;
        let aged = "UPDATE orders SET created_at = now() - make_interval(days => $1)";
        shop.database.execute(aged, &[&days]).await.expect("aged");
        shop.start().await;
        shop.wait_for_count("SELECT count(*) FROM orders", left).await;
    };
    age(&mut shop, 10, 2).await;
    let again = shop.order_with_key("key-1", one("CP-1", 1)).await;
    assert!(again.replayed() && again.body["order_id"] == refused.body["order_id"], "{again:?}");
    age(&mut shop, 61, 1).await;
    assert_eq!(shop.count("SELECT count(*) FROM orders WHERE status = 'confirmed'").await, 1);
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_comes_as_a_table() {
    let shop = Shop::open().await;
    shop.product("CP-1", 2000, policy()).await;
    let orders = (0..1100).map(|_| shop.order(one("CP-1", 1)));
    assert!(futures::future::join_all(orders).await.iter().all(|answer| answer.status == 201));
    let body = json!({"delta": -1, "reason": "damage", "note": "=선반 4, \"wet\""});
    assert_eq!(shop.operate(Method::POST, "/api/v1/products/CP-1/adjustments", body).await.status, 201);
    let bearer = crate::harness::bearer();
    let headers = [("Authorization", bearer.as_str()), ("Accept", "text/csv")];
    let table = shop.send(Method::GET, "/api/v1/stock/CP-1/movements", &headers, None).await;
    assert_eq!(table.content_type(), "text/csv; charset=utf-8");
    let text = table.body.as_str().expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 1102, "a head, the opening stock, every sale, the damage");
    assert_eq!(lines[0], "id,sku,cause,delta,before,after,reference,actor,note,at");
    assert!(lines[1].contains(",damage,-1,900,899,") && lines[1].contains(r#""'=선반 4, ""wet""""#), "{}", lines[1]);
    assert!(lines[1102].contains(",correction,2000,0,2000,"));
    shop.product("CP-2", 0, policy()).await;
    let empty = shop.send(Method::GET, "/api/v1/stock/CP-2/movements", &headers, None).await;
    assert_eq!(empty.body, format!("{}\n", lines[0]), "a head even so");
    let prefers_json = [("Authorization", bearer.as_str()), ("Accept", "text/csv;q=0.5, application/json")];
    let page = shop.send(Method::GET, "/api/v1/stock/CP-1/movements", &prefers_json, None).await;
    assert_eq!(page.content_type(), "application/json");
}
