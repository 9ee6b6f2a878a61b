//! A running sales-service with its own database and vhost.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;

use jaego_contracts::topology::User;
use reqwest::{Client, Method};
use sales_service::app;
use sales_service::settings::Settings;
use serde_json::{Value, json};
use testkit::harness::{Replica, Service, World};
use testkit::service::OPERATOR_TOKEN;

pub use testkit::harness::{Response, SOON};

/// A service under test. Drop it last; [`Shop::stop`] stops it gracefully.
pub struct Shop {
    pub api: String,
    pub public: String,
    pub admin: String,
    pub http: Client,
    service: Service,
    world: World,
}

impl Deref for Shop {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Shop {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

/// For tests of answers that a slow machine must not turn into 503.
pub const PATIENT: [(&str, &str); 4] = [
    ("JAEGO_SALES__DATABASE__LOCK_TIMEOUT_MS", "60000"),
    ("JAEGO_SALES__DATABASE__STATEMENT_TIMEOUT_MS", "60000"),
    ("JAEGO_SALES__DATABASE__WAIT_TIMEOUT_MS", "60000"),
    ("JAEGO_SALES__INTAKE__WAIT_MAX_MS", "60000"),
];

impl Shop {
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// Opens with settings by the names of their variables.
    pub async fn open_with(extra: &[(&str, &str)]) -> Self {
        let mut world = World::new(User::Sales).await;
        world.own.env.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        jaego_pg::migrate(&world.own.database.migrator(), (app::IDENTITY.migrations)()).await.expect("migrated");
        let service = start(&world).await;
        let (api, public, admin) = (service.api.clone(), service.public.clone(), service.admin.clone());
        Self { api, public, admin, http: service.http.clone(), service, world }
    }

    /// Starts the service, possibly again.
    pub async fn start(&mut self) {
        self.service = start(&self.world).await;
        self.api.clone_from(&self.service.api);
        self.public.clone_from(&self.service.public);
        self.admin.clone_from(&self.service.admin);
    }

    /// A second process of the service with the same database, queues and permissions.
    pub async fn replica(&self) -> Replica {
        self.spawn(env!("CARGO_BIN_EXE_sales-service"), &[]).await
    }

    /// Stops the service gracefully.
    pub async fn stop(&mut self) {
        self.service.stop().await;
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Response {
        self.service.send(method, path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.service.get(path).await
    }

    pub async fn operate(&self, method: Method, path: &str, body: Value) -> Response {
        self.service.send_as(Some(OPERATOR_TOKEN), method, path, Some(body)).await
    }

    pub async fn metric<T: FromStr>(&self, name: &str, label: &str) -> Option<T> {
        self.service.metric(name, label).await
    }

    pub async fn readiness(&self) -> Response {
        self.service.readiness().await
    }

    pub async fn order(&self, body: Value) -> Response {
        order_at(&self.service, body).await
    }

    pub async fn order_with_key(&self, key: &str, body: Value) -> Response {
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

/// Orders from this process or another one.
pub async fn order_at(service: &Service, body: Value) -> Response {
    service.send_as(None, Method::POST, "/api/v1/orders", Some(body)).await
}

async fn start(world: &World) -> Service {
    let running = app::start(settings(world)).await.expect("started");
    let listeners = [running.listeners.api, running.listeners.public, running.listeners.admin];
    Service::in_process(listeners, running.stop())
}

/// The service's settings as its process would read them.
pub fn settings(world: &World) -> Settings {
    world.settings(app::IDENTITY.defaults, &[])
}

/// The operator's credentials.
pub fn bearer() -> String {
    testkit::harness::bearer(OPERATOR_TOKEN)
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
