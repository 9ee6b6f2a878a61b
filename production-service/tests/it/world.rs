//! Environment of one test: servers, a simulated factory, the service under test and the queues of its neighbours.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use factory_simulator::FactorySimulator;
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::production;
use jaego_contracts::production::ProductionRequested;
use jaego_contracts::topology::{EVENTS, User};
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{EventKind, OutgoingEvent};
use jaego_process::Running;
use jaego_settings::{Settings as _, Sources};
use production_service::app;
use production_service::settings::Settings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::provision::Message;
use testkit::service::{OPERATOR_TOKEN, ServiceSurroundings, Surroundings, VIEWER_TOKEN};
use testkit::wait_until;

pub(crate) const SOON: Duration = Duration::from_secs(120);
pub(crate) const SKU: &str = "CP-502101";
pub(crate) const FACTORY: &str = "FF-500293";
pub(crate) const CALLBACK_BASE: &str = "https://restock.example";
/// Queue of sales-service that receives outcomes.
pub(crate) const OUTCOMES: &str = "sales.production-outcomes";

pub(crate) struct World {
    pub(crate) surroundings: Surroundings,
    pub(crate) own: ServiceSurroundings,
    pub(crate) factory: FactorySimulator,
    env: Vec<(String, String)>,
}

impl World {
    /// Uses a retry schedule of `schedule` seconds, and a database with the schema.
    pub(crate) async fn new(schedule: &str) -> Self {
        let surroundings = Surroundings::new().await;
        let own = surroundings.service(User::Production).await;
        // No test waits for a callback, so this factory is slow.
        let factory = FactorySimulator::start_local(3_600_000).expect("a factory");
        let env = [
            ("CALLBACK__BASE_URL", CALLBACK_BASE),
            ("DELIVERY__POLL_MS", "20"),
            // A message that the broker confirms late is published twice, and events are counted here.
            ("AMQP__TIMEOUT_MS", "60000"),
            ("DELIVERY__RETRY_SCHEDULE_S", schedule),
        ];
        let env = env.iter().map(|(key, value)| (format!("JAEGO_PRODUCTION__{key}"), (*value).to_owned())).collect();
        let world = Self { surroundings, own, factory, env };
        let settings = world.settings();
        jaego_pg::migrate(&settings.common().database, (app::IDENTITY.migrations)()).await.expect("migrated");
        world
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.env.push((format!("JAEGO_PRODUCTION__{key}"), value.to_owned()));
    }

    pub(crate) fn env(&self) -> Vec<(String, String)> {
        self.own.env.iter().chain(&self.env).cloned().collect()
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(self.env())
    }

    pub(crate) async fn start(&self) -> Service {
        Self::start_with(self.settings()).await
    }

    /// Starts a replica whose calls have a header of their own, so that the factory can distinguish them.
    pub(crate) async fn start_as(&self, name: &str) -> Service {
        let path = std::env::temp_dir().join(format!("jaego-{name}-{}", self.own.database.name));
        std::fs::write(&path, format!("Authorization: {name}\n")).expect("written");
        let mut env = self.env();
        let header = format!("{FACTORY}=file:{}", path.display());
        env.push(("JAEGO_PRODUCTION__DELIVERY__FACTORY_HEADERS".to_owned(), header));
        let service = Self::start_with(settings(env)).await;
        std::fs::remove_file(path).expect("removed");
        service
    }

    /// Number of calls to the factory by each replica of [`Self::start_as`].
    pub(crate) fn calls_by_replica(&self) -> BTreeMap<String, usize> {
        self.factory.requests().into_iter().fold(BTreeMap::new(), |mut calls, one| {
            *calls.entry(one.authorization.unwrap_or_default()).or_default() += 1;
            calls
        })
    }

    async fn start_with(settings: Settings) -> Service {
        let running = app::start(settings).await.expect("started");
        let base = format!("http://{}", running.listeners.api);
        Service { running, base, client: testkit::http::client(SOON) }
    }

    /// Starts the service and adds the simulated factory.
    pub(crate) async fn start_with_factory(&self) -> Service {
        let service = self.start().await;
        service.put_factory(FACTORY, json!({"base_url": self.factory.url()})).await;
        service
    }

    pub(crate) async fn publish(&self, event: OutgoingEvent) {
        let key = event.kind.routing_key;
        let trace = event.trace.to_string();
        self.publish_raw(EVENTS, key, &event.id.to_string(), &trace, &event.body).await;
    }

    pub(crate) async fn publish_raw(&self, exchange: &str, key: &str, message_id: &str, trace: &str, body: &[u8]) {
        let properties = json!({
            "message_id": message_id,
            "content_type": "application/cloudevents+json",
            "delivery_mode": 2,
            "headers": {"traceparent": trace},
        });
        let vhost = &self.surroundings.vhost;
        let routed = vhost.broker().publish(&vhost.name, exchange, key, &properties, body).await.expect("published");
        assert!(routed, "no queue takes {key} on {exchange}");
    }

    /// Publishes a request for `units` from `factory`; returns its id.
    pub(crate) async fn request(&self, factory: &str, units: i64) -> RequestId {
        let (id, event) = requested(factory, units);
        self.publish(event).await;
        id
    }

    /// Waits until a queue has `count` messages; returns them without removing them.
    pub(crate) async fn messages(&self, queue: &str, count: u32) -> Vec<Message> {
        let vhost = &self.surroundings.vhost;
        wait_until(&format!("{count} messages in {queue}"), SOON, || async {
            let depth = vhost.depth(queue).await.map_err(|error| error.to_string())?;
            if depth == count { Ok(()) } else { Err(format!("{depth} messages")) }
        })
        .await;
        vhost.broker().get_messages(&vhost.name, queue, count + 1).await.expect("messages")
    }

