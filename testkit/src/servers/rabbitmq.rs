//! A private RabbitMQ server with its own epmd. Works with 3.10 and 4.x.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{EPMD_RECORD, RabbitBinaries, SERVER_RECORD, STOP_TIMEOUT, place::Place, ports};
use crate::{
    accounts::Account,
    certificates::Certificates,
    error::{Error, Result},
    process::{Process, Spec},
    provision::Broker,
};

const ADMIN: &str = "jaego_admin";
const START_TIMEOUT: Duration = Duration::from_secs(120);
const CTL_TIMEOUT: Duration = Duration::from_secs(60);
const EPMD_TIMEOUT: Duration = Duration::from_secs(10);
const INSTANCE: &str = "instance.json";

#[derive(Debug, Clone)]
pub struct RabbitOptions {
    /// Memory in MiB above which publishers are blocked.
    pub memory_mib: u32,
    /// Also accept TLS, for AMQP and the management API, with this certificate.
    pub tls: Option<Certificates>,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self { memory_mib: 1024, tls: None }
    }
}

/// Stays the same from one start to the next: data belongs to the node's name, and clients remember ports.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Instance {
    node: String,
    amqp_port: u16,
    management_port: u16,
    distribution_port: u16,
    epmd_port: u16,
    #[serde(default)]
    amqps_port: u16,
    #[serde(default)]
    management_tls_port: u16,
}

/// A running private RabbitMQ.
#[derive(Debug)]
pub struct RabbitServer {
    process: Process,
    epmd: Process,
    instance: Instance,
    password: String,
    binaries: RabbitBinaries,
    place: Place,
}

impl RabbitServer {
    /// Starts the server in `dir`, with the existing data or new data.
    pub async fn start(binaries: &RabbitBinaries, dir: &Path, options: &RabbitOptions) -> Result<Self> {
        let place = Place::prepare(dir, Account::for_server("rabbitmq")?)?;
        super::stop_recorded(place.dir()).await?;
        let password = place.secret("password")?;
        let instance = choose_instance(&place)?;
        write_files(&place, &instance, &password, options)?;

        let mut epmd = spawn_epmd(binaries, &place, instance.epmd_port)?;
        wait_epmd(&mut epmd, instance.epmd_port).await?;
        let process = spawn_server(binaries, &place, &instance)?;
        let mut server = Self { process, epmd, instance, password, binaries: binaries.clone(), place };
        server.wait_ready().await?;
        Ok(server)
    }

    /// AMQP URL of the administrator for the default vhost.
    pub fn admin_url(&self) -> String {
        format!("amqp://{ADMIN}:{}@127.0.0.1:{}/%2f", self.password, self.instance.amqp_port)
    }

    /// The management API, as the administrator.
    pub fn broker(&self) -> Broker {
        Broker::new(&self.management_url(), ADMIN, &self.password)
    }

