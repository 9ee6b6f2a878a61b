//! One service under test with its surroundings.

use std::ops::Deref;

use jaego_contracts::callback::{CallbackClaims, CallbackSigner};
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::topology::User;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{EventKind, OutgoingEvent};
use reqwest::{Method, RequestBuilder};
use restock_service::app;
use restock_service::settings::Settings;
use serde_json::{Value, json};
use testkit::harness::Replica;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;

pub(crate) use testkit::harness::{Response, SOON};

pub(crate) const SKU: &str = "CP-502101";
pub(crate) const FACTORY: &str = "FF-500293";
/// No one listens at this address.
pub(crate) const NO_BROKER: (&str, &str) = ("AMQP__URL", "amqp://nobody:x@127.0.0.1:1/x");

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// The surroundings, without a running service.
pub(crate) struct World {
    world: testkit::harness::World,
    signer: CallbackSigner,
}

impl Deref for World {
    type Target = testkit::harness::World;

    fn deref(&self) -> &Self::Target {
        &self.world
    }
}

/// A service in this process.
pub(crate) struct Service {
    pub(crate) world: World,
    service: testkit::harness::Service,
}

impl Deref for Service {
    type Target = testkit::harness::Service;

    fn deref(&self) -> &Self::Target {
        &self.service
    }
}

/// The answer to a callback.
#[derive(Debug)]
pub(crate) struct Answer(Response);

impl Deref for Answer {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.0
    }
}

impl World {
    /// Creates an empty, migrated database.
    pub(crate) async fn new() -> Self {
        let world = testkit::harness::World::new(User::Restock).await;
        let signer = CallbackSigner::from_pem(&world.surroundings.keys.private_pem).unwrap();
        let world = Self { world, signer };
        jaego_pg::migrate(&world.own.database.migrator(), (app::IDENTITY.migrations)()).await.unwrap();
        world
    }

    pub(crate) fn settings(&self, changed: &[(&str, &str)]) -> Settings {
        self.world.settings(app::IDENTITY.defaults, changed)
    }

    pub(crate) async fn start(self, changed: &[(&str, &str)]) -> Service {
        let running = app::start(self.settings(changed)).await.unwrap();
        let listeners = [running.listeners.api, running.listeners.public, running.listeners.admin];
        Service { world: self, service: testkit::harness::Service::in_process(listeners, running.stop()) }
    }

    /// The real program, as a process of its own.
    pub(crate) async fn replica(&self, changed: &[(&str, &str)]) -> Replica {
        self.spawn(env!("CARGO_BIN_EXE_restock-service"), changed).await
    }

    pub(crate) fn sign(&self, claims: &CallbackClaims) -> String {
        self.signer.sign(claims).unwrap()
    }

    /// A token of a new request.
    pub(crate) fn token(&self, quantity: i64) -> String {
        self.sign(&claims(RequestId::generate(), quantity))
    }

    /// Calls a service, in this process or in one of its own, as a factory.
    pub(crate) async fn call(&self, service: &testkit::harness::Service, token: &str, body: &Value) -> Answer {
        self.call_with(service, token, &[], body.to_string()).await
    }

    pub(crate) async fn call_with(
        &self,
        service: &testkit::harness::Service,
        token: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        Answer(Response::to(callback(service, token, headers).body(body)).await)
    }

    /// Sends a request to a URL that is not the callback's usual one.
    pub(crate) async fn send(
        &self,
        service: &testkit::harness::Service,
        method: Method,
        url: &str,
        body: &Value,
    ) -> Answer {
        Answer(Response::to(service.request(method, url).body(body.to_string())).await)
    }

    pub(crate) async fn number_of(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> i64 {
        self.sql_one(query, parameters).await.get(0)
    }

    /// Rows of receipts, deliveries and quarantine.
    pub(crate) async fn rows(&self) -> [i64; 3] {
        [
            self.count("SELECT count(*) FROM receipts").await,
            self.count("SELECT count(*) FROM deliveries").await,
            self.count("SELECT count(*) FROM quarantine").await,
        ]
    }

    /// Publishes an event as another service would.
    pub(crate) async fn publish(&self, kind: &'static EventKind, trace: TraceContext, data: &impl serde::Serialize) {
        let event = OutgoingEvent::new(kind, "a-test", "a-subject", trace, data);
        self.world.publish(event).await;
    }
}

impl Service {
    pub(crate) async fn start(changed: &[(&str, &str)]) -> Self {
        World::new().await.start(changed).await
    }

    pub(crate) async fn call(&self, token: &str, body: &Value) -> Answer {
        self.world.call(self, token, body).await
    }

    pub(crate) async fn call_with(
        &self,
        token: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.world.call_with(self, token, headers, body).await
    }

    /// Starts a call that stays in flight while the test goes on.
    pub(crate) fn begin_call(&self, token: &str, body: &Value) -> JoinHandle<Answer> {
        let request = callback(self, token, &[]).body(body.to_string());
        tokio::spawn(async { Answer(Response::to(request).await) })
    }

    /// The value of a metric without labels of its own; 0 if there is no such metric.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.service.metric(name, "").await.unwrap_or(0.0)
    }

    /// The counter of callbacks with this outcome.
    pub(crate) async fn outcomes(&self, outcome: &str) -> u64 {
        self.service.metric("jaego_callbacks_total", &format!("outcome=\"{outcome}\"")).await.unwrap_or(0)
    }

    pub(crate) async fn stop(mut self) -> World {
        self.service.stop().await;
        self.world
    }
}

impl Answer {
    pub(crate) fn received(&self) -> (&str, i64) {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.body["receipt_id"].is_string() && self.body["sku"] == SKU, "{self:?}");
        (self.body["status"].as_str().unwrap(), self.body["quantity"].as_i64().unwrap())
    }

    pub(crate) fn quarantined(&self) -> &str {
        assert_eq!(self.status, 202, "{self:?}");
        assert_eq!(self.body["status"], "quarantined", "{self:?}");
        self.body["reason"].as_str().unwrap()
    }
}

fn callback(service: &testkit::harness::Service, token: &str, headers: &[(&str, &str)]) -> RequestBuilder {
    let request = service.request(Method::POST, &format!("{}/callbacks/v1/restocks/{token}", service.public));
    let is_typed = headers.iter().any(|(name, _)| *name == "content-type");
    let all = headers.iter().chain(if is_typed { &[] } else { JSON });
    all.fold(request, |request, (name, value)| request.header(*name, *value))
}

/// Claims of a new attempt for a request.
pub(crate) fn claims(request_id: RequestId, quantity: i64) -> CallbackClaims {
    CallbackClaims::new(
        request_id,
        SKU.parse().unwrap(),
        Quantity::try_from(quantity).unwrap(),
        FACTORY.parse().unwrap(),
        chrono::Utc::now(),
        chrono::Duration::days(30),
    )
}

/// The known factory's callback: the request, echoed.
pub(crate) fn echo(count: &str, token: &str) -> Value {
    json!({
        "MessageGroupId": "stock-arrival-group",
        "MessageAttributeProductId": SKU,
        "MessageAttributeProductCnt": count,
        "MessageAttributeFactoryId": FACTORY,
        "MessageAttributeRequester": "재고담당",
        "CallbackUrl": format!("https://restock.example/callbacks/v1/restocks/{token}"),
    })
}

/// A callback with a count and a delivery id.
pub(crate) fn part(id: &str, count: i64) -> Value {
    json!({"MessageAttributeProductCnt": count, "DeliveryId": id})
}
