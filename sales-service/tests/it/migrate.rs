//! `sales-service migrate` while its database is still being created.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diesel_migrations::FileBasedMigrations;
use jaego_pg::Migrations;
use testkit::Lab;
use testkit::harness::connect;
use testkit::provision::{create_database, drop_database, url_of};
use tokio_postgres::error::SqlState;

use crate::harness::{Shop, one, policy};

fn migrate(url_file: &std::path::Path, wait_s: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sales-service"));
    command.args(["migrate", "--wait-s", wait_s]);
    command.env("JAEGO_SALES__DATABASE__URL_FILE", url_file).env("JAEGO_SALES__AMQP__URL", "amqp://localhost");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_its_database_and_logs_it() {
    let lab = Lab::acquire().await;
    let name = format!("t_wait_{}", std::process::id());
    let folder = tempfile::tempdir().expect("a folder");
    let [url_file, owner_url_file] =
        [(&name, "a-secret"), (&format!("{name}_owner"), "another")].map(|(role, password)| {
            let url = url_of(lab.postgres_admin_url(), &name, Some((role, password))).expect("a URL");
            let file = folder.path().join(role);
            std::fs::write(&file, format!("{url}?sslmode=disable\n")).expect("written");
            file
        });

    let mut command = migrate(&url_file, "120");
    command.env("JAEGO_SALES__DATABASE__OWNER_URL_FILE", owner_url_file);
    let mut process = command.spawn().expect("started");
    let mut lines = BufReader::new(process.stdout.take().expect("its log")).lines().map_while(Result::ok);
    let line = lines.next().expect("a line");
    assert!(line.contains("waiting for the database") && line.contains("authentication failed"), "{line}");
    create_database(lab.postgres_admin_url(), &name, &name, "a-secret", "another").await.expect("made");
    let log: Vec<String> = lines.collect();
    assert!(process.wait().expect("ended").success(), "{log:?}");
    assert!(log.last().is_some_and(|line| line.contains("schema is up to date")), "{log:?}");
    assert!(!log.join("\n").contains("a-secret") && !line.contains("a-secret"));
    drop_database(lab.postgres_admin_url(), &name, &name).await.expect("dropped");
}

#[test]
fn it_ends_when_time_is_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let url_file = folder.path().join("url");
    std::fs::write(&url_file, "postgres://role:a-secret@127.0.0.1:1/x?sslmode=disable").expect("written");
    let begun = Instant::now();
    let ended = migrate(&url_file, "1").output().expect("it runs");
    assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(log.matches("waiting for the database").count(), 1, "{log}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("Connection refused"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_table_does_not_block_its_users() {
    let shop = Shop::open().await;
    shop.product("MIGRATED", 1_000, policy()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, up: &str| {
        let migration = folder.path().join(name);
        std::fs::create_dir(&migration).expect("made");
        std::fs::write(migration.join("up.sql"), up).expect("written");
        std::fs::write(migration.join("down.sql"), "").expect("written");
    };
    // The service, which does not know this table, writes to it at once.
    let noted = "CREATE TABLE noted (id bigint); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN INSERT INTO noted VALUES (NEW.id); RETURN NULL; END $$; \
        CREATE TRIGGER note AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION note()";
    write("9998-01-01-000000_noted", noted);
    write("9999-01-01-000000_wide", "ALTER TABLE outbox ADD COLUMN extra integer");
    let steps = FileBasedMigrations::from_path(folder.path()).expect("found");
    let own = Migrations { steps, append_only: "# The newest.\n noted \n" };

    let reader = shop.as_admin().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM outbox").await.expect("held");
    let migrator = shop.own.database.migrator();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let migrating = std::thread::spawn(move || runtime.block_on(jaego_pg::migrate(&migrator, own)));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jaego-migrate' \
        AND wait_event_type = 'Lock' AND datname = current_database()";
    // Checked twice, because the migration backs off and tries again.
    for _ in 0..2 {
        shop.wait_for_count(waits, 1).await;
        let order = shop.order(one("MIGRATED", 1)).await;
        assert_eq!(order.status, 201, "{order:?}");
    }
    assert!(!migrating.is_finished(), "the table is held");
    reader.batch_execute("ROLLBACK").await.expect("released");
    assert_eq!(migrating.join().expect("ended").expect("migrated"), ["99980101000000", "99990101000000"]);
    let order = shop.order(one("MIGRATED", 1)).await;
    assert_eq!(order.status, 201, "{order:?}");
    assert!(shop.count("SELECT count(*) FROM noted").await >= 3);
    let service = connect(&shop.own.database.url).await;
    let refused = service.batch_execute("DELETE FROM noted").await.expect_err("the table is only added to");
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused:?}");
}

// Control: rights-after-failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_the_service_no_rights_that_it_does_not_need() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    for (name, up) in [("9998-01-01-000000_noted", "CREATE TABLE noted (id bigint)"), ("9999-01-01-000000_bad", "bad")]
    {
        let migration = folder.path().join(name);
        std::fs::create_dir(&migration).expect("made");
        std::fs::write(migration.join("up.sql"), up).expect("written");
        std::fs::write(migration.join("down.sql"), "").expect("written");
    }
    let steps = FileBasedMigrations::from_path(folder.path()).expect("found");
    let own = Migrations { steps, append_only: "noted" };
    let failed = jaego_pg::migrate(&shop.own.database.migrator(), own).await.expect_err("bad").to_string();
    assert!(failed.contains("syntax error"), "{failed}");
    let service = connect(&shop.own.database.url).await;
    service.batch_execute("INSERT INTO noted VALUES (1)").await.expect("its work");
    let refused = service.batch_execute("DELETE FROM noted").await.expect_err("the table is only added to");
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused:?}");
}