    /// `http://127.0.0.1:port`
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.instance.management_port)
    }

    /// The administrator's name and password.
    pub fn admin(&self) -> (&str, &str) {
        (ADMIN, &self.password)
    }

    pub fn amqp_port(&self) -> u16 {
        self.instance.amqp_port
    }

    /// The port for AMQP over TLS, when that is enabled.
    pub fn amqps_port(&self) -> u16 {
        self.instance.amqps_port
    }

    /// The port of the management API over TLS, when that is enabled.
    pub fn management_tls_port(&self) -> u16 {
        self.instance.management_tls_port
    }

    /// The process, for tests that simulate a crash.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops only the node, gracefully, as an administrator's restart would.
    pub async fn stop_node(&mut self) -> Result<()> {
        self.process.terminate(STOP_TIMEOUT).await?;
        Ok(())
    }

    /// Starts the node again after [`Self::stop_node`] or a crash, with the same data and ports.
    pub async fn start_node(&mut self) -> Result<()> {
        if self.process.exit_status().is_none() {
            return Err(Error::Invalid("RabbitMQ runs already".into()));
        }
        self.process = spawn_server(&self.binaries, &self.place, &self.instance)?;
        self.wait_ready().await
    }

    /// Runs `rabbitmqctl` on this node; a refusal is an error with its output.
    pub async fn ctl(&self, args: &[&str]) -> Result<()> {
        ctl(&self.binaries, &self.place, &self.instance, args).await
    }

    /// Stops the server and its epmd; durable queues and persistent messages stay.
    pub async fn stop(mut self) -> Result<()> {
        self.process.terminate(STOP_TIMEOUT).await?;
        self.epmd.terminate(Duration::from_secs(5)).await?;
        Ok(())
    }

    /// Lets the server outlive this process; [`super::stop_recorded`] stops it.
    pub fn detach(self) {
        self.process.detach();
        self.epmd.detach();
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let broker = self.broker();
        loop {
            let seen = match broker.overview().await {
                Ok(_) if speaks_amqp(self.instance.amqp_port).await => return Ok(()),
                Ok(_) => "no AMQP yet".to_owned(),
                Err(error) => error.to_string(),
            };
            self.process.check_alive()?;
            if Instant::now() >= deadline {
                return Err(self.process.not_ready(format!("was not ready within {START_TIMEOUT:?}: {seen}")));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Runs `rabbitmqctl` on the node in `dir`, which another process may have started.
pub(crate) async fn ctl_in(dir: &Path, args: &[&str]) -> Result<()> {
    let place = Place::prepare(dir, Account::for_server("rabbitmq")?)?;
    let known = read_instance(&place).ok_or_else(|| Error::Invalid(format!("no RabbitMQ in {}", dir.display())))?;
    ctl(&super::find_rabbitmq()?, &place, &known, args).await
}

async fn ctl(binaries: &RabbitBinaries, place: &Place, instance: &Instance, args: &[&str]) -> Result<()> {
    let program = binaries.server.with_file_name("rabbitmqctl");
    let mut ctl = node_spec("rabbitmqctl", &program, place, instance, "ctl.log").args(args).spawn()?;
    match ctl.wait_exit(CTL_TIMEOUT).await {
        Some(status) if status.success() => Ok(()),
        Some(_) => Err(ctl.not_ready(format!("refused {args:?}"))),
        None => Err(ctl.not_ready(format!("{args:?} did not end within {CTL_TIMEOUT:?}"))),
    }
}

/// The broker answers the protocol header with a method frame.
async fn speaks_amqp(port: u16) -> bool {
    let handshake = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    matches!(timeout(Duration::from_secs(5), handshake).await, Ok(Ok(1)))
}

fn read_instance(place: &Place) -> Option<Instance> {
    serde_json::from_str(&fs::read_to_string(place.path(INSTANCE)).ok()?).ok()
}

fn choose_instance(place: &Place) -> Result<Instance> {
    let known = read_instance(place);
    let wanted = known.as_ref().map_or([0; 6], |known| {
        let Instance { amqp_port, management_port, distribution_port, epmd_port, .. } = *known;
        [amqp_port, management_port, distribution_port, epmd_port, known.amqps_port, known.management_tls_port]
    });
    let [amqp_port, management_port, distribution_port, epmd_port, amqps_port, management_tls_port] =
        ports::choose(wanted)?;
    let node = known.map_or_else(|| format!("jaego-{}@localhost", &super::random_secret()[..12]), |known| known.node);
    let instance =
        Instance { node, amqp_port, management_port, distribution_port, epmd_port, amqps_port, management_tls_port };
    let text = serde_json::to_string_pretty(&instance).map_err(|error| Error::Invalid(error.to_string()))?;
    place.write_private(INSTANCE, 0o600, &text)?;
    Ok(instance)
}

fn write_files(place: &Place, instance: &Instance, password: &str, options: &RabbitOptions) -> Result<()> {
    place.folder("data")?;
    place.folder("log")?;
    place.folder("conf.d")?;
    let cookie = place.secret("cookie")?;
    place.write_private(".erlang.cookie", 0o400, &cookie)?;
    // An empty file keeps RabbitMQ from reading the machine's own /etc/rabbitmq/rabbitmq-env.conf.
    place.write_private("rabbitmq-env.conf", 0o600, "")?;
    place.write_private("enabled_plugins", 0o600, "[rabbitmq_management].\n")?;
    let Instance { amqp_port, management_port, amqps_port, management_tls_port, .. } = instance;
    let memory = options.memory_mib;
    // RabbitMQ creates the default user only when there is no data yet. With a default user of our own there
    // is never a guest.
    let mut config = format!(
        "listeners.tcp.default = 127.0.0.1:{amqp_port}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management_port}\n\
         default_user = {ADMIN}\n\
         default_pass = {password}\n\
         default_user_tags.administrator = true\n\
         collect_statistics_interval = 1000\n\
         disk_free_limit.absolute = 50MB\n\
         vm_memory_high_watermark.absolute = {memory}MiB\n\
         log.console = true\n\
         log.console.level = info\n\
         log.file = false\n"
    );
    if let Some(Certificates { certificate, key, .. }) = &options.tls {
        let certificate = place.write_private("server.crt", 0o600, certificate)?.display().to_string();
        let key = place.write_private("server.key", 0o600, key)?.display().to_string();
        let tls = format!(
            "listeners.ssl.default = 127.0.0.1:{amqps_port}\n\
             ssl_options.certfile = {certificate}\n\
             ssl_options.keyfile = {key}\n\
             management.ssl.ip = 127.0.0.1\n\
             management.ssl.port = {management_tls_port}\n\
             management.ssl.certfile = {certificate}\n\
             management.ssl.keyfile = {key}\n"
        );
        config.push_str(&tls);
    }
    place.write_private("rabbitmq.conf", 0o600, &config)?;
    Ok(())
}

fn spawn_epmd(binaries: &RabbitBinaries, place: &Place, port: u16) -> Result<Process> {
    Spec::new("epmd", &binaries.epmd, place.path("epmd.log"))
        .clear_env()
        .args(["-port".to_owned(), port.to_string(), "-address".to_owned(), "127.0.0.1".to_owned()])
        .current_dir(place.dir())
        .run_as(place.account())
        .record(place.path(EPMD_RECORD), format!("-port {port} "))
        .spawn()
}

async fn wait_epmd(epmd: &mut Process, port: u16) -> Result<()> {
    let deadline = Instant::now() + EPMD_TIMEOUT;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        epmd.check_alive()?;
        if Instant::now() >= deadline {
            return Err(epmd.not_ready(format!("was not ready within {EPMD_TIMEOUT:?}")));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn spawn_server(binaries: &RabbitBinaries, place: &Place, instance: &Instance) -> Result<Process> {
    node_spec("RabbitMQ", &binaries.server, place, instance, "server.log")
        .record(place.path(SERVER_RECORD), format!("-home {}", place.dir().display()))
        .spawn()
}

/// A RabbitMQ program with the environment of this node.
fn node_spec(name: &str, program: &Path, place: &Place, instance: &Instance, log: &str) -> Spec {
    let home = place.dir();
    let mut spec = Spec::new(name, program, place.path(log))
        .clear_env()
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", home)
        .env("ERL_EPMD_PORT", instance.epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        // The start script becomes the server itself, instead of a shell that supervises it.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_NODENAME", &instance.node)
        .env("RABBITMQ_DIST_PORT", instance.distribution_port.to_string())
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}");
    for (name, file) in [
        ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
        ("RABBITMQ_CONFIG_FILES", "conf.d"),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
        ("RABBITMQ_CONF_ENV_FILE", "rabbitmq-env.conf"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
        ("RABBITMQ_MNESIA_BASE", "data"),
        ("RABBITMQ_LOG_BASE", "log"),
    ] {
        spec = spec.env(name, place.path(file));
    }
    spec.current_dir(home).run_as(place.account())
}
