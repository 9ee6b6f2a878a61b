//! access-service with its surroundings, and a service that asks it.

use std::ops::Deref;

use access_service::app;
use access_service::settings::Settings;
use jaego_contracts::topology::User;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::harness::Replica;
use testkit::service::{OPERATOR_TOKEN, PROGRAM_CREDENTIAL};
use testkit::wait_until;

pub(crate) use testkit::harness::{Response, SOON};

/// The surroundings, without a running service.
pub(crate) struct World(testkit::harness::World);

impl Deref for World {
    type Target = testkit::harness::World;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// An access-service in this process.
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

impl World {
    /// Creates an empty, migrated database.
    pub(crate) async fn new() -> Self {
        let world = Self(testkit::harness::World::access().await);
        jaego_pg::migrate(&world.own.database.migrator(), (app::IDENTITY.migrations)()).await.unwrap();
        world
    }

    fn settings(&self, changed: &[(&str, &str)]) -> Settings {
        self.0.settings(app::IDENTITY.defaults, changed)
    }

    pub(crate) async fn start(self, changed: &[(&str, &str)]) -> Service {
        let running = app::start(self.settings(changed)).await.unwrap();
        let listeners = [running.listeners.api, running.listeners.public, running.listeners.admin];
        Service { world: self, service: testkit::harness::Service::in_process(listeners, running.stop()) }
    }

    /// The real program, as a process of its own.
    pub(crate) async fn replica(&self, changed: &[(&str, &str)]) -> Replica {
        self.spawn(env!("CARGO_BIN_EXE_access-service"), changed).await
    }

    /// Details of the recorded actions of this kind, oldest first, each with its actor.
    pub(crate) async fn recorded(&self, action: &str) -> Vec<(String, Value)> {
        let sql = "SELECT actor, detail::text FROM audit_log WHERE action = $1 ORDER BY id";
        let rows = self.database.query(sql, &[&action]).await.unwrap();
        rows.iter().map(|row| (row.get(0), serde_json::from_str(row.get(1)).unwrap())).collect()
    }
}

impl Service {
    pub(crate) async fn start(changed: &[(&str, &str)]) -> Self {
        World::new().await.start(changed).await
    }

    /// Makes a token as the operator `kim`.
    pub(crate) async fn token(&self, name: &str, role: &str) -> (String, String) {
        let body = json!({"name": name, "role": role, "expires_in_days": 30});
        let made = self.post("/api/v1/tokens", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        (made.body["token"].as_str().unwrap().to_owned(), made.body["id"].as_str().unwrap().to_owned())
    }

    /// Reads a list as the operator `kim`.
    pub(crate) async fn list(&self, path: &str) -> Value {
        let list = self.send_as(Some(OPERATOR_TOKEN), Method::GET, path, None).await;
        assert_eq!(list.status, 200, "{list:?}");
        list.body
    }

    /// Calls an endpoint of Jaego's own programs.
    pub(crate) async fn internal(&self, path: &str, body: Value) -> Response {
        self.send_as(Some(PROGRAM_CREDENTIAL), Method::POST, &format!("/internal/{path}"), Some(body)).await
    }

    /// Signs in as the frontend does, and returns the credential of the session.
    pub(crate) async fn sign_in(&self, token: &str, source: &str) -> String {
        let begun = self.internal("sessions", json!({"token": token, "source": source})).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        begun.body["session"].as_str().unwrap().to_owned()
    }

    /// Status of a list, requested with this credential.
    pub(crate) async fn status_as(&self, token: &str) -> u16 {
        self.send_as(Some(token), Method::GET, "/api/v1/tokens", None).await.status.as_u16()
    }

    pub(crate) async fn stop(mut self) -> World {
        self.service.stop().await;
        self.world
    }
}

/// A restock-service, which stands for all services that ask access-service.
pub(crate) struct Asking {
    service: testkit::harness::Service,
    _world: testkit::harness::World,
}

impl Deref for Asking {
    type Target = testkit::harness::Service;

    fn deref(&self) -> &Self::Target {
        &self.service
    }
}

const LIST: &str = "/api/v1/receipts";

impl Asking {
    pub(crate) async fn start(access_url: &str) -> Self {
        use restock_service::app;
        let world = testkit::harness::World::new(User::Restock).await;
        let settings: restock_service::settings::Settings =
            world.settings(app::IDENTITY.defaults, &[("ACCESS__URL", access_url)]);
        jaego_pg::migrate(&world.own.database.migrator(), (app::IDENTITY.migrations)()).await.unwrap();
        let running = app::start(settings).await.unwrap();
        let listeners = [running.listeners.api, running.listeners.public, running.listeners.admin];
        let service = testkit::harness::Service::in_process(listeners, running.stop());
        Self { service, _world: world }
    }

    /// Reads a list with a credential.
    pub(crate) async fn read_as(&self, token: &str) -> Response {
        self.send_as(Some(token), Method::GET, LIST, None).await
    }

    /// Tries to change something with a credential.
    pub(crate) async fn change_as(&self, token: &str) -> Response {
        let body = json!({"request_id": "01938a3c-7d1e-7c4b-9a52-0f6d2a1b3c4d", "quantity": 1, "reason": "found"});
        self.send_as(Some(token), Method::POST, LIST, Some(body)).await
    }

    pub(crate) async fn becomes(&self, token: &str, status: u16) {
        wait_until(&format!("status {status}"), SOON, async || {
            let seen = self.read_as(token).await.status.as_u16();
            if seen == status { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// A configured token needs no access-service.
    pub(crate) async fn serves_configured_tokens(&self) {
        assert_eq!(self.read_as(OPERATOR_TOKEN).await.status, 200);
    }

    pub(crate) async fn stop(mut self) {
        self.service.stop().await;
    }
}
