//! The hand-written tables match the migrated database, and `down` undoes `up`.

use crate::harness::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_in_code_are_the_tables_in_the_database() {
    let shop = Shop::open().await;
    let schema = include_str!("../../src/store/schema.rs");
    let differences = testkit::tidy::schema_differences(&shop.own.database.admin_url, schema).await;
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn down_undoes_up() {
    let mut shop = Shop::open().await;
    shop.stop().await;
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert!(shop.count(tables).await > 10);
    let snooze = include_str!("../../migrations/2026-11-22-000002_snooze/down.sql");
    let own = include_str!("../../migrations/2026-11-22-000001_sales/down.sql");
    let messaging = include_str!("../../../shared/migrations/0001-01-01-000000_messaging/down.sql");
    let facts = include_str!("../../migrations/2026-11-22-000003_replenishment_facts/down.sql");
    let dead_letters = include_str!("../../../shared/migrations/0001-01-02-000000_dead_letters/down.sql");
    let parked_once = include_str!("../../../shared/migrations/0001-01-03-000000_parked_once/down.sql");
    let open_letters = include_str!("../../../shared/migrations/0001-01-04-000000_open_letters/down.sql");
    let installation = include_str!("../../../shared/migrations/0001-01-05-000000_installation/down.sql");
    let unchecked = include_str!("../../migrations/2026-11-28-000001_no_row_by_row_checks/down.sql");
    let claims = include_str!("../../../shared/migrations/0001-01-06-000000_outbox_claims/down.sql");
    let timeline = include_str!("../../migrations/2026-11-28-000003_timeline/down.sql");
    let looked_up = include_str!("../../../shared/migrations/0001-01-07-000000_timeline/down.sql");
    let known = include_str!("../../migrations/2026-11-28-000004_known_shelves/down.sql");
    let refused = include_str!("../../migrations/2026-11-28-000002_old_refused_orders/down.sql");
    let at_home = include_str!("../../../shared/migrations/0001-01-12-000000_letters_at_home/down.sql");
    let slices = include_str!("../../../shared/migrations/0001-01-13-000000_redrive_slices/down.sql");
    let lease = include_str!("../../../shared/migrations/0001-01-11-000000_relay_lease/down.sql");
    let audit_turns = include_str!("../../../shared/migrations/0001-01-10-000000_audit_turns/down.sql");
    let audited = include_str!("../../migrations/2026-11-30-000005_audited/down.sql");
    let heard = include_str!("../../migrations/2026-11-30-000006_heard/down.sql");
    let heartbeat = include_str!("../../../shared/migrations/0001-01-09-000000_heartbeat/down.sql");
    let by_id = include_str!("../../../shared/migrations/0001-01-08-000000_outbox_by_id/down.sql");
    let versions = include_str!("../../migrations/2026-11-30-000001_versions/down.sql");
    let limits = include_str!("../../migrations/2026-11-30-000002_order_limits/down.sql");
    let keys = include_str!("../../migrations/2026-11-30-000003_order_keys/down.sql");
    let lines = include_str!("../../migrations/2026-11-30-000004_order_lines_key/down.sql");
    for down in [
        heard,
        audited,
        lines,
        keys,
        limits,
        versions,
        known,
        timeline,
        refused,
        unchecked,
        facts,
        snooze,
        own,
        slices,
        at_home,
        lease,
        audit_turns,
        heartbeat,
        by_id,
        looked_up,
        claims,
        installation,
        open_letters,
        parked_once,
        dead_letters,
        messaging,
    ] {
        shop.database.batch_execute(down).await.expect("undone");
    }
    assert_eq!(shop.count(tables).await, 1, "only diesel's own list of migrations is left");
}
