//! `jaegoctl database apply` on a TLS server of its own.

use std::{fs, path::Path};

use jaego_pg::settings::Database;
use reqwest::Url;
use testkit::harness::connect;
use testkit::{
    certificates::Certificates,
    servers::{PostgresOptions, PostgresServer, find_postgres, wipe},
};

use crate::program::{Ran, Running, run};

/// A server and its administrator.
struct Server {
    host: String,
    ca_file: String,
    admin_url: String,
}

impl Server {
    fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@{}/{database}?sslmode=require", self.host)
    }

    async fn apply(&self, urls: &[(&str, &str)]) -> Ran {
        let env = self.environment(urls);
        let ran = run(&["--json", "database", "apply", "--ca-file", &self.ca_file], &env).await;
        for (_, url) in env {
            let password = url.split(['/', ':', '@']).nth(4).unwrap_or("?").to_owned();
            assert!(!format!("{ran:?}").contains(&password), "a password is shown: {ran:?}");
        }
        ran
    }

    fn environment<'a>(&self, urls: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
        let mut env: Vec<_> = urls.iter().map(|(name, url)| (*name, (*url).to_owned())).collect();
        let owners = [(SALES, "SALES_DATABASE_OWNER_URL"), (RESTOCK, "RESTOCK_DATABASE_OWNER_URL")];
        for (name, owner) in owners {
            env.extend(urls.iter().find(|(known, _)| *known == name).map(|(_, url)| (owner, owner_url(url))));
        }
        env.push(("POSTGRES_ADMIN_URL", self.admin_url.clone()));
        env
    }

    async fn lets_in(&self, role: &str, password: &str, database: &str) -> Result<(), String> {
        let settings = Database {
            url: self.url(role, password, database).into(),
            ca_file: self.ca_file.clone(),
            pool_size: 1,
            wait_timeout_ms: 1000,
            statement_timeout_ms: 1000,
            lock_timeout_ms: 0,
        };
        jaego_pg::connect(&settings, "test", 1000).await.map(drop).map_err(|error| error.to_string())
    }

    /// The result of statements in a database with one of its logins.
    async fn in_database(&self, url: &str, sql: &str) -> Result<(), String> {
        let url = url.replace("localhost", "127.0.0.1").replace("require", "disable");
        let ended = connect(&url).await.batch_execute(sql).await;
        ended.map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()))
    }

    /// Executes a statement as the administrator, without TLS.
    async fn execute(&self, sql: &str) -> u64 {
        let url = self.admin_url.replace("localhost", "127.0.0.1").replace("require", "disable");
        let client = connect(&url).await;
        client.execute(sql, &[]).await.unwrap()
    }
}

/// The login of a database's owner, for that of its service.
fn owner_url(url: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    let (role, password) = (format!("{}_owner", url.username()), format!("{}-owner", url.password().unwrap()));
    url.set_username(&role).unwrap();
    url.set_password(Some(&password)).unwrap();
    url.into()
}

const SALES: &str = "SALES_DATABASE_URL";
const PRODUCTION: &str = "PRODUCTION_DATABASE_URL";
const RESTOCK: &str = "RESTOCK_DATABASE_URL";

