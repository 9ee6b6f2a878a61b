//! The environment of one case: a stack of its own with the baselines next to it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use localstack::packages::ServerPrograms;
use localstack::programs::Programs;
use localstack::progress::Progress;
use localstack::run_dir::RunDir;
use localstack::stack::{Options, ServerChoice, Service, Stack};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{
    process::{Process, Spec},
    servers::{choose_ports, write_private},
};
use tokio_postgres::Client;

use crate::{
    baseline::Server, bounds, database, load::Generator, machine::Machine, output::say, results::CaseResult, run::Run,
    scale::Scale, selection::Case,
};

/// The simulated factory never gets to its callback, so that only the benchmark adds stock.
const STAGE_MS: u64 = 24 * 3600 * 1000;
/// The books are audited at the end of each case, not at random in the middle of one turn.
const AUDIT_EVERY_S: u64 = 86_400;

/// The same settings as in k8s/postgresql: with PostgreSQL's defaults, a minute of full load consists mostly of
/// checkpoints.
const POSTGRES: &[(&str, &str)] =
    &[("shared_buffers", "2GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "15min"), ("wal_compression", "on")];

/// A running stack, with the tools of a measurement.
pub struct Stage {
    pub stack: Stack,
    pub scale: Scale,
    pub generator: Generator,
    /// Connection as PostgreSQL's administrator.
    pub admin: Client,
    /// Path of PostgreSQL's own load generator.
    pub pgbench: PathBuf,
    case: Case,
    dir: PathBuf,
    http: reqwest::Client,
    run_dir: RunDir,
}

/// A baseline server, which ends when this is dropped.
pub struct Beside {
    pub url: String,
    pub process: Process,
}

/// A process of sales-service next to the stack's own, which ends when this is dropped.
pub struct Replica {
    /// URL of the listener `api`.
    pub api: String,
    /// URL of the listener `public`.
    pub public: String,
    pub process: Process,
}

impl Stage {
    /// Starts a new stack in an empty folder.
    pub async fn start(wanted: &Run, case: Case, settings: &[(Service, &'static str, String)]) -> anyhow::Result<Self> {
        let dir = wanted.dir.join(case.name());
        let run_dir = empty_folder(&dir).await?;
        let servers = ServerPrograms::find().map_err(|missing| {
            anyhow::anyhow!("not installed: {missing:?}; `cargo xtask bench` installs what is missing")
        })?;
        let pgbench = servers.postgres.postgres.with_file_name("pgbench");
        let mut settings = settings.to_vec();
        settings.extend(Service::MESSAGING.map(|service| (service, "AUDIT__EVERY_S", AUDIT_EVERY_S.to_string())));
        let mut stack = Stack::new(Options {
            dir: dir.clone(),
            programs: Programs::in_folder(&wanted.programs)?,
            servers: ServerChoice::Private(servers, POSTGRES),
            stage_ms: STAGE_MS,
            settings,
        })?;
        stack.start(&Progress::silent()).await?;
        let admin = database::connect(&stack.postgres_admin_url()?).await?;
        let generator = Generator::prepare(&dir.join("load"))?;
        let scale = Scale::of(&wanted.selection);
        let http = testkit::http::client_of_fresh_connections(bounds::REQUEST);
        Ok(Self { stack, scale, generator, admin, pgbench, case, dir, http, run_dir })
    }

    pub async fn result(&self) -> anyhow::Result<CaseResult> {
        let command = format!("cargo xtask bench {}{}", self.case.name(), self.scale.options);
        Ok(CaseResult::new(Machine::look(&self.stack, &self.admin).await?, command))
    }

    /// Stops everything and deletes it.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        drop(self.admin);
        self.stack.stop(&Progress::silent()).await?;
        std::fs::remove_dir_all(self.dir.join("load")).ok();
        self.run_dir.delete()
    }

    /// Path of a file for this case only.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join("load").join(name)
    }

    /// Starts a baseline server.
    pub async fn serve(&self, server: Server, database: &str, pool: usize) -> anyhow::Result<Beside> {
        let [port] = choose_ports([0])?;
        let listen = format!("127.0.0.1:{port}");
        let public_key = self.file("callback-public.pem");
        write_private(&public_key, 0o600, &self.stack.callback_keys().public_pem)?;
        let log = self.dir.join("logs").join(format!("{}.log", server.name()));
        let mut process = Spec::new(server.name(), std::env::current_exe()?, log)
            .clear_env()
            .args(["serve", server.name(), "--listen", &listen, "--database", database, "--pool", &pool.to_string()])
            .arg("--public-key")
            .arg(public_key)
            .spawn()?;
        let url = format!("http://{listen}");
        process.wait_ok(&url, bounds::START).await?;
        Ok(Beside { url, process })
    }

    /// Starts a further process of sales-service; `name` is the name of its log.
    pub async fn sales_beside(&self, name: &str, settings: &[(&'static str, String)]) -> anyhow::Result<Replica> {
        let [api, public, admin] = choose_ports([0, 0, 0])?;
        let ports = [("HTTP__PORT", api), ("HTTP__PUBLIC_PORT", public), ("HTTP__ADMIN_PORT", admin)];
        let ports = ports.map(|(key, port)| (key, port.to_string()));
        let mut process = self.stack.beside(Service::Sales, "serve", name, &[&ports, settings].concat())?;
        process.wait_ok(&format!("http://127.0.0.1:{admin}/readyz"), bounds::START).await?;
        let [api, public] = [api, public].map(|port| format!("http://127.0.0.1:{port}"));
        Ok(Replica { api, public, process })
    }

    /// Sends one request, with a long timeout.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.map_err(|error| anyhow::anyhow!("no answer: {}", testkit::http::cause(error)))
    }

    /// The HTTP client for [`Self::send`].
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Returns the JSON answer of an operators' endpoint.
    pub async fn operator_get(&self, service: Service, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.stack.urls(service).api);
        let answer = self.send(self.http.get(&url).bearer_auth(self.stack.operator_token())).await?;
        let (status, text) = (answer.status(), answer.text().await.context("no whole answer")?);
        ensure!(status == StatusCode::OK, "{path} of {service} answered {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Registers a factory, and waits until all services know it.
    pub async fn put_factory(&self, id: &str, base_url: &str, max_in_flight: u32) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/factories/{id}", self.stack.urls(Service::Production).api);
        let body = json!({"name": "bench", "base_url": base_url, "max_in_flight": max_in_flight, "lead_time_s": 40});
        let request = self.http.put(url).bearer_auth(self.stack.operator_token()).json(&body);
        let answer = self.send(request).await?;
        ensure!(answer.status().is_success(), "the factory was answered {}", answer.status());
        let unknown = "SELECT greatest(0, 1 - count(*)) FROM factories";
        for service in [Service::Sales, Service::Restock] {
            let client = database::connect(&self.stack.database_url(service)?).await?;
            database::wait_until_none(&client, unknown, "services that do not know the factory").await?;
        }
        Ok(())
    }

    /// Every service audits its own books.
    pub async fn audit_services(&mut self, result: &mut CaseResult) -> anyhow::Result<()> {
        for service in Service::MESSAGING {
            let report = self.operator_get(service, "/api/v1/audit").await?;
            if report["ok"] != Value::Bool(true) {
                bail!("the books of {service} do not agree: {}", report["checks"]);
            }
            let rules = report["checks"].as_array().map_or(0, Vec::len);
            result.audit.push(format!("`GET /api/v1/audit` of {service}: {rules} rules, all hold"));
        }
        self.stack.check_alive()
    }

    /// Waits until all aftereffects are over: the outbox is published and autovacuum is idle. Each turn thus starts
    /// under the same conditions as the previous one.
    pub async fn settle(&self, outbox_of: &Client) -> anyhow::Result<()> {
        database::wait_until_none(outbox_of, "SELECT count(*) FROM outbox", "events in the outbox").await?;
        if self.scale.is_full {
            let tidying = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'";
            database::wait_until_none(&self.admin, tidying, "autovacuum workers").await?;
        }
        database::begin_alike(&self.admin).await
    }

    /// Prints what is being measured.
    pub fn report(&self, what: &str) {
        say(&format!("     {}: {what}", self.case.name()));
    }

    /// Duration of the load in one turn.
    pub fn turn(&self) -> Duration {
        self.scale.measure
    }
}

/// Locks the folder, removes everything of an earlier run, and stops its processes.
async fn empty_folder(dir: &std::path::Path) -> anyhow::Result<RunDir> {
    let lock = || RunDir::lock(dir)?.with_context(|| format!("another benchmark runs in {}", dir.display()));
    let old = lock()?;
    old.stop_leftovers(&Progress::silent()).await?;
    std::fs::remove_dir_all(dir.join("load")).ok();
    old.delete()?;
    lock()
}
