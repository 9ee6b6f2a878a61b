//! A private PostgreSQL server.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;

use super::{PostgresBinaries, SERVER_RECORD, STOP_TIMEOUT, place::Place, ports};
use crate::{
    accounts::Account,
    certificates::Certificates,
    error::{Doing as _, Error, Result},
    process::{Process, Spec, StopSignal, tail},
};

const ADMIN: &str = "jaego_admin";
const START_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Survive a power failure (fsync). Tests do without.
    pub durable: bool,
    /// Also accept TLS, with this certificate.
    pub tls: Option<Certificates>,
    /// Further settings, as in `postgresql.conf`; PostgreSQL's own defaults suit a very small machine.
    pub settings: &'static [(&'static str, &'static str)],
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { durable: true, tls: None, settings: &[] }
    }
}

/// A running private PostgreSQL.
#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    port: u16,
    password: String,
}

impl PostgresServer {
    /// Starts the server in `dir`, with the existing data or new data.
    pub async fn start(binaries: &PostgresBinaries, dir: &Path, options: &PostgresOptions) -> Result<Self> {
        let place = Place::prepare(dir, Account::for_server("postgres")?)?;
        super::stop_recorded(place.dir()).await?;
        let password = place.secret("password")?;
        let data = place.path("data");
        if !data.join("PG_VERSION").exists() {
            init(binaries, &place, options).await?;
        }
        check_version(binaries, &data)?;

        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let [port] = ports::choose([remembered_port(&place)])?;
            place.write_private("port", 0o600, &format!("{port}\n"))?;
            remove_stale_lock(&data, &place)?;
            let process = spawn(binaries, &place, options, port)?;
            let mut server = Self { process, port, password: password.clone() };
            match server.wait_ready(deadline).await {
                Ok(()) => return Ok(server),
                // The sessions of a killed server need a moment to end, and another program may have taken
                // the port in between.
                Err(_) if server.may_try_again() && Instant::now() < deadline => {
                    sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `postgres://jaego_admin:..@127.0.0.1:port/postgres`
    pub fn admin_url(&self) -> String {
        format!("postgres://{ADMIN}:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, for tests that simulate a crash.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops the server: sessions are closed, data is safe.
    pub async fn stop(mut self) -> Result<()> {
        self.process.terminate(STOP_TIMEOUT).await?;
        Ok(())
    }

    /// Lets the server outlive this process; [`super::stop_recorded`] stops it.
    pub fn detach(self) {
        self.process.detach();
    }

    async fn wait_ready(&mut self, deadline: Instant) -> Result<()> {
        let url = self.admin_url();
        loop {
            let attempt = timeout(Duration::from_secs(5), tokio_postgres::connect(&url, NoTls)).await;
            let seen = match attempt {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer to a connection".into(),
            };
            self.process.check_alive()?;
            if Instant::now() >= deadline {
                return Err(self.process.not_ready(format!("was not ready within {START_TIMEOUT:?}: {seen}")));
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    fn may_try_again(&mut self) -> bool {
        let words = tail(self.process.log(), 20);
        self.process.exit_status().is_some()
            && (words.contains("pre-existing shared memory block") || words.contains("Address already in use"))
    }
}

fn spawn(binaries: &PostgresBinaries, place: &Place, options: &PostgresOptions, port: u16) -> Result<Process> {
    let data = place.path("data");
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        // A socket's path may have 107 bytes at most, and no socket is needed.
        "unix_socket_directories=".to_owned(),
        "max_connections=300".to_owned(),
        "logging_collector=off".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ];
    settings.extend(options.settings.iter().map(|(name, value)| format!("{name}={value}")));
    if !options.durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    if let Some(Certificates { certificate, key, .. }) = &options.tls {
        let certificate = place.write_private("server.crt", 0o600, certificate)?;
        let key = place.write_private("server.key", 0o600, key)?;
        settings.extend([
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ]);
    }
    Spec::new("PostgreSQL", &binaries.postgres, place.path("server.log"))
        .clear_env()
        .env("LC_ALL", "C.UTF-8")
        .arg("-D")
        .arg(&data)
        .args(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]))
        .current_dir(place.dir())
        .run_as(place.account())
        .stop_signal(StopSignal::Interrupt)
        .record(place.path(SERVER_RECORD), format!("-D {}", data.display()))
        .spawn()
}

/// Creates the data folder. A folder from an interrupted run is never taken for a complete one.
async fn init(binaries: &PostgresBinaries, place: &Place, options: &PostgresOptions) -> Result<()> {
    let (data, fresh) = (place.path("data"), place.path("data.new"));
    for leftover in [&data, &fresh] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).doing(|| format!("remove {}", leftover.display()))?;
        }
    }
    let mut spec = Spec::new("initdb", &binaries.initdb, place.path("initdb.log"))
        .clear_env()
        .env("LC_ALL", "C.UTF-8")
        .arg("-D")
        .arg(&fresh)
        .args(["-U", ADMIN, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
        .arg(format!("--pwfile={}", place.path("password").display()))
        .current_dir(place.dir())
        .run_as(place.account());
    if !options.durable {
        spec = spec.arg("--no-sync");
    }
    let mut initdb = spec.spawn()?;
    match initdb.wait_exit(START_TIMEOUT).await {
        Some(status) if status.success() => {}
        Some(_) => return Err(initdb.not_ready("failed".into())),
        None => return Err(initdb.not_ready(format!("did not end within {START_TIMEOUT:?}"))),
    }
    fs::rename(&fresh, &data).doing(|| format!("rename {}", fresh.display()))
}

/// PostgreSQL reads only data of its own major version, and reports others only in its log.
fn check_version(binaries: &PostgresBinaries, data: &Path) -> Result<()> {
    let path = data.join("PG_VERSION");
    let written = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    if written.trim() == binaries.major.to_string() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{} was made by PostgreSQL {}, but PostgreSQL {} is installed: install that version, or remove the folder",
        data.display(),
        written.trim(),
        binaries.major
    )))
}

fn remembered_port(place: &Place) -> u16 {
    fs::read_to_string(place.path("port")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// After a crash the lock may name a pid that belongs to another program by now, and PostgreSQL would refuse
/// to start. Our own server is not running: it was stopped before.
fn remove_stale_lock(data: &Path, place: &Place) -> Result<()> {
    let lock: PathBuf = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&lock) else { return Ok(()) };
    let pid = text.lines().next().unwrap_or_default().trim();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if command.is_empty() {
        return Ok(()); // No process has that pid, which PostgreSQL detects by itself.
    }
    if String::from_utf8_lossy(&command).replace('\0', " ").contains(&*place.dir().to_string_lossy()) {
        return Err(Error::Invalid(format!("another PostgreSQL (process {pid}) uses {}", data.display())));
    }
    fs::remove_file(&lock).doing(|| format!("remove {}", lock.display()))
}
