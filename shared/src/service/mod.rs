//! What every service is: started in order and stopped within bounds, by a program with a few commands.

mod program;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::Context;
use diesel_async::RunQueryDsl;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use program::run;

use crate::amqp::consumer::{Consumers, Subscription};
use crate::amqp::health::BrokerHealth;
use crate::amqp::topology::Queue;
use crate::audit::{Auditor, Books};
use crate::db::{self, Migrations, Pool};
use crate::dead_letters::{DeadLetters, Hooks};
use crate::http::auth::OperatorTokens;
use crate::http::{Listeners, Operations, Routes, listen};
use crate::installation::await_topology;
use crate::outbox::Outbox;
use crate::readiness::{self, Check, Need, Readiness};
use crate::relay::Relay;
use crate::settings::Common;
use crate::telemetry;

/// How often the database is asked whether it is well.
const DATABASE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// A database that does not answer for so long is not there, though its connection may look whole.
const DATABASE_CHECK_LIMIT: Duration = Duration::from_secs(5);

/// The parts that use the broker, as checks.
const RELAY: &str = "broker-relay";
const CONSUMERS: &str = "broker-consumers";

/// What tells one service from another.
#[derive(Clone, Copy)]
pub struct Identity {
    /// `sales-service`.
    pub name: &'static str,
    /// `JAEGO_SALES`.
    pub env_prefix: &'static str,
    /// The embedded `default.toml`.
    pub defaults: &'static str,
    /// The service's own migrations.
    pub migrations: fn() -> Migrations,
    /// What its books are held to.
    pub books: Books,
}

/// One TLS provider for the whole process; a second call does nothing.
pub fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A service while it is put together.
pub struct Builder {
    identity: Identity,
    common: Common,
    /// Its database.
    pub pool: Pool,
    /// Its outbox.
    pub outbox: Outbox,
    /// Its checks.
    pub readiness: Readiness,
    subscriptions: Vec<Subscription>,
    hooks: BTreeMap<&'static str, Hooks>,
    /// Cancelled when the schema is found to be there: nothing works on another one.
    schema: CancellationToken,
    stop: CancellationToken,
    stop_relay: CancellationToken,
    tasks: TaskTracker,
    relay_task: TaskTracker,
    tasks_check: Check,
}

impl Builder {
    /// With the parts that every service has; nothing runs yet.
    pub fn new(identity: Identity, common: &Common) -> anyhow::Result<Self> {
        install_tls();
        telemetry::init(identity.name, &common.telemetry)?;
        let readiness = Readiness::default();
        let tasks_check = readiness.register(readiness::TASKS, Need::Required);
        tasks_check.pass();
        Ok(Self {
            identity,
            tasks_check,
            common: common.clone(),
            pool: db::pool(&common.database, identity.name)?,
            outbox: Outbox::new(common.outbox.pending_max),
            readiness,
            subscriptions: Vec::new(),
            hooks: BTreeMap::new(),
            schema: CancellationToken::new(),
            stop: CancellationToken::new(),
            stop_relay: CancellationToken::new(),
            tasks: TaskTracker::new(),
            relay_task: TaskTracker::new(),
        })
    }

    /// Adds a queue's handler.
    pub fn consume(&mut self, subscription: Subscription) {
        self.subscriptions.push(subscription);
    }

    /// Says what dead letters of `queue` mean beyond themselves.
    pub fn hook(&mut self, queue: &'static Queue, hooks: Hooks) {
        self.hooks.insert(queue.name, hooks);
    }

    /// Adds a background loop: it ends soon after its token is cancelled, with its work whole.
    pub fn spawn<F>(&mut self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = after(self.schema.clone(), self.stop.clone(), work(self.stop.clone()));
        self.tasks.spawn(watched("background loop", work, self.stop.clone(), self.tasks_check.clone()));
    }

    /// The same for a loop that answers callers: it does not wait for the schema to be found, so that they
    /// hear at once that the database is away.
    pub fn spawn_at_once<F>(&mut self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = work(self.stop.clone());
        self.tasks.spawn(watched("background loop", work, self.stop.clone(), self.tasks_check.clone()));
    }

