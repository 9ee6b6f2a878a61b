//! A running sales-service with its own database and vhost.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jaego_contracts::topology::User;
use jaego_process::Running;
use jaego_settings::{Settings, Sources, load};
use reqwest::{Client, Method, StatusCode};
use sales_service::app;
use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, ServiceSurroundings, Surroundings};
use tokio_postgres::{NoTls, Row};

/// Time limit for an effect on a busy machine.
pub const SOON: Duration = Duration::from_secs(120);

/// A service under test. Drop it last; [`Shop::stop`] stops it gracefully.
pub struct Shop {
    pub api: String,
    pub public: String,
    pub admin: String,
    pub http: Client,
    pub surroundings: Surroundings,
    pub own: ServiceSurroundings,
    pub database: tokio_postgres::Client,
    running: Option<Running>,
}

/// Another process of the service, which is killed at the end of the test.
pub struct Replica {
    pub api: String,
    process: Child,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }
}

/// A response: status, headers of interest, JSON body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub replayed: bool,
    pub content_type: String,
    pub etag: Option<String>,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Shop {
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    pub async fn open_with(extra: &[(&str, &str)]) -> Self {
        let surroundings = Surroundings::new().await;
        let mut own = surroundings.service(User::Sales).await;
        own.env.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (database, connection) = tokio_postgres::connect(&own.database.admin_url, NoTls).await.expect("database");
        tokio::spawn(connection);
        let settings = settings(&own);
        jaego_pg::migrate(&settings.common().database, (app::IDENTITY.migrations)()).await.expect("migrated");
        let mut shop = Self {
            api: String::new(),
            public: String::new(),
            admin: String::new(),
            http: testkit::http::client(SOON),
            surroundings,
            own,
            database,
            running: None,
        };
        shop.start().await;
        shop
    }

    /// Starts the service, possibly again.
    pub async fn start(&mut self) {
        let running = app::start(settings(&self.own)).await.expect("started");
        self.api = format!("http://{}", running.listeners.api);
        self.public = format!("http://{}", running.listeners.public);
        self.admin = format!("http://{}", running.listeners.admin);
        self.running = Some(running);
    }

    /// A second process of the service with the same database, queues and permissions.
    pub fn replica(&self) -> Replica {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sales-service"));
        // The addresses of its listeners are in its log.
        let log = [("JAEGO_SALES__TELEMETRY__LOG", "info"), ("JAEGO_SALES__TELEMETRY__LOG_FORMAT", "json")];
        command.arg("serve").envs(self.own.env.iter().cloned()).envs(log).stdout(Stdio::piped());
        let mut process = command.spawn().expect("started");
        let mut lines = BufReader::new(process.stdout.take().expect("its log")).lines().map_while(Result::ok);
        let told = lines.find(|line| line.contains("\"listening\"")).expect("it listens");
        // Keeps reading, because a full pipe would block the process.
        std::thread::spawn(move || lines.for_each(drop));
        let told: Value = serde_json::from_str(&told).expect("a line of JSON");
        let api = told["fields"]["api"].as_str().or(told["api"].as_str()).expect("an address");
        Replica { api: format!("http://{api}"), process }
    }

    /// Stops the service gracefully.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.api));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[("Authorization", &bearer())], None).await
    }

    pub async fn operate(&self, method: Method, path: &str, body: Value) -> Answer {
        self.send(method, path, &[("Authorization", &bearer())], Some(body)).await
    }

    pub async fn order(&self, body: Value) -> Answer {
        self.send(Method::POST, "/api/v1/orders", &[], Some(body)).await
    }

    pub async fn order_with_key(&self, key: &str, body: Value) -> Answer {
        self.send(Method::POST, "/api/v1/orders", &[("Idempotency-Key", key)], Some(body)).await
    }

    /// Adds a product with a policy and some units on hand.
    pub async fn product(&self, sku: &str, on_hand: i64, policy: Value) {
        let body = product_body(&policy);
        let put = self.operate(Method::PUT, &format!("/api/v1/products/{sku}"), body).await;
        assert_eq!(put.status, 201, "{put:?}");
        if on_hand > 0 {
            let body = json!({"delta": on_hand, "reason": "correction"});
            let adjusted = self.operate(Method::POST, &format!("/api/v1/products/{sku}/adjustments"), body).await;
            assert_eq!(adjusted.status, 201, "{adjusted:?}");
        }
    }

    /// `(on_hand, backordered, on_order)`, read by SQL.
    pub async fn figures(&self, sku: &str) -> (i64, i64, i64) {
        let row = self.sql_one("SELECT on_hand, backordered, on_order FROM stock WHERE sku = $1", &[&sku]).await;
        (row.get(0), row.get(1), row.get(2))
    }

    pub async fn sql_one(&self, sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Row {
        self.database.query_one(sql, values).await.expect("a row")
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.sql_one(sql, &[]).await.get(0)
    }

    /// Checks rules 1, 2 and 6 by SQL: the ledger chains, adds up to the figures, and agrees with the orders.
    pub async fn assert_books_agree(&self) {
        let off = self
            .database
            .query(
                "SELECT s.sku FROM stock s WHERE s.on_hand < 0 OR (s.on_hand > 0 AND s.backordered > 0) \
                 OR s.on_hand <> (SELECT coalesce(sum(delta), 0) FROM stock_movements m WHERE m.sku = s.sku) \
                 OR s.backordered <> (SELECT coalesce(sum(waiting), 0) FROM order_lines l WHERE l.sku = s.sku) \
                 OR (SELECT coalesce(sum(filled), 0) FROM order_lines l WHERE l.sku = s.sku) <> \
                    (SELECT coalesce(-sum(delta), 0) FROM stock_movements m \
                     WHERE m.sku = s.sku AND m.cause IN ('sale', 'backorder_fill', 'cancellation')) \
                 OR s.on_order <> (SELECT coalesce(sum(quantity - received), 0) FROM replenishments r \
                     WHERE r.sku = s.sku AND r.status IN ('open', 'stalled')) \
                     + (SELECT coalesce(sum(units), 0) FROM incoming i WHERE i.sku = s.sku)",
                &[],
            )
            .await
            .expect("audited");
        let off: Vec<String> = off.iter().map(|row| row.get(0)).collect();
        assert!(off.is_empty(), "the books of {off:?} do not agree");
        let gaps = self
            .count(
                "SELECT count(*) FROM (SELECT before, lag(after, 1, 0::bigint) OVER (PARTITION BY sku ORDER BY entry) AS previous \
                 FROM stock_movements) entries WHERE before <> previous",
            )
            .await;
        assert_eq!(gaps, 0, "ledger entries do not chain");
    }
}

/// The service's settings as its process would read them.
pub fn settings(own: &ServiceSurroundings) -> sales_service::settings::Settings {
    let sources = Sources {
        defaults: app::IDENTITY.defaults,
        file: None,
        env_prefix: app::IDENTITY.env_prefix,
        env: own.env.clone(),
    };
    load(sources).expect("valid settings")
}

pub fn bearer() -> String {
    format!("Bearer {OPERATOR_TOKEN}")
}

pub fn policy() -> Value {
    json!({"reorder_point": 0, "order_up_to": 10, "lot_size": 10, "mode": "auto", "shortage": "reject"})
}

pub fn product_body(policy: &Value) -> Value {
    json!({"name": "도너츠", "price": {"amount": 1000, "currency": "KRW"}, "factory_id": "FF-1", "policy": policy})
}

pub fn one(sku: &str, quantity: i64) -> Value {
    json!({"lines": [{"sku": sku, "quantity": quantity}]})
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let (status, etag, retry_after) = (response.status(), header("etag"), header("retry-after"));
    let replayed = header("idempotency-replayed").as_deref() == Some("true");
    let content_type = header("content-type").unwrap_or_default();
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, replayed, content_type, etag, retry_after, body }
}
