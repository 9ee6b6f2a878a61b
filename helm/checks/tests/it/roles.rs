//! Access to the databases of k8s/: its roles, `pg_hba` lines and the README's SQL, in a real PostgreSQL.

use std::{fs, path::PathBuf, process::Command};

use localstack::packages::ServerPrograms;
use serde_json::Value;
use tasks::node::package_dir;
use testkit::{
    certificates::Certificates,
    servers::{PostgresOptions, PostgresServer},
};
use url::Url;

use super::{
    brought::{brought, the},
    engine::Engine,
    objects::{list, texts},
    steps::followed,
};
use e2e::Folder;

/// Host name in the certificate.
const HOST: &str = "localhost";

struct Psql {
    program: PathBuf,
    port: u16,
    authority: PathBuf,
}

impl Psql {
    /// Returns the result of a statement, or the server's error.
    fn ask(&self, url: &str, sql: &str) -> Result<String, String> {
        let ended = Command::new(&self.program)
            .env_clear()
            .args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        if ended.status.success() { Ok(text(ended.stdout)) } else { Err(text(ended.stderr)) }
    }

    /// Translates an address of the README to the local server.
    fn here(&self, url: &str) -> Url {
        let mut url = Url::parse(url).unwrap();
        url.set_host(Some(HOST)).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.set_query(Some(&format!("sslmode=verify-full&sslrootcert={}", self.authority.display())));
        url
    }

    fn to(&self, url: &Url, database: &str) -> Result<String, String> {
        let mut url = url.clone();
        url.set_path(database);
        self.ask(url.as_str(), "SELECT current_database()")
    }
}

/// `pg_hba.conf` as CloudNativePG writes it: its own lines, those of the cluster, then everyone with a password. The
/// tests' administrator stands in for the operator's own, which connects through a socket.
fn pg_hba(cluster: &Value, administrator: &str) -> String {
    let mut lines = vec![format!("host all {administrator} 127.0.0.1/32 scram-sha-256")];
    lines.extend(texts(&cluster["spec"]["postgresql"]["pg_hba"]).into_iter().map(str::to_owned));
    lines.push("host all all all scram-sha-256".to_owned());
    lines.join("\n") + "\n"
}

