//! What every service is: a program with four commands, started in order and stopped within bounds.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use diesel_async::RunQueryDsl;
use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::amqp::consumer::{Consumers, Subscription};
use crate::amqp::health::BrokerHealth;
use crate::amqp::topology::Queue;
use crate::audit::{Auditor, Books};
use crate::db::{self, ConnectError, Migrations, Pool};
use crate::dead_letters::{DeadLetters, Hooks};
use crate::http::auth::OperatorTokens;
use crate::http::{Listeners, Operations, Routes, listen};
use crate::installation::await_topology;
use crate::outbox::Outbox;
use crate::patience::try_for;
use crate::readiness::{self, Check, Need, Readiness};
use crate::rebuild::{Compared, rebuild_figures};
use crate::relay::Relay;
use crate::settings::{self, Common, Database, Settings, Sources};
use crate::telemetry;

/// How often the database is asked whether it is well.
const DATABASE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// A database that does not answer for so long is not there, though its connection may look whole.
const DATABASE_CHECK_LIMIT: Duration = Duration::from_secs(5);

/// The parts that use the broker, as checks.
const RELAY: &str = "broker-relay";
const CONSUMERS: &str = "broker-consumers";
/// Longest time for one statement while the database is waited for, milliseconds.
const DATABASE_WAIT_STATEMENT_MS: u64 = 10_000;

/// Exit code of `rebuild-figures` when figures are off and stay so.
const FIGURES_OFF: u8 = 3;

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

#[derive(Parser)]
#[command(version)]
struct Cli {
    /// A TOML file that overrides the built-in defaults; the environment overrides both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT.
    Serve,
    /// Bring the service's database to the newest schema, then end.
    Migrate {
        /// Wait for a database that cannot be reached yet, or does not know this service yet, at most so
        /// long, seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
        wait_s: u64,
    },
    /// Compare kept figures (stock) with the rows that explain them (ledger, orders, replenishments),
    /// then end; the exit code is 3 when any is off.
    RebuildFigures {
        /// Set figures that are off to what the rows say. Changes of them wait meanwhile.
        #[arg(long)]
        write: bool,
    },
    /// Read the configuration, tell every problem, then end.
    CheckConfig,
}

/// The program: reads arguments and settings, runs one command.
pub fn run<S: Settings, F>(identity: Identity, start: impl FnOnce(S) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<Running>>,
{
    let arguments = Cli::command().name(identity.name).get_matches();
    let cli = Cli::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit());
    match run_command(identity, cli, start) {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the process ends, and logs may not be set up")]
            {
                eprintln!("{}: {error:#}", identity.name);
            }
            ExitCode::FAILURE
        }
    }
}

fn run_command<S: Settings, F>(identity: Identity, cli: Cli, start: impl FnOnce(S) -> F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Running>>,
{
    let sources = Sources {
        defaults: identity.defaults,
        file: cli.config.as_deref(),
        env_prefix: identity.env_prefix,
        env: std::env::vars().collect(),
    };
    let settings: S = settings::load(sources)?;
    if matches!(cli.command, Command::CheckConfig) {
        #[expect(clippy::print_stdout, reason = "the command's answer")]
        {
            println!("{}: the configuration is valid", identity.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything that may speak TLS: the exporter of traces is one.
    install_tls();
    telemetry::init(identity.name, &settings.common().telemetry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Migrate { wait_s } => {
                let database = &settings.common().database;
                wait_for_database(database, identity.name, Duration::from_secs(wait_s)).await?;
                let applied = db::migrate(database, (identity.migrations)()).await?;
                tracing::info!(count = applied.len(), versions = applied.join(" "), "schema is up to date");
                return Ok(ExitCode::SUCCESS);
            }
            Command::RebuildFigures { write } => {
                let compared = rebuild_figures(&settings.common().database, &identity.books, write).await?;
                return Ok(tell(&compared));
            }
            Command::Serve | Command::CheckConfig => {}
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = start(settings).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Until the service is let in, at most so long. While an installation is made, somebody else makes
/// its role and its database.
async fn wait_for_database(database: &Database, name: &str, limit: Duration) -> Result<(), ConnectError> {
    try_for(
        limit,
        |error| !matches!(error, ConnectError::Unusable(_)),
        |error| tracing::info!(limit_s = limit.as_secs(), %error, "waiting for the database"),
        async || db::connect(database, name, DATABASE_WAIT_STATEMENT_MS).await.map(drop),
    )
    .await
}

/// The answer of `rebuild-figures`.
fn tell(compared: &[Compared]) -> ExitCode {
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    for figure in compared {
        println!("{figure}");
    }
    if compared.is_empty() {
        #[expect(clippy::print_stdout, reason = "the command's answer")]
        {
            println!(
                "this service has no figure that can be rebuilt from other rows; GET /api/v1/audit compares what it keeps"
            );
        }
    }
    let is_off = compared.iter().any(|figure| figure.mended < figure.off.len());
    if is_off { ExitCode::from(FIGURES_OFF) } else { ExitCode::SUCCESS }
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
        let auditing = auditor.watch(audit_every, self.stop.clone());
        self.tasks.spawn(watched("audit", auditing, self.stop.clone(), self.tasks_check.clone()));
        self.tasks.spawn(watch_database(self.pool, (self.identity.migrations)(), database, self.stop.clone()));
        let check = self.tasks_check;
        self.tasks.spawn(watched("consumers", consumers.run(self.stop.clone()), self.stop.clone(), check.clone()));
        let keeping = dead_letters.run(queues, self.stop.clone());
        self.tasks.spawn(watched("dead letters", keeping, self.stop.clone(), check.clone()));
        let relaying = relay.run(self.stop_relay.clone());
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

async fn watch_database(pool: Pool, migrations: Migrations, check: Check, stop: CancellationToken) {
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
