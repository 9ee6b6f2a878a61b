//! The common part of every service: an ordered start, a bounded stop, and a program with a few commands. A program
//! without a database is only a [`Process`].

pub mod audit;
pub mod audit_log;
pub mod dead_letters;
pub mod idempotency;
mod installation;
pub mod operation;
mod program;
mod quiet;
pub mod rebuild;
mod refused;
mod server;
pub mod settings;
pub mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use diesel_async::RunQueryDsl;
use jaego_access::Known;
use jaego_amqp::health::BrokerHealth;
use jaego_contracts::topology::Queue;
use jaego_pg::{Migrations, Pool};
use jaego_postbox::consumer::{Consumers, Subscription};
use jaego_postbox::dead_letters::{DeadLetters, Hooks};
use jaego_postbox::outbox::Outbox;
use jaego_postbox::relay::Relay;
use jaego_process::{Loops, Process, Program, Running};
use jaego_telemetry::readiness::{Check, Need, Readiness};
use jaego_web::auth::{Authenticator, OperatorTokens};
use jaego_web::wrong_tokens::WrongTokens;
use tokio_util::sync::CancellationToken;

pub use program::{arguments, run};
pub use quiet::Quiet;
pub use refused::{Refused, outbox_full};
pub use server::{Operations, Routes, listen};

use crate::audit::{Auditor, Books};
use crate::installation::await_topology;
use crate::settings::Common;

/// Interval of the database check.
const DATABASE_CHECK_EVERY: Duration = Duration::from_secs(5);

/// The database check commits a row, because reads can succeed while commits do not, for example when a standby that
/// must confirm them is away.
const HEARTBEAT: &str =
    "INSERT INTO heartbeats (id, at) VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET at = excluded.at";

/// Timeout of the database check: the database may be gone although its connection looks intact.
const DATABASE_CHECK_LIMIT: Duration = Duration::from_secs(5);

/// Names of the checks of the parts that use the broker.
const RELAY: &str = "broker-relay";
const CONSUMERS: &str = "broker-consumers";

/// Identity of a service.
#[derive(Clone, Copy)]
pub struct Identity {
    /// Such as `sales-service`.
    pub name: &'static str,
    /// Such as `JAEGO_SALES`.
    pub env_prefix: &'static str,
    /// Content of the embedded `default.toml`.
    pub defaults: &'static str,
    /// The service's own migrations.
    pub migrations: fn() -> Migrations,
    pub books: Books,
}

impl Identity {
    /// Identity of the service's program, without the parts that concern the database.
    pub fn program(&self) -> Program {
        Program { name: self.name, env_prefix: self.env_prefix, defaults: self.defaults }
    }
}

/// A service under construction.
pub struct Builder {
    identity: Identity,
    common: Common,
    pub pool: Pool,
    pub outbox: Outbox,
    pub readiness: Readiness,
    subscriptions: Vec<Subscription>,
    hooks: BTreeMap<&'static str, Hooks>,
    /// Cancelled when the current schema is found to be there: no loop may work on another one.
    schema: CancellationToken,
    process: Process,
    loops: Loops,
}

impl Builder {
    /// Creates the parts that every service has; nothing runs yet.
    pub fn new(identity: Identity, common: &Common) -> anyhow::Result<Self> {
        let process = Process::new(identity.name, &common.telemetry)?;
        Ok(Self {
            identity,
            common: common.clone(),
            pool: jaego_pg::pool(&common.database, identity.name)?,
            outbox: Outbox::new(common.outbox.pending_max),
            readiness: process.readiness.clone(),
            subscriptions: Vec::new(),
            hooks: BTreeMap::new(),
            schema: CancellationToken::new(),
            loops: process.loops("background work"),
            process,
        })
    }

    /// Adds a queue's handler.
    pub fn consume(&mut self, subscription: Subscription) {
        self.subscriptions.push(subscription);
    }

    /// Registers the effects that a discard of the queue's dead letters has beyond the letters themselves.
    pub fn hook(&mut self, queue: &'static Queue, hooks: Hooks) {
        self.hooks.insert(queue.name, hooks);
    }

