//! Connections of our programs to TLS servers: with the right authority, without it, and to a server with
//! another name.

use std::{fs, path::Path};

use diesel_async::RunQueryDsl as _;
use jaego_amqp::connection;
use jaego_amqp::connection::Link;
use jaego_amqp::settings::Broker;
use jaego_pg::ConnectError;
use jaego_pg::settings::Database;
use testkit::{
    certificates::Certificates,
    servers::{PostgresOptions, PostgresServer, RabbitOptions, RabbitServer, find_postgres, find_rabbitmq, wipe},
};

/// The name in the servers' certificates; their address, 127.0.0.1, is not in them.
const HOST: &str = "localhost";

/// Files with an authority: the server's and another one.
fn authorities(root: &Path, certificates: &Certificates) -> [String; 2] {
    let other = Certificates::for_host(HOST).unwrap();
    [("right.pem", &certificates.authority), ("other.pem", &other.authority)].map(|(name, text)| {
        let path = root.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    })
}

fn database(url: &str, ca_file: &str) -> Database {
    Database {
        url: url.to_owned().into(),
        ca_file: ca_file.to_owned(),
        pool_size: 1,
        wait_timeout_ms: 20_000,
        statement_timeout_ms: 10_000,
        lock_timeout_ms: 0,
    }
}

#[derive(diesel::QueryableByName)]
struct Session {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    ssl: bool,
}

async fn is_encrypted(connection: &mut diesel_async::AsyncPgConnection) -> bool {
    let asked = diesel::sql_query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    asked.get_result::<Session>(connection).await.unwrap().ssl
}

async fn refused(url: &str, ca_file: &str) -> String {
    match jaego_pg::connect(&database(url, ca_file), "test", 1000).await.map(drop) {
        Err(ConnectError::Unreachable(reason)) => reason,
        other => panic!("must not connect: {other:?}"),
    }
}

#[tokio::test]
async fn a_frozen_process_does_not_keep_its_locks() {
    #[derive(diesel::QueryableByName)]
    struct Setting {
        #[diesel(sql_type = diesel::sql_types::Text)]
        value: String,
    }
    let own = testkit::Lab::acquire().await.database("sales").await;
    let mut session = jaego_pg::connect(&database(&own.url, ""), "test", 1000).await.unwrap();
    for (name, wanted) in [("idle_in_transaction_session_timeout", "30s"), ("statement_timeout", "1s")] {
        let asked = diesel::sql_query(format!("SELECT current_setting('{name}') AS value"));
        assert_eq!(asked.get_result::<Setting>(&mut session).await.unwrap().value, wanted, "{name}");
    }
    // For Unix sockets PostgreSQL reports 0; this one is TCP.
    let asked = diesel::sql_query("SELECT current_setting('tcp_keepalives_idle') AS value");
    assert_eq!(asked.get_result::<Setting>(&mut session).await.unwrap().value, "15");
}

#[tokio::test]
async fn postgres_is_verified_by_its_authority_and_name() {
    jaego_net::install_tls();
    let root = tempfile::tempdir().unwrap();
    let certificates = Certificates::for_host(HOST).unwrap();
    let [right, other] = authorities(root.path(), &certificates);
    let (dir, binaries) = (root.path().join("postgres"), find_postgres().unwrap());
    let options = PostgresOptions { durable: false, tls: Some(certificates), ..PostgresOptions::default() };
    let server = PostgresServer::start(&binaries, &dir, &options).await.unwrap();
    let by_address = server.admin_url();
    let by_name = by_address.replace("127.0.0.1", HOST);

    for url in [by_name.clone(), format!("{by_name}?sslmode=require")] {
        let settings = database(&url, &right);
        assert!(is_encrypted(&mut jaego_pg::connect(&settings, "test", 1000).await.unwrap()).await);
        let pool = jaego_pg::pool(&settings, "test").unwrap();
        assert!(is_encrypted(&mut pool.get().await.unwrap()).await);
        // The other authority has the same name.
        for (ca_file, reason_part) in [("", "UnknownIssuer"), (&other, "BadSignature")] {
            let reason = refused(&url, ca_file).await;
            assert!(reason.contains(reason_part), "{reason}");
            assert!(jaego_pg::pool(&database(&url, ca_file), "test").unwrap().get().await.is_err());
        }
    }
    let reason = refused(&by_address, &right).await;
    assert!(reason.contains("not valid for name"), "{reason}");
    let without = format!("{by_address}?sslmode=disable");
    assert!(!is_encrypted(&mut jaego_pg::connect(&database(&without, &right), "test", 1000).await.unwrap()).await);

    // The authorities are read for each connection, so they can be replaced, and must exist.
    fs::copy(&right, &other).unwrap();
    jaego_pg::connect(&database(&by_name, &other), "test", 1000).await.unwrap();
    fs::remove_file(&other).unwrap();
    let error = jaego_pg::connect(&database(&by_name, &other), "test", 1000).await.map(drop).unwrap_err();
    assert!(matches!(&error, ConnectError::Unusable(reason) if reason.contains(&other)), "{error}");
    server.stop().await.unwrap();

    // A client without a CA file accepts a server without TLS.
    let server = PostgresServer::start(&binaries, &dir, &PostgresOptions::default()).await.unwrap();
    let by_name = server.admin_url().replace("127.0.0.1", HOST);
    assert!(!is_encrypted(&mut jaego_pg::connect(&database(&by_name, ""), "test", 1000).await.unwrap()).await);
    let reason = refused(&by_name, &right).await;
    assert!(reason.contains("does not support TLS"), "{reason}");
    server.stop().await.unwrap();
    wipe(&dir).unwrap();
}

async fn amqp(url: &str, ca_file: &str) -> anyhow::Result<Link> {
    let settings = Broker { url: url.to_owned().into(), ca_file: ca_file.to_owned(), timeout_ms: 20_000 };
    connection::connect(&settings, "test", "tls").await
}

#[tokio::test]
async fn rabbitmq_is_verified_by_its_authority_and_name() {
    jaego_net::install_tls();
    let root = tempfile::tempdir().unwrap();
    let certificates = Certificates::for_host(HOST).unwrap();
    let [right, other] = authorities(root.path(), &certificates);
    let dir = root.path().join("rabbitmq");
    let options = RabbitOptions { tls: Some(certificates), ..RabbitOptions::default() };
    let server = RabbitServer::start(&find_rabbitmq().unwrap(), &dir, &options).await.unwrap();
    let port = server.amqps_port().to_string();
    let by_address = server.admin_url().replace("amqp://", "amqps://").replace(&server.amqp_port().to_string(), &port);
    let by_name = by_address.replace("127.0.0.1", HOST);

    amqp(&by_name, &right).await.unwrap().create_channel().await.unwrap();
    for (url, ca_file, reason_part) in [
        (&by_name, "", "UnknownIssuer"),
        (&by_name, &other, "BadSignature"),
        (&by_address, &right, "not valid for name"),
    ] {
        let error = amqp(url, ca_file).await.map(drop).unwrap_err();
        assert!(format!("{error:#}").contains(reason_part), "{error:#}");
    }
    let absent = root.path().join("absent.pem").display().to_string();
    assert!(amqp(&by_name, &absent).await.map(drop).unwrap_err().to_string().contains(&absent));
    server.stop().await.unwrap();
    wipe(&dir).unwrap();
}