    /// Waits until `count` outcomes have been published; returns their types and data.
    pub(crate) async fn outcomes(&self, count: u32) -> Vec<(String, Value)> {
        self.messages(OUTCOMES, count).await.iter().map(parse_event).collect()
    }

    /// Ends a test: no message is left unhandled, and none waits for a retry or the broker.
    pub(crate) async fn finish(self, service: Service) {
        for queue in ["production.requests", "production.replenishments-closed", "production.stock-received"] {
            self.messages(queue, 0).await;
        }
        service.running.stop().await;
        for table in ["outbox", "message_retries"] {
            assert_eq!(self.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }

    pub(crate) async fn sql(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.own.database.url, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        client
    }

    /// Terminates all connections to the database and refuses new ones.
    pub(crate) async fn begin_outage(&self) -> Outage {
        let url = self.surroundings.lab.postgres_admin_url();
        let (admin, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        let outage = Outage { admin, role: self.own.database.name.clone() };
        outage.run("ALTER ROLE \"{role}\" NOLOGIN").await;
        outage.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'").await;
        outage
    }

    /// SQL as the administrator, even while the service's role cannot log in.
    pub(crate) async fn as_admin(&self) -> tokio_postgres::Client {
        let url = &self.own.database.admin_url;
        let (admin, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        admin
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.sql().await.query_one(query, &[]).await.expect("a count").get(0)
    }
}

fn settings(env: Vec<(String, String)>) -> Settings {
    let identity = app::IDENTITY;
    let sources = Sources { defaults: identity.defaults, file: None, env_prefix: identity.env_prefix, env };
    jaego_settings::load(sources).expect("settings")
}

pub(crate) struct Outage {
    admin: tokio_postgres::Client,
    role: String,
}

impl Outage {
    pub(crate) async fn end(self) {
        self.run("ALTER ROLE \"{role}\" LOGIN").await;
    }

    async fn run(&self, statement: &str) {
        self.admin.batch_execute(&statement.replace("{role}", &self.role)).await.expect("the administrator may");
    }
}

pub(crate) fn requested(factory: &str, units: i64) -> (RequestId, OutgoingEvent) {
    let id = RequestId::generate();
    let data = ProductionRequested {
        request_id: id,
        sku: SKU.parse().expect("sku"),
        quantity: Quantity::try_from(units).expect("quantity"),
        factory_id: factory.parse().expect("factory"),
        reason: "position 0 is at the reorder point 0".to_owned(),
        requested_at: Utc::now(),
    };
    (id, event(&production::REQUESTED, id, &data))
}

pub(crate) fn event(kind: &'static EventKind, id: RequestId, data: &impl serde::Serialize) -> OutgoingEvent {
    OutgoingEvent::new(kind, "sales-service", &id.to_string(), TraceContext::new_root(), data)
}

pub(crate) fn parse_event(message: &Message) -> (String, Value) {
    let event: Value = serde_json::from_slice(&message.bytes()).expect("an event");
    (event["type"].as_str().expect("a type").to_owned(), event["data"].clone())
}

pub(crate) struct Service {
    pub(crate) running: Running,
    pub(crate) base: String,
    client: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Service {
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        if_match: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(tag) = if_match {
            request = request.header("If-Match", tag);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (etag, content_type) = (header("etag"), header("content-type").unwrap_or_default());
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        Answer { status, etag, content_type, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Some(VIEWER_TOKEN), None, None).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, Some(OPERATOR_TOKEN), None, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(OPERATOR_TOKEN), None, Some(body)).await
    }

    /// `fields` override the tests' default settings of a factory.
    pub(crate) async fn put_factory(&self, id: &str, fields: Value) {
        let mut body = json!({"name": "부산도너츠 공장", "base_url": "http://127.0.0.1:9"});
        body.as_object_mut().expect("object").extend(fields.as_object().expect("object").clone());
        let answer = self.put(&format!("/api/v1/factories/{id}"), body).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }

    pub(crate) async fn production_request(&self, id: RequestId) -> Answer {
        self.get(&format!("/api/v1/production-requests/{id}")).await
    }

    /// Starts a redrive; returns the job's id.
    pub(crate) async fn redrive(&self, body: Value) -> String {
        let path = "/api/v1/dead-letters/redrive";
        let answer = self.send(Method::POST, path, Some(OPERATOR_TOKEN), None, Some(body)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.body["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until nothing of the job is pending.
    pub(crate) async fn redriven(&self, id: &str) -> Value {
        wait_until(&format!("the end of redrive {id}"), SOON, || async {
            let body = self.get(&format!("/api/v1/dead-letters/redrives/{id}")).await.body;
            if body["done"] == true { Ok(body) } else { Err(body.to_string()) }
        })
        .await
    }

    /// Waits until `count` dead letters are open; returns them, newest first.
    pub(crate) async fn dead_letters(&self, count: usize) -> Vec<Value> {
        wait_until(&format!("{count} dead letters"), SOON, || async {
            let body = self.get("/api/v1/dead-letters?limit=200").await.body;
            let items = body["items"].as_array().cloned().unwrap_or_default();
            if items.len() == count { Ok(items) } else { Err(body.to_string()) }
        })
        .await
    }

    /// Waits until the request is in `status`.
    pub(crate) async fn until(&self, id: RequestId, status: &str) -> Value {
        wait_until(&format!("{id} {status}"), SOON, || async {
            let body = self.production_request(id).await.body;
            if body["status"] == status { Ok(body) } else { Err(body.to_string()) }
        })
        .await
    }
}