// Control: own-database.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_reaches_its_own_database_only_and_over_tls_only() {
    let folder = Folder::new();
    let world = followed(folder.path()).await;
    let mut engine = Engine::start();
    let objects = brought(&mut engine);
    let cluster = the(&objects, "Cluster", "jaego-postgresql");

    let found = ServerPrograms::find().expect("PostgreSQL and RabbitMQ are installed").postgres;
    let certificates = Certificates::for_host(HOST).unwrap();
    let authority = folder.path().join("authority.pem");
    fs::write(&authority, &certificates.authority).unwrap();
    let dir = folder.path().join("postgres");
    let options = PostgresOptions { tls: Some(certificates), ..PostgresOptions::default() };
    let server = PostgresServer::start(&found, &dir, &options).await.unwrap();
    let psql = Psql { program: found.postgres.with_file_name("psql"), port: server.port(), authority };
    let mut admin = Url::parse(&server.admin_url()).unwrap();
    let query = |admin: &Url, sql: &str| psql.ask(admin.as_str(), sql).unwrap();

    for role in list(&cluster["spec"]["managed"]["roles"]) {
        let (role, secret) = (role["name"].as_str().unwrap(), role["passwordSecret"]["name"].as_str().unwrap());
        assert_eq!(world.secret(secret, "username"), role);
        query(&admin, &format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", world.secret(secret, "password")));
    }
    for database in objects.iter().filter(|one| one["kind"] == "Database") {
        let spec = &database["spec"];
        let [name, owner] = [&spec["name"], &spec["owner"]].map(|one| one.as_str().unwrap());
        query(&admin, &format!("CREATE DATABASE {name} OWNER {owner}"));
    }
    fs::write(dir.join("data/pg_hba.conf"), pg_hba(cluster, admin.username())).unwrap();
    query(&admin, "SELECT pg_reload_conf()");
    assert_eq!(query(&admin, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL"), "0");

    // The README's first SQL is for new servers, the last is for after the migrations.
    let [(first, closing), (last, granting)] = &world.sql[..] else { panic!("{:?}", world.sql) };
    assert_eq!((first.as_str(), last.as_str()), ("postgres", "jaego_production"));
    query(&admin, closing);

    let services = ["sales", "production", "restock", "access"];
    let logins = services.into_iter().flat_map(|service| [(service, "database-url"), (service, "database-owner-url")]);
    for (service, login) in logins {
        let own = psql.here(world.secret(&format!("jaego-{service}-connections"), login));
        let created = psql.ask(own.as_str(), "CREATE TABLE mine (id integer); DROP TABLE mine");
        assert_eq!(created.is_ok(), login == "database-owner-url", "{service}: {created:?}");
        for database in ["jaego_sales", "jaego_production", "jaego_restock", "jaego_access", "postgres", "template1"] {
            let reached = psql.to(&own, database);
            if database == format!("jaego_{service}") {
                assert_eq!(reached.as_deref(), Ok(database), "{service}");
            } else {
                let refusal = reached.unwrap_err();
                assert!(refusal.contains("pg_hba.conf rejects connection"), "{service} to {database}: {refusal}");
            }
            // The database would stay closed even with another pg_hba.conf.
            let may = format!("SELECT has_database_privilege('{}', '{database}', 'CONNECT')", own.username());
            let is_own = database == format!("jaego_{service}");
            if database.starts_with("jaego_") {
                assert_eq!(query(&admin, &may), if is_own { "t" } else { "f" }, "{service} to {database}");
            }
        }
        let mut plain = own.clone();
        plain.set_query(Some("sslmode=disable"));
        let refusal = psql.ask(plain.as_str(), "SELECT 1").unwrap_err();
        assert!(refusal.contains("rejects connection") && refusal.contains("no encryption"), "{refusal}");
        let mut stranger = own;
        stranger.set_password(Some("guessed")).unwrap();
        let refusal = psql.ask(stranger.as_str(), "SELECT 1").unwrap_err();
        assert!(refusal.contains("password authentication failed"), "{refusal}");
    }

    // KEDA's role, with the query of the chart's ScaledObject.
    let production = psql.here(world.secret("jaego-production-connections", "database-owner-url"));
    let mut migrations: Vec<PathBuf> = fs::read_dir(package_dir("production-service/migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    migrations.sort();
    for migration in migrations {
        psql.ask(production.as_str(), &fs::read_to_string(migration.join("up.sql")).unwrap()).unwrap();
    }
    let values = engine.values("values-production.yaml");
    let rendered = engine.render(&values);
    let triggers = &rendered.get("ScaledObject", "production")["spec"]["triggers"];
    let due = list(triggers).iter().find(|one| one["type"] == "postgresql").unwrap();
    let due = due["metadata"]["query"].as_str().unwrap();
    let scaler = psql.here(world.secret("jaego-keda", "postgresql-connection"));
    let refusal = psql.ask(scaler.as_str(), due).unwrap_err();
    assert!(refusal.contains("permission denied for table production_requests"), "{refusal}");
    admin.set_path(last);
    query(&admin, granting);
    assert_eq!(psql.ask(scaler.as_str(), due).as_deref(), Ok("0"));
    for beyond in [
        "SELECT id FROM production_requests",
        "SELECT * FROM production_requests",
        "UPDATE production_requests SET status = status",
        "SELECT count(*) FROM factories",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
    ] {
        let refusal = psql.ask(scaler.as_str(), beyond).unwrap_err();
        assert!(refusal.contains("permission denied"), "{beyond}: {refusal}");
    }
    for database in ["jaego_sales", "jaego_restock", "jaego_access", "postgres"] {
        let refusal = psql.to(&scaler, database).unwrap_err();
        assert!(refusal.contains("rejects connection"), "{database}: {refusal}");
    }
    server.stop().await.unwrap();
}
