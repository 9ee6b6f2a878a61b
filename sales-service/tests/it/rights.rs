//! Rights of the service's role in its database.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Url;
use sales_service::app;
use testkit::Lab;
use testkit::harness::connect;
use testkit::provision::create_database;
use tokio_postgres::error::SqlState;

use crate::harness::{Shop, one, policy};

const APPEND_ONLY: [&str; 3] = ["audit_log", "receipts_applied", "stock_movements"];

// Control: least-rights.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_taken_over_changes_neither_its_schema_nor_its_books() {
    Shop::open().await.may_only_do_its_work(&APPEND_ONLY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_that_run_at_once_take_turns_and_leave_the_same_rights() {
    let lab = Lab::acquire().await;
    let database = lab.database("sales").await;
    let migrate = || {
        let migrator = database.migrator();
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(jaego_pg::migrate(&migrator, (app::IDENTITY.migrations)())).expect("migrated").len()
        })
    };
    let (one, other) = tokio::join!(migrate(), migrate());
    let applied = [one.expect("ended"), other.expect("ended")];
    assert!(applied.contains(&0) && applied.iter().sum::<usize>() > 0, "{applied:?}");
    let service = connect(&database.url).await;
    service.batch_execute("SELECT FROM orders; SELECT FROM outbox FOR UPDATE").await.expect("its work");
    let refused = service.batch_execute("DELETE FROM audit_log").await.expect_err("its books");
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused:?}");
}

// Control: no-excess-rights.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_the_service_has_in_another_way_are_taken_away_or_named() {
    let shop = Shop::open().await;
    let (name, migrator) = (&shop.own.database.name, shop.own.database.migrator());
    let migrate = async || {
        let ended = jaego_pg::migrate(&migrator, (app::IDENTITY.migrations)()).await;
        ended.map_err(|error| error.to_string())
    };
    let by_hand = async |sql: &str| {
        shop.database.batch_execute(&sql.replace("{role}", name)).await.expect(sql);
    };
    // The migrations take away what the owner can.
    by_hand("GRANT ALL ON audit_log TO PUBLIC; GRANT UPDATE (note) ON stock_movements TO \"{role}\"").await;
    assert_eq!(migrate().await, Ok(Vec::new()));
    // A table that is added with the owner's login does not become the service's.
    connect(&shop.own.database.owner_url).await.batch_execute("CREATE TABLE copied (id bigint)").await.expect("added");
    let refused =
        connect(&shop.own.database.url).await.batch_execute("SELECT FROM copied").await.expect_err("not its own");
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused:?}");
    by_hand("DROP TABLE copied").await;
    shop.may_only_do_its_work(&APPEND_ONLY).await;

    for (given, taken, sentence) in [
        ("GRANT \"{role}_owner\" TO \"{role}\"", "REVOKE \"{role}_owner\" FROM \"{role}\"", "it may act as "),
        (
            "GRANT pg_write_all_data TO \"{role}\"",
            "REVOKE pg_write_all_data FROM \"{role}\"",
            "it may change audit_log",
        ),
        ("ALTER ROLE \"{role}\" SUPERUSER", "ALTER ROLE \"{role}\" NOSUPERUSER", "it may add to the schema"),
        (
            "ALTER TABLE stock_movements OWNER TO \"{role}\"",
            "ALTER TABLE stock_movements OWNER TO \"{role}_owner\"",
            "it may change stock_movements",
        ),
    ] {
        by_hand(given).await;
        let refused = migrate().await.expect_err(given);
        assert!(refused.contains("has more rights than a service needs") && refused.contains(sentence), "{refused}");
        by_hand(taken).await;
        assert_eq!(migrate().await, Ok(Vec::new()), "{taken}");
    }
    shop.may_only_do_its_work(&APPEND_ONLY).await;
}

// Control: handed-over.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_the_service_has_owned_get_another_owner_while_it_works() {
    let shop = Shop::open().await;
    shop.product("KEPT", 1_000_000, policy()).await;
    let (name, own) = (&shop.own.database.name, &shop.own.database.url);
    // As releases before left it: the service's role owns everything.
    let before = format!(
        "REASSIGN OWNED BY \"{name}_owner\" TO \"{name}\"; DROP OWNED BY \"{name}_owner\"; DROP ROLE \"{name}_owner\""
    );
    shop.database.batch_execute(&before).await.expect("the layout before");
    let owns = format!("SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = '{name}' AND relkind = 'r'");
    assert!(shop.count(&owns).await > 10);
    let harmful = "BEGIN; TRUNCATE audit_log; UPDATE stock_movements SET note = 'forged'; DROP TABLE orders; ROLLBACK";
    connect(own).await.batch_execute(harmful).await.expect("its owner may do everything");

    let is_over = AtomicBool::new(false);
    let sell = async {
        while !is_over.load(Ordering::Relaxed) {
            let order = shop.order(one("KEPT", 1)).await;
            assert_eq!(order.status, 201, "{order:?}");
        }
    };
    let hand_over = async {
        let reader = shop.as_admin().await;
        reader.batch_execute("BEGIN; SELECT count(*) FROM order_lines").await.expect("held");
        let password = Url::parse(own).expect("a URL").password().expect("a password").to_owned();
        let (admin_url, name) = (shop.surroundings.lab.postgres_admin_url().to_owned(), name.clone());
        let applying =
            tokio::spawn(async move { create_database(&admin_url, &name, &name, &password, "another").await });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jaego-provision' \
            AND wait_event_type = 'Lock' AND datname = current_database()";
        // Twice, because it steps back for those who wait behind it, and tries again.
        for _ in 0..2 {
            shop.wait_for_count(waits, 1).await;
            shop.wait_for_count(waits, 0).await;
        }
        assert!(!applying.is_finished(), "the table is held");
        reader.batch_execute("ROLLBACK").await.expect("released");
        let urls = applying.await.expect("ended").expect("handed over");
        assert_eq!(&urls.url, own);
        let applied = jaego_pg::migrate(&urls.migrator(), (app::IDENTITY.migrations)()).await.expect("migrated");
        assert_eq!(applied, [""; 0]);
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(sell, hand_over);
    assert_eq!(shop.count(&owns).await, 0);
    shop.may_only_do_its_work(&APPEND_ONLY).await;
    shop.product("NEW", 5, policy()).await;
    let order = shop.order(one("NEW", 5)).await;
    assert_eq!(order.status, 201, "{order:?}");
    let audit = shop.get("/api/v1/audit").await;
    assert_eq!(audit.body["ok"], true, "{audit:?}");
}
