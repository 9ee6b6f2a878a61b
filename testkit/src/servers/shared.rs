//! The servers that all test processes of one checkout share. The first process that needs them starts them;
//! a watchdog stops them when no process has used them for about 20 seconds.
//!
//! Each process first takes a shared lease, and checks or starts the servers while it holds the start lock.
//! The watchdog stops the servers only while it holds the start lock and the lease is free.

use std::{
    fs::{self, File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::OnceCell, time::sleep};

use super::{
    PostgresOptions, PostgresServer, RabbitOptions, RabbitServer, find_postgres, find_rabbitmq, is_running, place,
    stop_recorded, wipe,
};
use crate::{
    error::{Doing as _, Error, Result},
    provision::Broker,
};

/// Longer than a start of both servers may take on a busy machine.
const LOCK_TIMEOUT: Duration = Duration::from_secs(240);
const STATE: &str = "state.json";
const WATCHDOG: &str = include_str!("watchdog.sh");

/// Connection data of the running servers, for all processes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct State {
    postgres_port: u16,
    postgres_admin_url: String,
    management_url: String,
    amqp_port: u16,
    amqp_user: String,
    amqp_password: String,
    watchdog_pid: u32,
}

/// PostgreSQL and RabbitMQ for tests. Cheap to clone; the servers run as long as any clone exists.
#[derive(Debug, Clone)]
pub struct Lab {
    state: Arc<State>,
    _lease: Arc<File>,
}

impl Lab {
    /// The servers of this checkout, started when necessary.
    ///
    /// # Panics
    /// When a server is not installed or does not start.
    #[expect(clippy::panic, reason = "test support: a broken lab must stop the test with a sentence")]
    pub async fn acquire() -> Self {
        Self::try_acquire().await.unwrap_or_else(|error| panic!("no servers to test against: {error}"))
    }

    /// Like [`Self::acquire`], with an error instead of a panic.
    pub async fn try_acquire() -> Result<Self> {
        // The lease is kept until the process ends, because its tests follow each other.
        static SHARED: OnceCell<Lab> = OnceCell::const_new();
        let dir = lab_dir();
        SHARED.get_or_try_init(|| Self::acquire_in(&dir, Duration::from_secs(6))).await.cloned()
    }

    /// Separate servers in `dir`, stopped when their lease was free at three checks, `pause` apart.
    pub async fn acquire_in(dir: &Path, pause: Duration) -> Result<Self> {
        fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
        let lease = open(&dir.join("lease.lock"))?;
        lock(&lease, File::try_lock_shared, "lease").await?;
        let start = open(&dir.join("start.lock"))?;
        lock(&start, File::try_lock, "start").await?;
        let state = match read_state(dir) {
            Some(state) if is_alive(dir, &state) => state,
            _ => start_servers(dir, pause).await?,
        };
        drop(start);
        Ok(Self { state: Arc::new(state), _lease: Arc::new(lease) })
    }

    /// Stops the servers of this checkout at once, instead of some seconds after their last use. Returns
    /// false, and does nothing, while another process uses them.
    pub async fn stop_unused() -> Result<bool> {
        let dir = lab_dir();
        if !dir.is_dir() {
            return Ok(true);
        }
        let start = open(&dir.join("start.lock"))?;
        lock(&start, File::try_lock, "start").await?;
        let lease = open(&dir.join("lease.lock"))?;
        match lease.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { doing: "take the lease lock".into(), source });
            }
        }
        fs::remove_file(dir.join(STATE)).ok();
        crate::process::kill_recorded_group(&dir.join("watchdog.pid"));
        let (postgres, rabbitmq) = (dir.join("postgres"), dir.join("rabbitmq"));
        tokio::try_join!(stop_recorded(&postgres), stop_recorded(&rabbitmq))?;
        Ok(true)
    }

    /// URL of PostgreSQL's administrator for the database `postgres`.
    pub fn postgres_admin_url(&self) -> &str {
        &self.state.postgres_admin_url
    }

    /// RabbitMQ's management API, as the administrator.
    pub fn broker(&self) -> Broker {
        Broker::new(&self.state.management_url, &self.state.amqp_user, &self.state.amqp_password)
    }

    /// AMQP URL of RabbitMQ's administrator for a vhost.
    pub fn amqp_admin_url(&self, vhost: &str) -> String {
        self.amqp_url(&self.state.amqp_user, &self.state.amqp_password, vhost)
    }

    /// Runs `rabbitmqctl`; a refusal is an error with its output.
    pub async fn rabbitmqctl(&self, args: &[&str]) -> Result<()> {
        super::rabbitmq::ctl_in(&lab_dir().join("rabbitmq"), args).await
    }

    pub fn amqp_port(&self) -> u16 {
        self.state.amqp_port
    }

    pub(crate) fn amqp_admin(&self) -> (&str, &str) {
        (&self.state.amqp_user, &self.state.amqp_password)
    }

    pub(crate) fn amqp_url(&self, user: &str, password: &str, vhost: &str) -> String {
        crate::provision::amqp_url(self.state.amqp_port, user, password, vhost)
    }
}