    /// Adds a background loop, which starts when the schema is current. It must end soon after its token is
    /// cancelled, and finish the work in progress first.
    pub fn spawn<F>(&mut self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.loops.stop();
        self.loops.spawn("background loop", after(self.schema.clone(), stop.clone(), work(stop)));
    }

    /// Like [`Self::spawn`], for a loop that answers callers: it does not wait for the schema, so that callers learn
    /// at once that the database is away.
    pub fn spawn_at_once<F>(&mut self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.loops.spawn("background loop", work(self.loops.stop()));
    }

    /// Opens the listeners and starts everything.
    pub fn start(self, routes: &Routes) -> anyhow::Result<Running> {
        let database = self.readiness.register("database", Need::Required);
        let relay = Relay {
            name: self.identity.name,
            pool: self.pool.clone(),
            database: self.common.database.clone(),
            outbox: self.outbox.clone(),
            broker: BrokerHealth::new(self.readiness.register(RELAY, Need::Useful), "relay"),
            amqp: self.common.amqp.broker(),
            settings: self.common.outbox.clone(),
        };
        let dead_letters =
            DeadLetters::new(self.pool.clone(), self.outbox.clone(), self.common.dead_letters.clone(), self.hooks);
        let queues = self.subscriptions.iter().map(|subscription| subscription.queue).collect();
        let consumers = Consumers {
            name: self.identity.name,
            pool: self.pool.clone(),
            broker: BrokerHealth::new(self.readiness.register(CONSUMERS, Need::Useful), "consumers"),
            amqp: self.common.amqp.clone(),
            subscriptions: self.subscriptions,
            dead_letters: dead_letters.clone(),
        };
        let topology = self.readiness.register("topology", Need::Required);
        let auditor = Auditor::new(self.pool.clone(), self.identity.books);
        let operations = Operations {
            authenticator: Authenticator::new(
                OperatorTokens::from_settings(&self.common.auth.tokens),
                Known::of(&self.common.access).context("no HTTP client for access-service")?,
                WrongTokens::new(self.common.auth.wrong_per_minute_max),
            ),
            pool: self.pool.clone(),
            messaging: Some((auditor.clone(), dead_letters.clone())),
        };
        let loops = self.loops;
        let stop = || loops.stop();
        let (pool, readiness, stop_awaiting) = (self.pool.clone(), self.readiness.clone(), stop());
        loops.spawn_passing(async move {
            await_topology(&pool, &readiness, &[RELAY, CONSUMERS], &topology, &stop_awaiting).await;
        });
        let drain = Duration::from_millis(self.common.shutdown.drain_ms);
        let listeners =
            listen(&self.common.http, routes, operations, self.readiness, drain).context("cannot listen")?;
        let schema = || self.schema.clone();
        let audit_every = Duration::from_secs(self.common.audit.every_s);
        let full_every = Duration::from_secs(self.common.audit.full_every_s);
        loops.spawn("audit", after(schema(), stop(), auditor.watch(audit_every, full_every, stop())));
        let migrations = (self.identity.migrations)();
        loops.spawn_passing(watch_database(self.pool, migrations, database, schema(), stop()));
        loops.spawn("consumers", after(schema(), stop(), consumers.run(stop())));
        loops.spawn("dead letters", after(schema(), stop(), dead_letters.run(queues, stop())));
        // The relay stops last, because the parts that end before it leave events to publish.
        let relaying = self.process.loops("the relay; the outbox keeps the remaining events");
        relaying.spawn("relay", after(schema(), relaying.stop(), relay.run(relaying.stop())));
        tracing::info!(service = self.identity.name, version = env!("CARGO_PKG_VERSION"), api = %listeners.api, public = %listeners.public, admin = %listeners.admin, "listening");
        Ok(self.process.run(listeners, vec![loops, relaying], &self.common.shutdown))
    }
}

/// Runs `work` once the schema is current. When `stop` comes first, the work begins and ends at once.
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
                let missing = jaego_pg::missing_migrations(&mut connection, &migrations)
                    .await
                    .map_err(|error| error.to_string())?;
                if !missing.is_empty() {
                    return Err(format!("the schema lacks {}: run `migrate`", missing.join(", ")));
                }
            }
            diesel::sql_query(HEARTBEAT).execute(&mut connection).await.map_err(|error| error.to_string())
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
