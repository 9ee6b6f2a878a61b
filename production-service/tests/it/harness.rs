//! Environment of one test: servers, a simulated factory, the service under test and the queues of its neighbours.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use chrono::Utc;
use factory_simulator::FactorySimulator;
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_contracts::production;
use jaego_contracts::production::ProductionRequested;
use jaego_contracts::topology::User;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{EventKind, OutgoingEvent};
use production_service::app;
use production_service::settings::Settings;
use serde_json::{Value, json};
use testkit::harness::Replica;
use testkit::provision::Message;
use testkit::wait_until;

pub(crate) use testkit::harness::{Response, SOON};

pub(crate) const SKU: &str = "CP-502101";
pub(crate) const FACTORY: &str = "FF-500293";
pub(crate) const CALLBACK_BASE: &str = "https://restock.example";
/// Queue of sales-service that receives outcomes.
pub(crate) const OUTCOMES: &str = "sales.production-outcomes";

/// The surroundings, with a factory and without a running service.
pub(crate) struct World {
    pub(crate) factory: FactorySimulator,
    world: testkit::harness::World,
}

impl Deref for World {
    type Target = testkit::harness::World;

    fn deref(&self) -> &Self::Target {
        &self.world
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.world
    }
}

impl World {
    /// Uses a retry schedule of `schedule` seconds, and a database with the schema.
    pub(crate) async fn new(schedule: &str) -> Self {
        // No test waits for a callback, so this factory is slow.
        let factory = FactorySimulator::start_local(3_600_000).expect("a factory");
        let mut world = Self { factory, world: testkit::harness::World::new(User::Production).await };
        world.set("CALLBACK__BASE_URL", CALLBACK_BASE);
        world.set("DELIVERY__POLL_MS", "20");
        // A message that the broker confirms late is published twice, and events are counted here.
        world.set("AMQP__TIMEOUT_MS", "60000");
        world.set("DELIVERY__RETRY_SCHEDULE_S", schedule);
        jaego_pg::migrate(&world.own.database.migrator(), (app::IDENTITY.migrations)()).await.expect("migrated");
        world
    }

    pub(crate) fn settings(&self) -> Settings {
        self.world.settings(app::IDENTITY.defaults, &[])
    }

    pub(crate) async fn start(&self) -> Service {
        start(self.settings()).await
    }

    /// Starts a replica whose calls have a header of their own, so that the factory can distinguish them.
    pub(crate) async fn start_as(&self, name: &str) -> Service {
        let path = std::env::temp_dir().join(format!("jaego-{name}-{}", self.own.database.name));
        std::fs::write(&path, format!("Authorization: {name}\n")).expect("written");
        let header = format!("{FACTORY}=file:{}", path.display());
        let changed = [("DELIVERY__FACTORY_HEADERS", header.as_str())];
        let service = start(self.world.settings(app::IDENTITY.defaults, &changed)).await;
        std::fs::remove_file(path).expect("removed");
        service
    }

    /// The service as a process of its own.
    pub(crate) async fn replica(&self) -> Replica {
        self.spawn(env!("CARGO_BIN_EXE_production-service"), &[]).await
    }

    /// Number of calls to the factory by each replica of [`Self::start_as`].
    pub(crate) fn calls_by_replica(&self) -> BTreeMap<String, usize> {
        self.factory.requests().into_iter().fold(BTreeMap::new(), |mut calls, one| {
            *calls.entry(one.authorization.unwrap_or_default()).or_default() += 1;
            calls
        })
    }

    /// Starts the service and adds the simulated factory.
    pub(crate) async fn start_with_factory(&self) -> Service {
        let service = self.start().await;
        service.put_factory(FACTORY, json!({"base_url": self.factory.url()})).await;
        service
    }

    /// Publishes a request for `units` from `factory`; returns its id.
    pub(crate) async fn request(&self, factory: &str, units: i64) -> RequestId {
        let (id, event) = requested(factory, units);
        self.publish(event).await;
        id
    }

    /// Waits until `count` outcomes have been published; returns their types and data.
    pub(crate) async fn outcomes(&self, count: u32) -> Vec<(String, Value)> {
        self.messages(OUTCOMES, count).await.iter().map(parse_event).collect()
    }

    /// Ends a test: no message is left unhandled, and none waits for a retry or the broker.
    pub(crate) async fn finish(self, service: Service) {
        for queue in ["production.requests", "production.replenishments-closed", "production.stock-received"] {
            self.wait_for_depth(queue, 0).await;
        }
        service.stop().await;
        for table in ["outbox", "message_retries"] {
            assert_eq!(self.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
}

async fn start(settings: Settings) -> Service {
    let running = app::start(settings).await.expect("started");
    let listeners = [running.listeners.api, running.listeners.public, running.listeners.admin];
    Service(testkit::harness::Service::in_process(listeners, running.stop()))
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

/// A service in this process.
pub(crate) struct Service(testkit::harness::Service);

impl Deref for Service {
    type Target = testkit::harness::Service;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Service {
    pub(crate) async fn stop(mut self) {
        self.0.stop().await;
    }

    /// `fields` override the tests' default settings of a factory.
    pub(crate) async fn put_factory(&self, id: &str, fields: Value) {
        let mut body = json!({"name": "부산도너츠 공장", "base_url": "http://127.0.0.1:9"});
        body.as_object_mut().expect("object").extend(fields.as_object().expect("object").clone());
        let answer = self.put(&format!("/api/v1/factories/{id}"), body).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }

    pub(crate) async fn production_request(&self, id: RequestId) -> Response {
        self.get(&format!("/api/v1/production-requests/{id}")).await
    }

    /// Starts a redrive; returns the job's id.
    pub(crate) async fn redrive(&self, body: Value) -> String {
        let path = "/api/v1/dead-letters/redrive";
        let answer = self.post(path, body).await;
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
