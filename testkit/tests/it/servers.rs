//! Private servers: start, stop, crash, start again with the same data.

use std::{fs, net::TcpStream, path::Path, time::Duration};

use serde_json::json;
use testkit::{
    process,
    provision::{amqp_depth, amqp_purge, amqp_url, create_database, drop_database},
    servers::{
        PostgresOptions, PostgresServer, RabbitOptions, RabbitServer, find_postgres, find_rabbitmq, is_running,
        stop_recorded, wipe,
    },
    wait_until,
};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Result<Client, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(|error| format!("{error:?}"))?;
    tokio::spawn(connection);
    Ok(client)
}

fn no_listener(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

/// Command lines that contain the path of this folder.
fn processes_of(dir: &Path) -> Vec<String> {
    let dir = fs::canonicalize(dir).unwrap().to_string_lossy().into_owned();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|command| command.contains(&dir))
        .collect()
}

#[tokio::test]
async fn postgres_keeps_its_data_over_stop_and_crash() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("postgres");
    let binaries = find_postgres().unwrap();
    let options = PostgresOptions::default();

    let server = PostgresServer::start(&binaries, &dir, &options).await.unwrap();
    let (admin, port) = (server.admin_url(), server.port());
    assert!(port < 32_768);
    assert!(is_running(&dir));
    let urls = create_database(&admin, "sales", "sales_service", "se'cret\\", "other'\\").await.unwrap();
    assert_eq!(create_database(&admin, "sales", "sales_service", "se'cret\\", "other'\\").await.unwrap(), urls);
    create_database(&admin, "other", "other_service", "other", "another").await.unwrap();
    let url = urls.owner_url;
    let client = connect(&url).await.unwrap();
    client.batch_execute("CREATE TABLE t (v INT); INSERT INTO t VALUES (1)").await.unwrap();
    assert!(connect(&urls.url).await.unwrap().batch_execute("CREATE TABLE mine (v INT)").await.is_err());
    assert!(connect(&url.replace("/sales", "/other")).await.is_err(), "another database's door must be shut");
    assert!(client.batch_execute("CREATE DATABASE mine").await.is_err());
    assert!(connect(&admin.replace("jaego_admin:", "jaego_admin:x")).await.is_err(), "passwords must be asked for");
    server.stop().await.unwrap();
    assert!(no_listener(port));
    assert_eq!(processes_of(&dir), Vec::<String>::new());

    let mut server = PostgresServer::start(&binaries, &dir, &options).await.unwrap();
    assert_eq!((server.admin_url(), server.port()), (admin.clone(), port), "same address, same password");
    let client = connect(&url).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    server.process().kill9().unwrap();
    drop(server);

    let server = PostgresServer::start(&binaries, &dir, &options).await.unwrap();
    let rows: i64 = connect(&url).await.unwrap().query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 2);
    drop_database(&admin, "sales", "sales_service").await.unwrap();
    assert!(connect(&url).await.is_err());
    server.detach();
    assert!(stop_recorded(&dir).await.unwrap(), "a later process finds and ends it");
    assert!(!stop_recorded(&dir).await.unwrap());
    assert_eq!(processes_of(&dir), Vec::<String>::new());
    wipe(&dir).unwrap();
}

#[tokio::test]
async fn postgres_says_why_it_does_not_start() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("postgres");
    let mut binaries = find_postgres().unwrap();
    binaries.initdb = "/bin/false".into();
    let error = PostgresServer::start(&binaries, &dir, &PostgresOptions::default()).await.unwrap_err().to_string();
    assert!(error.starts_with("initdb failed\nlog: "), "{error}");
    wipe(&dir).unwrap();
}

#[tokio::test]
async fn rabbitmq_keeps_its_messages_over_stop_and_crash() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("rabbitmq");
    let binaries = find_rabbitmq().unwrap();
    let options = RabbitOptions::default();

    let server = RabbitServer::start(&binaries, &dir, &options).await.unwrap();
    let (admin_url, port) = (server.admin_url(), server.amqp_port());
    let broker = server.broker();
    broker.create_vhost("jaego").await.unwrap();
    broker.set_permissions("jaego", server.admin().0, ".*", ".*", ".*").await.unwrap();
    let definitions = json!({
        "exchanges": [{"name": "e", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}}],
        "queues": [{"name": "q", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}}],
        "bindings": [{"source": "e", "destination": "q", "destination_type": "queue", "routing_key": "a.*", "arguments": {}}],
    });
    broker.import_definitions("jaego", &definitions).await.unwrap();
    broker.import_definitions("jaego", &definitions).await.unwrap();
    let properties = json!({"delivery_mode": 2, "message_id": "m1", "headers": {"x": 1}});
    assert!(broker.publish("jaego", "e", "a.b", &properties, "재고".as_bytes()).await.unwrap());
    assert!(!broker.publish("jaego", "e", "b.b", &properties, b"nobody").await.unwrap());
    let admin_in_vhost = amqp_url(port, server.admin().0, server.admin().1, "jaego");
    wait_for_depth(&admin_in_vhost, 1).await;
    server.stop().await.unwrap();
    assert!(no_listener(port));
    assert_eq!(processes_of(&dir), Vec::<String>::new());
    assert!(!dir.join("epmd.pid").exists() && !dir.join("server.pid").exists());

    let mut server = RabbitServer::start(&binaries, &dir, &options).await.unwrap();
    assert_eq!(server.admin_url(), admin_url, "same address, same password");
    wait_for_depth(&admin_in_vhost, 1).await;
    let broker = server.broker();
    let seen = broker.get_messages("jaego", "q", 10).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].bytes(), "재고".as_bytes());
    assert_eq!(seen[0].routing_key, "a.b");
    assert_eq!(seen[0].properties.message_id.as_deref(), Some("m1"));
    assert_eq!(seen[0].properties.headers["x"], json!(1));
    assert_eq!(broker.queues("jaego").await.unwrap().len(), 1);
    assert_eq!(broker.queue("jaego", "q").await.unwrap().arguments["x-queue-type"], json!("quorum"));
    let refused = server.ctl(&["no_such_command"]).await.unwrap_err().to_string();
    assert!(refused.contains("no_such_command"), "{refused}");
    assert!(server.start_node().await.is_err(), "it runs already");
    server.process().kill9().unwrap();
    assert!(no_listener(port));
    server.start_node().await.unwrap();
    server.ctl(&["set_vm_memory_high_watermark", "0.5"]).await.unwrap();
    wait_for_depth(&admin_in_vhost, 1).await;
    assert_eq!(amqp_purge(&admin_in_vhost, "q").await.unwrap(), 1);
    server.broker().delete_vhost("jaego").await.unwrap();
    server.broker().delete_vhost("jaego").await.unwrap();
    server.detach();
    let epmd = dir.join("epmd.pid");
    assert!(process::is_running(&epmd));
    assert!(stop_recorded(&dir).await.unwrap());
    assert!(!process::is_running(&epmd));
    assert_eq!(processes_of(&dir), Vec::<String>::new());
    wipe(&dir).unwrap();
}

async fn wait_for_depth(url: &str, expected: u32) {
    wait_until("the queue's depth", Duration::from_secs(120), || async {
        match amqp_depth(url, "q").await {
            Ok(depth) if depth == expected => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
