//! One service under test with its surroundings.

use std::path::PathBuf;
use std::time::Duration;

use jaego_contracts::callback::{CallbackClaims, CallbackSigner};
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::topology::User;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{EventKind, OutgoingEvent};
use jaego_process::Running;
use jaego_settings::{Settings as _, Sources, load};
use reqwest::Method;
use reqwest::header::HeaderMap;
use restock_service::app;
use restock_service::settings::Settings;
use serde_json::{Value, json};
use testkit::process::{Process, Spec};
use testkit::service::{OPERATOR_TOKEN, ServiceSurroundings, Surroundings};
use testkit::wait_until;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;

/// Maximum wait for an effect.
pub(crate) const SOON: Duration = Duration::from_secs(120);
pub(crate) const SKU: &str = "CP-502101";
pub(crate) const FACTORY: &str = "FF-500293";
/// No one listens at this address.
pub(crate) const NO_BROKER: (&str, &str) = ("AMQP__URL", "amqp://nobody:x@127.0.0.1:1/x");

/// The surroundings, without a running service.
pub(crate) struct World {
    pub(crate) surroundings: Surroundings,
    pub(crate) service: ServiceSurroundings,
    pub(crate) sql: tokio_postgres::Client,
    signer: CallbackSigner,
    client: reqwest::Client,
}

/// A service in this process.
pub(crate) struct Service {
    pub(crate) world: World,
    running: Running,
    pub(crate) addresses: Addresses,
}

