//! The periodic audit continues from the last proven entry, and runs on one replica at a time.

use std::time::Duration;

use testkit::wait_until;

use crate::harness::{SOON, Shop, one, order_at, policy};

const EACH_SECOND: (&str, &str) = ("JAEGO_SALES__AUDIT__EVERY_S", "1");

/// Returns whether a rule is reported as violated. None before its first check.
async fn is_broken(shop: &Shop, rule: &str) -> Option<bool> {
    let value: u64 = shop.metric("jaego_audit_broken_rules", &format!("rule=\"{rule}\"")).await?;
    Some(value > 0)
}

/// Waits until an increment has proven the whole ledger.
async fn wait_until_proven(shop: &Shop) {
    let unproven = "SELECT count(*) FROM stock_movements m LEFT JOIN audited a ON a.sku = m.sku \
                    WHERE m.entry > coalesce(a.entry, 0)";
    shop.wait_for_count(unproven, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_read_new_entries_and_a_full_check_reads_everything() {
    if !testkit::is_alone("audit::increments_read_new_entries_and_a_full_check_reads_everything").await {
        return;
    }
    let shop = Shop::open_with(&[EACH_SECOND]).await;
    for sku in ["OLD", "NEW"] {
        shop.product(sku, 10, policy()).await;
        assert_eq!(shop.order(one(sku, 1)).await.status, 201);
    }
    wait_until_proven(&shop).await;
    // Changes a row that was already proven; only a full check reads it again.
    let spoil =
        "UPDATE stock_movements SET before = before + 1, after = after + 1 WHERE sku = 'OLD' AND cause = 'sale'";
    shop.database.execute(spoil, &[]).await.expect("spoilt");
    assert_eq!(shop.order(one("OLD", 1)).await.status, 201);
    wait_until_proven(&shop).await;
    assert_eq!(is_broken(&shop, "ledger-chains").await, Some(false));
    let full = shop.get("/api/v1/audit").await;
    let chains = full.body["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "ledger-chains");
    assert_eq!(chains.expect("the rule")["ok"], false, "{full:?}");

    // An increment reads new data, and finds a figure that no ledger entry explains.
    assert_eq!(shop.order(one("NEW", 1)).await.status, 201);
    shop.database.execute("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'NEW'", &[]).await.expect("spoilt");
    wait_until("the alarm", SOON, || async { (is_broken(&shop, "ledger-adds-up").await == Some(true)).then_some(()) })
        .await;
    // Nothing is marked as proven while a rule is violated.
    let unproven = "SELECT count(*) FROM stock_movements m JOIN audited a ON a.sku = m.sku WHERE m.entry > a.entry";
    assert_eq!(shop.count(unproven).await, 1);
    shop.database.execute("UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'NEW'", &[]).await.expect("put right");
    wait_until_proven(&shop).await;
    assert_eq!(is_broken(&shop, "ledger-adds-up").await, Some(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_at_a_time_checks_the_books() {
    let shop = Shop::open_with(&[("JAEGO_SALES__AUDIT__EVERY_S", "3600")]).await;
    let taken = "SELECT count(*) FROM audit_turns WHERE next_at > now() AND full_at IS NOT NULL";
    shop.wait_for_count(taken, 1).await;
    let full_at = "SELECT extract(epoch FROM full_at)::bigint FROM audit_turns";
    let first = shop.count(full_at).await;
    let second = shop.replica().await;
    let ready = async || order_at(&second, one("NONE", 1)).await.status == 422;
    tokio::time::timeout(Duration::from_secs(60), async { while !ready().await {} }).await.expect("it is at work");
    assert_eq!(shop.count(full_at).await, first, "the second has found the turn taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violation_that_only_a_full_check_finds_is_reported_until_it_is_corrected() {
    if !testkit::is_alone("audit::a_violation_that_only_a_full_check_finds_is_reported_until_it_is_corrected").await {
        return;
    }
    let mut shop = Shop::open_with(&[EACH_SECOND]).await;
    shop.product("CP-1", 10, policy()).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    shop.stop().await;
    let spoil = "UPDATE order_lines SET quantity = 2, filled = 2; UPDATE audit_turns SET full_at = NULL";
    shop.database.batch_execute(spoil).await.expect("spoilt");
    shop.start().await;
    let rule = "sold-is-in-orders";
    wait_until("the alarm", SOON, || async { (is_broken(&shop, rule).await == Some(true)).then_some(()) }).await;
    shop.database.execute("UPDATE order_lines SET quantity = 1, filled = 1", &[]).await.expect("repaired");
    wait_until("the end of the alarm", SOON, || async { (is_broken(&shop, rule).await == Some(false)).then_some(()) })
        .await;
}
