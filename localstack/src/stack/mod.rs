//! The local stack: servers, factory simulator, the services and optionally the frontend, in a folder of its
//! own. `up` and the end-to-end tests start it with the same code.

pub mod environment;
mod frontend;
mod kept;
mod ports;
mod servers;
mod service;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use testkit::{
    keys::CallbackKeys,
    process::{Process, Spec},
    provision::Broker,
    servers::RabbitServer,
};

pub use self::frontend::FRONTEND;
pub use self::service::{Service, Urls, Want};
use self::{kept::Kept, ports::Ports, servers::Servers};
use crate::{packages::ServerPrograms, programs::Programs, progress::Progress};

/// Name of the simulator's program, also used in messages and file names.
pub const SIMULATOR: &str = "factory-simulator";

/// Jobs of the simulated factory, kept from one `up` to the next. They are among the keys because callback URLs are
/// capabilities.
const SIMULATOR_STATE: &str = "keys/factory-jobs.json";

const MIGRATE_TIMEOUT: Duration = Duration::from_secs(120);
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit of each step of a service's shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// A service is killed if all shutdown steps together take longer than this.
pub const SERVICE_STOP_TIMEOUT: Duration = Duration::from_secs(25);
pub const SIMULATOR_STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for everything that the stack keeps.
    pub dir: PathBuf,
    pub programs: Programs,
    pub servers: ServerChoice,
    /// Duration of each of the factory's four stages.
    pub stage_ms: u64,
    /// Additional settings of services: the key, as in `HTTP__PORT`, and its value.
    pub settings: Vec<(Service, &'static str, String)>,
}