#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) api: String,
    pub(crate) public: String,
    pub(crate) admin: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl World {
    /// Creates an empty, migrated database.
    pub(crate) async fn new() -> Self {
        let surroundings = Surroundings::new().await;
        let service = surroundings.service(User::Restock).await;
        let world = Self {
            sql: connect(&service.database.url).await,
            signer: CallbackSigner::from_pem(&surroundings.keys.private_pem).unwrap(),
            client: testkit::http::client(SOON),
            surroundings,
            service,
        };
        jaego_pg::migrate(&world.settings(&[]).common().database, (app::IDENTITY.migrations)()).await.unwrap();
        world
    }

    /// The service's environment, with some settings changed.
    pub(crate) fn env(&self, changed: &[(&str, &str)]) -> Vec<(String, String)> {
        let name = |key: &str| format!("{}__{key}", app::IDENTITY.env_prefix);
        let changed: Vec<(String, String)> = changed.iter().map(|(key, value)| (name(key), (*value).into())).collect();
        let kept = self.service.env.iter().filter(|(key, _)| !changed.iter().any(|(name, _)| name == key)).cloned();
        kept.chain(changed.iter().cloned()).collect()
    }

    pub(crate) fn settings(&self, changed: &[(&str, &str)]) -> Settings {
        let (defaults, env_prefix) = (app::IDENTITY.defaults, app::IDENTITY.env_prefix);
        load(Sources { defaults, file: None, env_prefix, env: self.env(changed) }).unwrap()
    }

    pub(crate) async fn start(self, changed: &[(&str, &str)]) -> Service {
        let running = app::start(self.settings(changed)).await.unwrap();
        let addresses = Addresses {
            api: format!("http://{}", running.listeners.api),
            public: format!("http://{}", running.listeners.public),
            admin: format!("http://{}", running.listeners.admin),
        };
        Service { world: self, running, addresses }
    }

    /// The real program, as a process of its own.
    pub(crate) async fn spawn(&self, log: PathBuf, changed: &[(&str, &str)]) -> (Process, Addresses) {
        let mut changed = changed.to_vec();
        changed.push(("TELEMETRY__LOG_FORMAT", "json"));
        let process = Spec::new("restock-service", env!("CARGO_BIN_EXE_restock-service"), &log)
            .arg("serve")
            .envs(self.env(&changed))
            .spawn()
            .unwrap();
        let addresses = wait_until("the line `listening`", SOON, async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let line = lines.find(|line| line["message"] == "listening")?;
            let door = |name: &str| Some(format!("http://{}", line[name].as_str()?));
            Some(Addresses { api: door("api")?, public: door("public")?, admin: door("admin")? })
        })
        .await;
        (process, addresses)
    }

    pub(crate) fn sign(&self, claims: &CallbackClaims) -> String {
        self.signer.sign(claims).unwrap()
    }

    /// A token of a new request.
    pub(crate) fn token(&self, quantity: i64) -> String {
        self.sign(&claims(RequestId::generate(), quantity))
    }

    pub(crate) async fn call(&self, addresses: &Addresses, token: &str, body: &Value) -> Answer {
        self.call_with(addresses, token, &[], body.to_string()).await
    }

    pub(crate) async fn call_with(
        &self,
        addresses: &Addresses,
        token: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.post(format!("{}/callbacks/v1/restocks/{token}", addresses.public));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.body(body).send().await.unwrap()).await
    }

    /// Sends a request to a URL that is not the callback's usual one.
    pub(crate) async fn send(&self, method: Method, url: &str, body: &Value) -> Answer {
        read(self.client.request(method, url).body(body.to_string()).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, url: &str, bearer: Option<&str>) -> Answer {
        let mut request = self.client.get(url);
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        read(request.send().await.unwrap()).await
    }

    /// Sends a JSON body as an operator.
    pub(crate) async fn post(&self, url: &str, bearer: &str, key: Option<&str>, body: &Value) -> Answer {
        let request = self.client.post(url).bearer_auth(bearer).header("content-type", "application/json");
        let request = if let Some(key) = key { request.header("idempotency-key", key) } else { request };
        read(request.body(body.to_string()).send().await.unwrap()).await
    }

    /// Sends the same to one of several processes, as an operator.
    pub(crate) async fn post_to(&self, addresses: &Addresses, path: &str, body: &Value) -> Answer {
        self.post(&format!("{}{path}", addresses.api), OPERATOR_TOKEN, None, body).await
    }

    pub(crate) async fn text(&self, url: &str) -> String {
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.number_of(query, &[]).await
    }

    pub(crate) async fn number_of(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> i64 {
        self.sql.query_one(query, parameters).await.unwrap().get(0)
    }

    /// Rows of receipts, deliveries and quarantine.
    pub(crate) async fn rows(&self) -> [i64; 3] {
        [
            self.number("SELECT count(*) FROM receipts").await,
            self.number("SELECT count(*) FROM deliveries").await,
            self.number("SELECT count(*) FROM quarantine").await,
        ]
    }

    /// Publishes an event as another service would.
    pub(crate) async fn publish(&self, kind: &'static EventKind, trace: TraceContext, data: &impl serde::Serialize) {
        let event = OutgoingEvent::new(kind, "a-test", "a-subject", trace, data);
        self.publish_bytes(kind.routing_key, &event.body).await;
    }

    pub(crate) async fn publish_bytes(&self, routing_key: &str, body: &[u8]) {
        let vhost = &self.surroundings.vhost;
        let properties = json!({"delivery_mode": 2, "content_type": "application/cloudevents+json"});
        assert!(vhost.broker().publish(&vhost.name, "jaego.events", routing_key, &properties, body).await.unwrap());
    }

    /// Waits until a queue holds this many messages.
    pub(crate) async fn wait_for_depth(&self, queue: &str, depth: u32) {
        wait_until(&format!("{depth} in {queue}"), SOON, async || match self.surroundings.vhost.depth(queue).await {
            Ok(seen) if seen == depth => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Waits until a query returns this number.
    pub(crate) async fn wait_for_number(&self, query: &str, expected: i64) {
        wait_until(query, SOON, async || {
            let seen = self.number(query).await;
            if seen == expected { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

impl Service {
    pub(crate) async fn start(changed: &[(&str, &str)]) -> Self {
        World::new().await.start(changed).await
    }

    pub(crate) async fn call(&self, token: &str, body: &Value) -> Answer {
        self.world.call(&self.addresses, token, body).await
    }

    /// Starts a call that stays in flight while the test goes on.
    pub(crate) fn begin_call(&self, token: &str, body: &Value) -> JoinHandle<Answer> {
        let request = self.world.client.post(format!("{}/callbacks/v1/restocks/{token}", self.addresses.public));
        let request = request.header("content-type", "application/json").body(body.to_string());
        tokio::spawn(async move { read(request.send().await.unwrap()).await })
    }

    /// The value of a metric without labels of its own; 0 if there is no such metric.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.world.text(&format!("{}/metrics", self.addresses.admin)).await;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// The counter of callbacks with this outcome.
    pub(crate) async fn outcomes(&self, outcome: &str) -> u64 {
        let text = self.world.text(&format!("{}/metrics", self.addresses.admin)).await;
        let label = format!("outcome=\"{outcome}\"");
        let line = text.lines().find(|line| line.starts_with("jaego_callbacks_total") && line.contains(&label));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) async fn call_with(
        &self,
        token: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.world.call_with(&self.addresses, token, headers, body).await
    }

    pub(crate) async fn stop(self) -> World {
        self.running.stop().await;
        self.world
    }
}

impl Answer {
    /// The problem's slug. Panics if the answer is not a complete problem.
    pub(crate) fn problem(&self) -> &str {
        let is_problem = self.headers.get("content-type").is_some_and(|value| value == "application/problem+json");
        let slug = self.body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/"));
        let complete = ["title", "detail", "instance", "trace_id"].iter().all(|name| self.body[name].is_string());
        match slug {
            Some(slug) if is_problem && complete && self.body["status"] == self.status => slug,
            _ => panic!("no problem: {self:?}"),
        }
    }

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

pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}