    /// Opens the doors and starts everything.
    pub fn start(self, routes: &Routes) -> anyhow::Result<Running> {
        let database = self.readiness.register("database", Need::Required);
        let relay = Relay {
            name: self.identity.name,
            pool: self.pool.clone(),
            outbox: self.outbox.clone(),
            broker: BrokerHealth::new(self.readiness.register(RELAY, Need::Useful), "relay"),
            amqp: self.common.amqp.clone(),
            settings: self.common.outbox.clone(),
        };
        let dead_letters =
            DeadLetters::new(self.pool.clone(), self.outbox.clone(), self.common.dead_letters.clone(), self.hooks);
        let queues = self.subscriptions.iter().map(|subscription| subscription.queue).collect();
        let consumers = Consumers {
            name: self.identity.name,
            pool: self.pool.clone(),
            outbox: self.outbox.clone(),
            broker: BrokerHealth::new(self.readiness.register(CONSUMERS, Need::Useful), "consumers"),
            amqp: self.common.amqp.clone(),
            subscriptions: self.subscriptions,
            dead_letters: dead_letters.clone(),
        };
        let topology = self.readiness.register("topology", Need::Required);
        let running_check = self.readiness.register("process", Need::Required);
        running_check.pass();
        let drain = Duration::from_millis(self.common.shutdown.drain_ms);
        let tokens = OperatorTokens::from_settings(&self.common.auth.tokens);
        let auditor = Auditor::new(self.pool.clone(), self.identity.books);
        let operations = Operations {
            tokens,
            auditor: auditor.clone(),
            pool: self.pool.clone(),
            dead_letters: dead_letters.clone(),
        };
        let (pool, readiness, stop) = (self.pool.clone(), self.readiness.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            await_topology(&pool, &readiness, &[RELAY, CONSUMERS], &topology, &stop).await;
        });
        let listeners =
            listen(&self.common.http, routes, operations, self.readiness, drain).context("cannot listen")?;
        let audit_every = Duration::from_secs(self.common.audit.every_s);
        let auditing = after(self.schema.clone(), self.stop.clone(), auditor.watch(audit_every, self.stop.clone()));
        self.tasks.spawn(watched("audit", auditing, self.stop.clone(), self.tasks_check.clone()));
        let watching =
            watch_database(self.pool, (self.identity.migrations)(), database, self.schema.clone(), self.stop.clone());
        self.tasks.spawn(watching);
        let check = self.tasks_check;
        let consuming = after(self.schema.clone(), self.stop.clone(), consumers.run(self.stop.clone()));
        self.tasks.spawn(watched("consumers", consuming, self.stop.clone(), check.clone()));
        let keeping = after(self.schema.clone(), self.stop.clone(), dead_letters.run(queues, self.stop.clone()));
        self.tasks.spawn(watched("dead letters", keeping, self.stop.clone(), check.clone()));
        let relaying = after(self.schema.clone(), self.stop_relay.clone(), relay.run(self.stop_relay.clone()));
        self.relay_task.spawn(watched("relay", relaying, self.stop_relay.clone(), check));
        self.tasks.close();
        self.relay_task.close();
        tracing::info!(service = self.identity.name, version = env!("CARGO_PKG_VERSION"), api = %listeners.api, public = %listeners.public, admin = %listeners.admin, "listening");
        Ok(Running {
            listeners,
            process: running_check,
            pre_stop: Duration::from_millis(self.common.shutdown.pre_stop_ms),
            drain,
            stop: self.stop,
            stop_relay: self.stop_relay,
            tasks: self.tasks,
            relay_task: self.relay_task,
        })
    }
}

/// Work that ends before it is asked to (a panic is a bug, but it happens) must not go unnoticed: the
/// process says that it is neither ready nor alive, so that it is started anew.
async fn watched(name: &'static str, work: impl Future<Output = ()>, stop: CancellationToken, check: Check) {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    if ended.is_err() || !stop.is_cancelled() {
        tracing::error!(name, "ended unasked; the process must be started anew");
        check.fail(&format!("{name} ended unasked"));
    }
}

/// Work that begins when the schema is there. When it is stopped before, it begins and ends at once.
async fn after(schema: CancellationToken, stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = schema.cancelled() => {}
        () = stop.cancelled() => {}
    }
    work.await;
}

async fn watch_database(
    pool: Pool,
    migrations: Migrations,
    check: Check,
    schema: CancellationToken,
    stop: CancellationToken,
) {
    let mut schema_is_current = false;
    while !stop.is_cancelled() {
        let asked = async {
            let mut connection = pool.get().await.map_err(|error| error.to_string())?;
            if !schema_is_current {
                let missing =
                    db::missing_migrations(&mut connection, &migrations).await.map_err(|error| error.to_string())?;
                if !missing.is_empty() {
                    return Err(format!("the schema lacks {}: run `migrate`", missing.join(", ")));
                }
            }
            diesel::sql_query("SELECT 1").execute(&mut connection).await.map_err(|error| error.to_string())
        };
        let answer = tokio::time::timeout(DATABASE_CHECK_LIMIT, asked).await;
        match answer.unwrap_or_else(|_| Err("the database does not answer in time".to_owned())) {
            Ok(_) => {
                schema_is_current = true;
                schema.cancel();
                check.pass();
            }
            Err(error) => check.fail(&error),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(DATABASE_CHECK_EVERY) => {}
        }
    }
}

/// A running service.
pub struct Running {
    /// Where it listens.
    pub listeners: Listeners,
    process: Check,
    pre_stop: Duration,
    drain: Duration,
    stop: CancellationToken,
    stop_relay: CancellationToken,
    tasks: TaskTracker,
    relay_task: TaskTracker,
}

impl Running {
    /// Stops in order: not ready; doors closed, requests in hand answered; consumers and loops end
    /// with their work whole; the relay publishes what is left. Each step is bounded.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.process.fail("stopping");
        tokio::time::sleep(self.pre_stop).await;
        let bounded = |what: &'static str, work| async move {
            if tokio::time::timeout(self.drain, work).await.is_err() {
                tracing::warn!(what, "did not end within shutdown.drain_ms");
            }
        };
        bounded("requests", futures::future::Either::Left(self.listeners.close_doors())).await;
        self.stop.cancel();
        bounded("background work", futures::future::Either::Right(self.tasks.wait())).await;
        self.stop_relay.cancel();
        if tokio::time::timeout(self.drain, self.relay_task.wait()).await.is_err() {
            tracing::warn!("the relay did not end within shutdown.drain_ms; the outbox keeps what is left");
        }
        self.listeners.close().await;
        telemetry::flush();
        tracing::info!("stopped");
    }
}