#[tokio::test(flavor = "multi_thread")]
async fn each_service_gets_a_database_that_no_other_one_can_open() {
    jaego_net::install_tls();
    let root = tempfile::tempdir().unwrap();
    let (dir, certificates) = (root.path().join("postgres"), Certificates::for_host("localhost").unwrap());
    let ca_file = root.path().join("ca.pem").display().to_string();
    fs::write(&ca_file, &certificates.authority).unwrap();
    let (binaries, options) = (
        find_postgres().unwrap(),
        PostgresOptions { durable: false, tls: Some(certificates), ..PostgresOptions::default() },
    );
    let running = PostgresServer::start(&binaries, &dir, &options).await.unwrap();
    let server = Server {
        host: format!("localhost:{}", running.port()),
        ca_file,
        admin_url: format!("{}?sslmode=require", running.admin_url().replace("127.0.0.1", "localhost")),
    };
    running.stop().await.unwrap();

    // The command waits for the server and reports that; secrets come from files.
    let [sales, production] =
        ["sales", "production"].map(|name| server.url(&format!("jaego_{name}"), &format!("first-{name}"), name));
    let [sales_owner, production_owner] = [&sales, &production].map(|url| owner_url(url));
    let secrets = [
        ("admin", &server.admin_url),
        ("sales", &sales),
        ("production", &production),
        ("sales-owner", &sales_owner),
        ("production-owner", &production_owner),
    ];
    let [admin_file, sales_file, production_file, sales_owner_file, production_owner_file] =
        secrets.map(|(name, url)| {
            let path = root.path().join(name);
            fs::write(&path, format!("{url}\n")).unwrap();
            path.display().to_string()
        });
    let mut args = vec!["database", "apply", "--ca-file", &server.ca_file, "--wait-s", "60"];
    args.extend(["--admin-url-file", &admin_file]);
    args.extend(["--sales-url-file", &sales_file, "--production-url-file", &production_file]);
    args.extend(["--sales-owner-url-file", &sales_owner_file, "--production-owner-url-file", &production_owner_file]);
    let mut waiting = Running::start(&args, &[]);
    let said = waiting.said().await;
    assert!(said.starts_with("waiting for PostgreSQL at localhost:"), "{said}");
    let running = PostgresServer::start(&binaries, &dir, &options).await.unwrap();
    let ran = waiting.end().await.ends_with(0);
    let said = "sales-service: role jaego_sales created, database sales created, its owner is jaego_sales_owner";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);

    // Each role can connect to its own database only.
    server.lets_in("jaego_sales", "first-sales", "sales").await.unwrap();
    server.lets_in("jaego_production", "first-production", "production").await.unwrap();
    server.lets_in("jaego_sales_owner", "first-sales-owner", "sales").await.unwrap();
    let refused = server.lets_in("jaego_sales_owner", "first-sales-owner", "production").await.unwrap_err();
    assert!(refused.contains("permission denied for database \"production\""), "{refused}");
    let refused = server.lets_in("jaego_sales", "first-sales", "production").await.unwrap_err();
    assert!(refused.contains("permission denied for database \"production\""), "{refused}");
    let rights = "SELECT 1 FROM pg_roles WHERE rolname LIKE 'jaego\\_%' AND rolname <> 'jaego_admin' \
                  AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)";
    assert_eq!(server.execute(rights).await, 0);

    // Applied again with another password; the server logs every statement, but no password.
    server.execute("ALTER ROLE jaego_admin SET log_statement = 'all'").await;
    let changed = server.url("jaego_sales", "second%2Dsales%20%27", "sales");
    let ran = server.apply(&[(SALES, &changed)]).await.ends_with(0);
    assert_eq!(ran.json()["databases"][0]["is_new_role"], false, "{}", ran.stdout);
    server.lets_in("jaego_sales", "second-sales '", "sales").await.unwrap();
    let refused = server.lets_in("jaego_sales", "first-sales", "sales").await.unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    let log = log_of(&dir);
    assert!(log.contains("ALTER ROLE \"jaego_sales\"") && !log.contains("second-sales"));

    refusals(&server).await;
    administrator_of_a_cloud(&server).await;

    let logins = [(PRODUCTION, production.clone()), ("PRODUCTION_DATABASE_OWNER_URL", production_owner)];
    let ran = run(&["migrate", "--service", "production", "--ca-file", &server.ca_file], &logins).await.ends_with(0);
    assert!(ran.stdout.contains("migrations applied"), "{}", ran.stdout);
    let ran = run(&["migrate", "--service", "production"], &[(PRODUCTION, production)]).await.ends_with(3);
    assert!(ran.stderr.contains("UnknownIssuer"), "{}", ran.stderr);
    running.stop().await.unwrap();
    wipe(&dir).unwrap();
}