/// `target/testkit` of this checkout.
fn lab_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        |dir| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir),
    );
    target.join("testkit")
}

fn open(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).doing(|| format!("open {}", path.display()))
}

/// Takes a lock without blocking the thread, because other tests may share its runtime.
async fn lock(file: &File, take: fn(&File) -> Result<(), TryLockError>, name: &str) -> Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match take(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { doing: format!("take the {name} lock"), source });
            }
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(Error::Invalid(format!("another process has held the {name} lock for {LOCK_TIMEOUT:?}")));
            }
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(20)).await,
        }
    }
}

fn read_state(dir: &Path) -> Option<State> {
    serde_json::from_str(&fs::read_to_string(dir.join(STATE)).ok()?).ok()
}

fn is_alive(dir: &Path, state: &State) -> bool {
    let accepts = |port: u16| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
    };
    is_running(&dir.join("postgres"))
        && is_running(&dir.join("rabbitmq"))
        && accepts(state.postgres_port)
        && accepts(state.amqp_port)
}

async fn start_servers(dir: &Path, pause: Duration) -> Result<State> {
    let (postgres_binaries, rabbit_binaries) = (find_postgres()?, find_rabbitmq()?);
    let (postgres_dir, rabbit_dir) = (dir.join("postgres"), dir.join("rabbitmq"));
    fs::remove_file(dir.join(STATE)).ok();
    crate::process::stop_recorded(&dir.join("watchdog.pid"), Duration::from_secs(5)).await?;
    for leftover in [&postgres_dir, &rabbit_dir] {
        stop_recorded(leftover).await?;
        wipe(leftover)?;
    }
    // The watchdog starts first, so that nothing is left behind whatever happens to this process.
    let watchdog_pid = spawn_watchdog(dir, pause)?;
    let (postgres_options, rabbit_options) = (
        PostgresOptions { durable: false, ..PostgresOptions::default() },
        RabbitOptions { memory_mib: 2048, ..RabbitOptions::default() },
    );
    let (postgres, rabbit) = tokio::try_join!(
        PostgresServer::start(&postgres_binaries, &postgres_dir, &postgres_options),
        RabbitServer::start(&rabbit_binaries, &rabbit_dir, &rabbit_options),
    )?;
    let (user, password) = rabbit.admin();
    let state = State {
        postgres_port: postgres.port(),
        postgres_admin_url: postgres.admin_url(),
        management_url: rabbit.management_url(),
        amqp_port: rabbit.amqp_port(),
        amqp_user: user.to_owned(),
        amqp_password: password.to_owned(),
        watchdog_pid,
    };
    let text = serde_json::to_string_pretty(&state).map_err(|error| Error::Invalid(error.to_string()))?;
    place::write_private(&dir.join(STATE), 0o600, &text)?;
    postgres.detach();
    rabbit.detach();
    Ok(state)
}

/// A shell in its own session, because it must outlive this process and its terminal.
fn spawn_watchdog(dir: &Path, pause: Duration) -> Result<u32> {
    let dir = fs::canonicalize(dir).doing(|| format!("resolve {}", dir.display()))?;
    let marker = "jaego-lab-watchdog";
    let mut command = if let Some(setsid) = crate::process::find_on_path("setsid") {
        let mut command = Command::new(setsid);
        command.arg("sh");
        command
    } else {
        let mut command = Command::new("sh");
        command.process_group(0);
        command
    };
    let child = command
        .args(["-c", WATCHDOG, marker])
        .arg(&dir)
        .arg(pause.as_secs_f64().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing(|| "start the watchdog of the test servers".into())?;
    let record = format!("{}\n{marker} {}\nTERM\n", child.id(), dir.display());
    place::write_private(&dir.join("watchdog.pid"), 0o600, &record)?;
    Ok(child.id())
}