/// Origin of PostgreSQL and RabbitMQ.
#[derive(Debug, Clone)]
pub enum ServerChoice {
    /// The stack's own servers, whose data stays in its folder; PostgreSQL with these settings.
    Private(ServerPrograms, &'static [(&'static str, &'static str)]),
    /// A vhost and databases on the servers that tests share, removed with the stack.
    Shared,
}

/// The whole stack. Dropping it kills its processes; [`Stack::stop`] stops them in order, even if only some have been
/// started.
#[derive(Debug)]
pub struct Stack {
    options: Options,
    kept: Kept,
    ports: Ports,
    services: BTreeMap<Service, Process>,
    frontend: Option<Process>,
    simulator: Option<Process>,
    servers: Option<Servers>,
}

impl Stack {
    /// Starts nothing yet. Reuses the secrets and keys of an earlier run, or creates them.
    pub fn new(options: Options) -> anyhow::Result<Self> {
        for folder in ["logs", "pids"] {
            let path = options.dir.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        let kept = Kept::load(&options.dir)?;
        Ok(Self {
            options,
            kept,
            ports: Ports::default(),
            services: BTreeMap::new(),
            frontend: None,
            simulator: None,
            servers: None,
        })
    }

    /// Starts everything, step by step, until all services are ready.
    pub async fn start(&mut self, progress: &Progress) -> anyhow::Result<()> {
        let step = progress.begin("Starting private PostgreSQL and RabbitMQ")?;
        let servers = Servers::start(&self.options.servers, &self.options.dir).await?;
        let servers = self.servers.insert(servers);
        step.done(servers.describe());

        let step = progress.begin("Preparing databases, roles, broker users, queues")?;
        servers.provision(&self.kept.secrets).await?;
        step.done(
            "4 databases with an owner and a service's role each, 4 broker users with their own rights, all queues",
        );

        let step = progress.begin("Bringing the databases to the newest schema")?;
        self.ports = Ports::choose(&self.options.dir)?;
        for service in Service::ALL {
            self.migrate(service).await?;
        }
        step.done("Databases are at the newest schema");

        let step = progress.begin("Starting the factory simulator")?;
        self.start_simulator().await?;
        step.done(format!("Factory simulator on {}", self.factory_url()));

        let step = progress.begin("Starting access-service, sales-service, production-service, restock-service")?;
        for service in Service::ALL {
            self.spawn(service, &[])?;
        }
        for service in Service::ALL {
            self.wait(service, Want::Ready, progress).await?;
        }
        step.done("access-service, sales-service, production-service, restock-service are ready");
        Ok(())
    }

    /// Starts a service (again) with additional settings, and waits until it is as ready as `want`.
    pub async fn start_service(
        &mut self,
        service: Service,
        settings: &[(&'static str, String)],
        want: Want,
    ) -> anyhow::Result<()> {
        self.spawn(service, settings)?;
        self.wait(service, want, &Progress::silent()).await
    }

    /// Kills a service with SIGKILL.
    pub fn kill9(&mut self, service: Service) -> anyhow::Result<()> {
        let mut process = self.services.remove(&service).with_context(|| format!("{service} does not run"))?;
        process.kill9()?;
        Ok(())
    }

    /// Stops a service gracefully, as a deployment would.
    pub async fn stop_service(&mut self, service: Service) -> anyhow::Result<()> {
        if let Some(mut process) = self.services.remove(&service) {
            process.terminate(SERVICE_STOP_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Kills the simulator with SIGKILL, like a power failure. Its jobs are kept.
    pub fn kill9_simulator(&mut self) -> anyhow::Result<()> {
        let mut simulator = self.simulator.take().context("the factory simulator does not run")?;
        simulator.kill9()?;
        Ok(())
    }

    /// Starts the factory simulator (again), at the same address.
    pub async fn start_simulator(&mut self) -> anyhow::Result<()> {
        let listen = format!("127.0.0.1:{}", self.ports.factory());
        let process = Spec::new(SIMULATOR, self.options.programs.path(SIMULATOR), self.log(SIMULATOR))
            .args(["--listen", &listen, "--stage-ms", &self.options.stage_ms.to_string()])
            .arg("--state")
            .arg(self.options.dir.join(SIMULATOR_STATE))
            .clear_env()
            .record(record(&self.options.dir, SIMULATOR), format!("--listen {listen}"))
            .spawn()?;
        let url = self.ports.factory_url();
        Ok(self.simulator.insert(process).wait_ok(&url, READY_TIMEOUT).await?)
    }

    /// The process of a service, for sending signals.
    pub fn process(&self, service: Service) -> anyhow::Result<&Process> {
        self.services.get(&service).with_context(|| format!("{service} does not run"))
    }

    /// Stops everything: the simulator (first, so that its callbacks find a receiver; it continues at the next
    /// start), then the frontend and the services together, then RabbitMQ and PostgreSQL.
    pub async fn stop(&mut self, progress: &Progress) -> anyhow::Result<()> {
        if !self.services.is_empty() || self.frontend.is_some() || self.simulator.is_some() {
            let step = progress.begin_always("Stopping the services and the factory simulator");
            if let Some(mut simulator) = self.simulator.take() {
                simulator.terminate(SIMULATOR_STOP_TIMEOUT).await?;
            }
            let ends = std::mem::take(&mut self.services)
                .into_values()
                .chain(self.frontend.take())
                .map(|mut process| tokio::spawn(async move { process.terminate(SERVICE_STOP_TIMEOUT).await }));
            // All processes are asked to stop before the first is awaited.
            for end in ends.collect::<Vec<_>>() {
                end.await??;
            }
            step.done("Services and factory simulator have stopped");
        }
        if let Some(servers) = self.servers.take() {
            let step = progress.begin_always("Stopping RabbitMQ and PostgreSQL");
            servers.stop().await?;
            step.done("RabbitMQ and PostgreSQL have stopped");
        }
        Ok(())
    }

    /// Lets all processes outlive this one. A later process finds them by their records.
    pub fn detach(mut self) {
        let services = std::mem::take(&mut self.services).into_values();
        for process in services.chain(self.frontend.take()).chain(self.simulator.take()) {
            process.detach();
        }
        if let Some(servers) = self.servers.take() {
            servers.detach();
        }
    }

    /// Fails if a process has exited unexpectedly. The error names the first one and has the end of its log.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        for process in self.services.values_mut().chain(self.frontend.as_mut()).chain(self.simulator.as_mut()) {
            process.check_alive()?;
        }
        self.servers.as_mut().map_or(Ok(()), Servers::check_alive)
    }

    pub fn urls(&self, service: Service) -> Urls {
        self.ports.urls(service.name())
    }

    pub fn factory_url(&self) -> String {
        self.ports.factory_url()
    }

    pub fn operator_token(&self) -> &str {
        &self.kept.secrets.operator_token
    }

    pub fn viewer_token(&self) -> &str {
        &self.kept.secrets.viewer_token
    }

    /// Credential by which access-service knows the other programs.
    pub fn program_credential(&self) -> &str {
        &self.kept.secrets.program_credential
    }

    /// URL of a service's database, with the service's own role.
    pub fn database_url(&self, service: Service) -> anyhow::Result<String> {
        Ok(self.running_servers()?.database_url(service))
    }

    /// URL of a service's database, with the administrator, who alone may change everything by hand.
    pub fn database_admin_url(&self, service: Service) -> anyhow::Result<String> {
        let urls = (self.postgres_admin_url()?, self.database_url(service)?);
        Ok(testkit::provision::beside(&urls.0, &urls.1)?)
    }

    /// Broker URL with a service's own user.
    pub fn broker_url(&self, service: Service) -> anyhow::Result<String> {
        Ok(self.running_servers()?.broker_url(service.name()))
    }

    /// Broker URL with the user of that name.
    pub fn broker_url_of(&self, user: &str) -> anyhow::Result<String> {
        Ok(self.running_servers()?.broker_url(user))
    }

    /// PostgreSQL URL with the administrator.
    pub fn postgres_admin_url(&self) -> anyhow::Result<String> {
        self.running_servers()?.postgres_admin_url()
    }

    /// Key pair of callback tokens.
    pub fn callback_keys(&self) -> &CallbackKeys {
        &self.kept.keys
    }

    /// Starts another process of a service's program next to the stack's own: a second replica, or a command for
    /// another database. The caller owns it; dropping it kills it.
    pub fn beside(
        &self,
        service: Service,
        command: &str,
        name: &str,
        settings: &[(&'static str, String)],
    ) -> anyhow::Result<Process> {
        Ok(Spec::new(name, self.options.programs.path(service.program()), self.log(name))
            .arg(command)
            .clear_env()
            .envs(self.environment(service, settings)?)
            .spawn()?)
    }

    /// The RabbitMQ server, to be stopped and restarted. Fails if other stacks share it.
    pub fn rabbit(&mut self) -> anyhow::Result<&mut RabbitServer> {
        let servers = self.servers.as_mut().context("PostgreSQL and RabbitMQ do not run")?;
        servers.private_rabbit().context("other stacks use this RabbitMQ, too")
    }

    /// RabbitMQ's management API and the services' vhost.
    pub fn broker(&self) -> anyhow::Result<(Broker, &str)> {
        Ok(self.running_servers()?.broker())
    }

    /// Number of messages that wait in a queue.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<u32> {
        Ok(testkit::provision::amqp_depth(&self.running_servers()?.amqp_admin_url(), queue).await?)
    }

    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    fn running_servers(&self) -> anyhow::Result<&Servers> {
        self.servers.as_ref().context("PostgreSQL and RabbitMQ do not run")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.options.dir.join("logs").join(name).with_extension("log")
    }

    async fn migrate(&self, service: Service) -> anyhow::Result<()> {
        let program = self.options.programs.path(service.program());
        let owner = ("DATABASE__OWNER_URL", self.running_servers()?.database_owner_url(service));
        let mut migration = Spec::new(format!("{service} migrate"), program, self.log(service.program()))
            .arg("migrate")
            .clear_env()
            .envs(self.environment(service, &[owner])?)
            .spawn()?;
        match migration.wait_exit(MIGRATE_TIMEOUT).await {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(migration.not_ready(format!("failed ({status})")).into()),
            None => Err(migration.not_ready(format!("did not end within {MIGRATE_TIMEOUT:?}")).into()),
        }
    }

    fn spawn(&mut self, service: Service, settings: &[(&'static str, String)]) -> anyhow::Result<()> {
        if self.services.contains_key(&service) {
            bail!("{service} runs already");
        }
        let program = self.options.programs.path(service.program());
        let marker = format!("{} serve", program.display());
        let process = Spec::new(service.program(), program, self.log(service.program()))
            .arg("serve")
            .clear_env()
            .envs(self.environment(service, settings)?)
            .record(record(&self.options.dir, service.program()), marker)
            .spawn()?;
        self.services.insert(service, process);
        Ok(())
    }

    async fn wait(&mut self, service: Service, want: Want, progress: &Progress) -> anyhow::Result<()> {
        let admin = self.urls(service).admin;
        let process = self.services.get_mut(&service).with_context(|| format!("{service} does not run"))?;
        wait_ready(process, &admin, want, progress).await
    }
}

async fn wait_ready(process: &mut Process, admin: &str, want: Want, progress: &Progress) -> anyhow::Result<()> {
    let client = testkit::http::client(Duration::from_secs(2));
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let seen = service::readiness(&client, admin).await;
        if want.is_met_by(seen.as_deref()) {
            return Ok(());
        }
        progress.check()?;
        process.check_alive()?;
        if Instant::now() >= deadline {
            let seen = seen.unwrap_or_else(|| "no answer".to_owned());
            let reason = format!("was not ready within {READY_TIMEOUT:?}: {admin}/readyz says {seen}");
            return Err(process.not_ready(reason).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Path of the record by which a later process finds a program of the stack in `dir`.
pub fn record(dir: &Path, name: &str) -> PathBuf {
    dir.join("pids").join(name).with_extension("pid")
}

/// Paths of the records of all programs of the stack in `dir`.
pub fn all_records(dir: &Path) -> Vec<PathBuf> {
    let [rabbit, postgres] = server_dirs(dir);
    let servers = [rabbit.join("server.pid"), rabbit.join("epmd.pid"), postgres.join("server.pid")];
    Service::ALL
        .map(Service::program)
        .into_iter()
        .chain([FRONTEND, SIMULATOR])
        .map(|name| record(dir, name))
        .chain(servers)
        .collect()
}

/// Folders of the private servers of the stack in `dir`: RabbitMQ, PostgreSQL.
pub fn server_dirs(dir: &Path) -> [PathBuf; 2] {
    [dir.join("rabbitmq"), dir.join("postgres")]
}