/// Nothing is made when anything is refused.
async fn refusals(server: &Server) {
    let restock = server.url("jaego_restock", "first-restock", "restock");
    let admin = server.url("jaego_admin", "stolen-password", "mine");
    let ran = server.apply(&[(RESTOCK, &restock), (SALES, &admin)]).await.ends_with(4);
    assert!(ran.stderr.contains("jaego_admin is an administrator"), "{}", ran.stderr);
    let foreign = server.url("jaego_stranger", "strange-password", "sales");
    let ran = server.apply(&[(RESTOCK, &restock), (SALES, &foreign)]).await.ends_with(4);
    assert!(ran.stderr.contains("the database sales belongs to jaego_sales"), "{}", ran.stderr);
    let ran = server.apply(&[(RESTOCK, &restock), (SALES, &restock)]).await.ends_with(4);
    assert!(ran.stderr.contains("two roles of its own"), "{}", ran.stderr);
    let mut env = server.environment(&[(RESTOCK, &restock)]);
    let apply = ["database", "apply", "--ca-file", &server.ca_file];
    for (owner, code, sentence) in [
        ("", 2, "the owner of restock-service's database is not known: set RESTOCK_DATABASE_OWNER_URL"),
        (restock.as_str(), 4, "two roles of its own"),
        (&server.url("jaego_restock_owner", "any-password", "sales"), 2, "must name the database restock"),
        (&server.url("jaego_admin", "any-password", "restock"), 4, "jaego_admin is an administrator"),
    ] {
        owner.clone_into(&mut env[1].1);
        let ran = run(&apply, &env).await.ends_with(code);
        assert!(ran.stderr.contains(sentence), "{}", ran.stderr);
    }
    let reserved = server.url("jaego_sales", "any-password", "template1");
    let ran = server.apply(&[(RESTOCK, &restock), (SALES, &reserved)]).await.ends_with(2);
    assert!(ran.stderr.starts_with("error: SALES_DATABASE_URL: "), "{}", ran.stderr);
    assert_eq!(server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'jaego_restock'").await, 0);

    let ran = server.apply(&[]).await.ends_with(2);
    assert!(ran.stderr.contains("SALES_DATABASE_URL, PRODUCTION_DATABASE_URL, RESTOCK_DATABASE_URL"), "{}", ran.stderr);
    let ran = run(&["database", "apply"], &[(RESTOCK, restock.clone())]).await.ends_with(2);
    assert!(ran.stderr.contains("POSTGRES_ADMIN_URL"), "{}", ran.stderr);
    let ran = run(&["database", "apply"], &server.environment(&[(RESTOCK, &restock)])).await.ends_with(3);
    assert!(ran.stderr.contains("UnknownIssuer"), "{}", ran.stderr);
    // A wrong password is not retried.
    let wrong = server.admin_url.replace("jaego_admin:", "jaego_admin:wrong");
    let owner = owner_url(&restock);
    let env = [("POSTGRES_ADMIN_URL", wrong), (RESTOCK, restock), ("RESTOCK_DATABASE_OWNER_URL", owner)];
    let ran = run(&["database", "apply", "--wait-s", "60", "--ca-file", &server.ca_file], &env).await.ends_with(4);
    assert!(ran.stderr.contains("password authentication failed"), "{}", ran.stderr);
}

/// Cloud providers do not give out a superuser.
async fn administrator_of_a_cloud(server: &Server) {
    server.execute("CREATE ROLE cloud LOGIN CREATEDB CREATEROLE PASSWORD 'cloud-password'").await;
    let cloud = Server {
        host: server.host.clone(),
        ca_file: server.ca_file.clone(),
        admin_url: server.url("cloud", "cloud-password", "postgres"),
    };
    for password in ["first-restock", "second-restock"] {
        let url = server.url("jaego_restock", password, "restock");
        cloud.apply(&[(RESTOCK, &url)]).await.ends_with(0);
        server.lets_in("jaego_restock", password, "restock").await.unwrap();
    }
    let first = server.url("jaego_restock", "first-restock", "restock");
    let (own, owner) = (server.url("jaego_restock", "second-restock", "restock"), owner_url(&first));
    let owner = owner.replace("first", "second");
    // As releases before left it: the service's role owns database and tables.
    let admin_url = server.admin_url.replace("/postgres?", "/restock?");
    let before = "CREATE TABLE kept (id integer); ALTER TABLE kept OWNER TO jaego_restock; \
        ALTER DATABASE restock OWNER TO jaego_restock; DROP OWNED BY jaego_restock_owner; DROP ROLE jaego_restock_owner";
    server.in_database(&admin_url, before).await.unwrap();
    let by_hand = "CREATE TABLE mine (id integer, entry bigint GENERATED ALWAYS AS IDENTITY); INSERT INTO kept VALUES (1); \
        CREATE VIEW seen AS SELECT 1 AS one; CREATE SEQUENCE counted; CREATE SCHEMA apart; CREATE TYPE pair AS (a integer); \
        CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1'";
    server.in_database(&own, by_hand).await.unwrap();
    for _ in 0..2 {
        cloud.apply(&[(RESTOCK, &own)]).await.ends_with(0);
    }
    server.in_database(&own, "UPDATE kept SET id = 2; DELETE FROM mine").await.unwrap();
    let refused = server.in_database(&own, "TRUNCATE mine").await.unwrap_err();
    assert_eq!(refused, "permission denied for table mine");
    let refused = server.in_database(&own, "CREATE TABLE another (id integer)").await.unwrap_err();
    assert_eq!(refused, "permission denied for schema public");
    let of_others = "DROP TABLE kept, mine; DROP VIEW seen; DROP SEQUENCE counted; DROP SCHEMA apart; DROP TYPE pair; \
        DROP FUNCTION one()";
    for statement in of_others.split("; ") {
        let refused = server.in_database(&own, statement).await.unwrap_err();
        assert!(refused.starts_with("must be owner of"), "{statement}: {refused}");
    }
    server.in_database(&owner, of_others).await.unwrap();
    assert!(server.lets_in("jaego_restock", "first-restock", "restock").await.is_err());
    assert!(server.lets_in("jaego_production", "first-production", "restock").await.is_err());
}

fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("server.log")).unwrap()
}
