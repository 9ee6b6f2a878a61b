//! The shared servers: the same for all processes, and stopped when unused.

use std::{env, fs, path::Path, process::Command, time::Duration};

use jaego_contracts::topology::{Permissions, TopicRights};
use serde_json::json;
use testkit::harness::connect;
use testkit::{Lab, process, wait_until};

const ANSWER_FILE: &str = "TESTKIT_ANSWER_FILE";

#[tokio::test]
async fn every_test_has_its_own_database_and_vhost() {
    let lab = Lab::acquire().await;
    let (one, two) = (lab.database("sales").await, lab.database("sales").await);
    assert_ne!(one.name, two.name);
    let client = connect(&one.owner_url).await;
    client.batch_execute("CREATE TABLE mine (v INT)").await.unwrap();

    let vhost = lab.vhost().await;
    let queue = json!({"queues": [{"name": "q", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}}]});
    vhost.import(&queue).await.unwrap();
    let rights = Permissions {
        configure: String::new(),
        write: String::new(),
        read: "^q$".to_owned(),
        topics: vec![TopicRights::publish("amq.topic", "^a$".to_owned())],
    };
    let url = vhost.user("reader", &rights).await.unwrap();
    vhost.broker().publish(&vhost.name, "amq.default", "q", &json!({}), b"hello").await.unwrap();
    wait_until("the message", Duration::from_secs(120), || async {
        match vhost.depth("q").await {
            Ok(1) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(testkit::provision::amqp_purge(&url, "q").await.unwrap(), 1);
    let other = lab.vhost().await;
    assert!(testkit::provision::amqp_depth(&url.replace(&vhost.name, &other.name), "q").await.is_err());

    // A connection is listed a moment after it was opened.
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    wait_until("one connection to cut", Duration::from_secs(120), || async {
        vhost.broker().close_connections(&vhost.name).await.is_ok_and(|cut| cut > 0).then_some(())
    })
    .await;
    wait_until("the cut", Duration::from_secs(120), || async { (!connection.status().connected()).then_some(()) })
        .await;

    let name = one.name.clone();
    drop(one);
    let client = connect(lab.postgres_admin_url()).await;
    let left = client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
    assert!(left.is_empty(), "a test's database goes with it");
}

#[tokio::test]
async fn all_processes_of_a_checkout_share_the_servers() {
    let lab = Lab::acquire().await;
    let root = tempfile::tempdir().unwrap();
    let answer = root.path().join("answer");
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "lab::servers_are_shared_with_another_process", "--ignored"])
        .env(ANSWER_FILE, &answer)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_to_string(answer).unwrap(), describe(&lab));
}

#[tokio::test]
#[ignore = "the second process of all_processes_of_a_checkout_share_the_servers"]
async fn servers_are_shared_with_another_process() {
    if let Some(answer) = env::var_os(ANSWER_FILE) {
        fs::write(answer, describe(&Lab::acquire().await)).unwrap();
    }
}

fn describe(lab: &Lab) -> String {
    format!("{} {}", lab.postgres_admin_url(), lab.amqp_admin_url("x"))
}

#[tokio::test]
async fn servers_without_users_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lab");
    let pause = Duration::from_millis(300);
    let lab = Lab::acquire_in(&dir, pause).await.unwrap();
    let again = Lab::acquire_in(&dir, pause).await.unwrap();
    assert_eq!(describe(&lab), describe(&again));
    let records: Vec<_> = ["watchdog.pid", "postgres/server.pid", "rabbitmq/server.pid", "rabbitmq/epmd.pid"]
        .map(|name| dir.join(name))
        .into_iter()
        .map(|record| keep_copy(&record))
        .collect();
    assert!(records.iter().all(|record| process::is_running(record)));
    drop(again);
    assert!(records.iter().all(|record| process::is_running(record)));

    // After one of them dies, the next process gets new ones.
    process::stop_recorded(&dir.join("rabbitmq/epmd.pid"), Duration::from_secs(5)).await.unwrap();
    process::stop_recorded(&dir.join("rabbitmq/server.pid"), Duration::from_secs(40)).await.unwrap();
    let fresh = Lab::acquire_in(&dir, pause).await.unwrap();
    assert_ne!(describe(&lab), describe(&fresh));
    assert!(records.iter().all(|record| !process::is_running(record)), "the old ones are gone");

    let records: Vec<_> = ["watchdog.pid", "postgres/server.pid", "rabbitmq/server.pid", "rabbitmq/epmd.pid"]
        .map(|name| keep_copy(&dir.join(name)))
        .into();
    drop(lab);
    drop(fresh);
    wait_until("the end of everything", Duration::from_secs(60), || async {
        let running: Vec<_> = records.iter().filter(|record| process::is_running(record)).collect();
        if running.is_empty() { Ok(()) } else { Err(format!("{running:?}")) }
    })
    .await;
    testkit::servers::wipe(&dir.join("postgres")).unwrap();
    testkit::servers::wipe(&dir.join("rabbitmq")).unwrap();
}

/// Copies a record, because the watchdog removes the records when it has stopped the servers.
fn keep_copy(record: &Path) -> std::path::PathBuf {
    let copy = record.with_extension(format!("copy{}", record.metadata().unwrap().len()));
    let target = record.ancestors().find(|dir| dir.join("start.lock").exists()).unwrap().join(format!(
        "{}-{}",
        record.parent().unwrap().file_name().unwrap().display(),
        copy.file_name().unwrap().display()
    ));
    fs::copy(record, &target).unwrap();
    target
}
