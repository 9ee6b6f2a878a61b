//! The sections that every service has, and those that a program without a database has.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::auth::OperatorToken;
use crate::tls;

/// One section; a value that does not fit its type is told with its key.
pub(super) fn section<T: DeserializeOwned>(
    merged: &serde_json::Value,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    serde_path_to_error::deserialize(&merged[name])
        .map_err(|error| problems.push(format!("{name}.{}: {}", error.path(), error.inner())))
        .ok()
}

/// Sections that are told one by one when they do not fit.
pub trait Sections: Sized {
    /// All of them, or the problems of those that do not fit.
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self>;
    /// Adds a sentence for each value that cannot work.
    fn check(&self, problems: &mut Vec<String>);
    /// Logs and traces, which every program has.
    fn telemetry(&self) -> &Telemetry;
}

/// The sections of a program that keeps nothing: it listens, and hears the broker.
#[derive(Debug, Clone, Deserialize)]
pub struct Basics {
    /// Listeners and limits of HTTP.
    pub http: Http,
    /// RabbitMQ.
    pub amqp: Broker,
    /// Who may use what operators use.
    pub auth: Auth,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// The sections that every service has.
#[derive(Debug, Clone, Deserialize)]
pub struct Common {
    /// Listeners and limits of HTTP.
    pub http: Http,
    /// The service's own PostgreSQL database.
    pub database: Database,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// Events on their way to the broker.
    pub outbox: Outbox,
    /// Who may use operator endpoints.
    pub auth: Auth,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// The running check of the books.
    pub audit: Audit,
    /// Messages that need a person.
    pub dead_letters: DeadLetters,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// The running check of the books.
#[derive(Debug, Clone, Deserialize)]
pub struct Audit {
    /// How often the books are checked, by one replica, seconds.
    pub every_s: u64,
    /// How often all rules are checked from the first row on, seconds.
    pub full_every_s: u64,
}

/// Messages that need a person.
#[derive(Debug, Clone, Deserialize)]
pub struct DeadLetters {
    /// Letters that may wait in the database; more stay in the broker's queues.
    pub waiting_max: i64,
    /// Processed and discarded ones are kept for so long, days.
    pub retention_days: i32,
}

/// Listeners and limits of HTTP.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// Address to listen on.
    pub host: String,
    /// Listener `api`: everything.
    pub port: u16,
    /// Listener `public`: what an ingress may show.
    pub public_port: u16,
    /// Listener `admin`: probes and metrics.
    pub admin_port: u16,
    /// Worker threads per listener.
    pub workers: usize,
    /// Connections per worker; more wait in the kernel's queue.
    pub connections_max: usize,
}

/// The service's own PostgreSQL database.
#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    /// `postgres://role:password@host:port/name?sslmode=require`.
    pub url: SecretString,
    /// A file with the authorities that sign the server's certificate, PEM; empty: the system's alone.
    pub ca_file: String,
    /// Connections in the pool.
    pub pool_size: usize,
    /// Longest wait for a connection, milliseconds.
    pub wait_timeout_ms: u64,
    /// Longest time for one statement, milliseconds.
    pub statement_timeout_ms: u64,
    /// Longest wait for a row that something else holds, milliseconds; 0 waits as long as a statement may.
    pub lock_timeout_ms: u64,
}

/// Where RabbitMQ is, and how long it is waited for.
#[derive(Debug, Clone, Deserialize)]
pub struct Broker {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
    /// A file with the authorities that sign the broker's certificate, PEM; empty: the system's alone.
    pub ca_file: String,
    /// Longest wait for a broker's answer, milliseconds.
    pub timeout_ms: u64,
}

/// RabbitMQ, as a service with queues of its own uses it.
#[derive(Debug, Clone, Deserialize)]
pub struct Amqp {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
    /// A file with the authorities that sign the broker's certificate, PEM; empty: the system's alone.
    pub ca_file: String,
    /// Unacknowledged messages per queue.
    pub prefetch: u16,
    /// Longest wait for a broker's answer, milliseconds.
    pub timeout_ms: u64,
    /// A consumer that has got nothing for so long begins anew, milliseconds.
    pub renew_idle_ms: u64,
    /// Delays before a failed message is handled again, milliseconds; after the last it is dead-lettered.
    pub retry_delays_ms: Vec<String>,
}

/// Events on their way to the broker.
#[derive(Debug, Clone, Deserialize)]
pub struct Outbox {
    /// Events claimed and published together.
    pub window: i64,
    /// Windows on their way at once: claimed, and not yet both confirmed and deleted.
    pub windows: usize,
    /// The shortest time between two looks that find less than a window, milliseconds.
    pub pace_ms: u64,
    /// How often the outbox is looked at without a signal, milliseconds.
    pub poll_ms: u64,
    /// Above this many waiting events new work is refused with 503.
    pub pending_max: i64,
}

/// Who may use operator endpoints.
#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    /// `name:role:sha256` with role `viewer` or `operator` and the digest of the token in hexadecimal.
    pub tokens: Vec<String>,
}

/// Logs and traces.
#[derive(Debug, Clone, Deserialize)]
pub struct Telemetry {
    /// A filter such as `info` or `info,shared::relay=debug`.
    pub log: String,
    /// `json` or `text`.
    pub log_format: String,
    /// OTLP/HTTP endpoint for traces; empty exports none.
    pub otlp_endpoint: String,
}

/// How the process ends.
#[derive(Debug, Clone, Deserialize)]
pub struct Shutdown {
    /// Pause between "not ready" and closing the listeners, milliseconds.
    pub pre_stop_ms: u64,
    /// Longest time for work in hand to end, milliseconds.
    pub drain_ms: u64,
}

impl Sections for Basics {
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self> {
        let http = section(merged, "http", problems);
        let amqp = section(merged, "amqp", problems);
        let auth = section(merged, "auth", problems);
        let telemetry = section(merged, "telemetry", problems);
        let shutdown = section(merged, "shutdown", problems);
        Some(Self { http: http?, amqp: amqp?, auth: auth?, telemetry: telemetry?, shutdown: shutdown? })
    }

    fn check(&self, problems: &mut Vec<String>) {
        self.telemetry.check(problems);
        self.http.check(problems);
        self.amqp.check(problems);
        self.auth.check(problems);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

impl Sections for Common {
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self> {
        let http = section(merged, "http", problems);
        let database = section(merged, "database", problems);
        let amqp = section(merged, "amqp", problems);
        let outbox = section(merged, "outbox", problems);
        let auth = section(merged, "auth", problems);
        let telemetry = section(merged, "telemetry", problems);
        let audit = section(merged, "audit", problems);
        let dead_letters = section(merged, "dead_letters", problems);
        let shutdown = section(merged, "shutdown", problems);
        Some(Self {
            http: http?,
            database: database?,
            amqp: amqp?,
            outbox: outbox?,
            auth: auth?,
            telemetry: telemetry?,
            audit: audit?,
            dead_letters: dead_letters?,
            shutdown: shutdown?,
        })
    }

    fn check(&self, problems: &mut Vec<String>) {
        self.database.check(problems);
        self.telemetry.check(problems);
        self.http.check(problems);
        self.amqp.broker().check(problems);
        let mut require = |good, problem| require(good, problem, problems);
        require(self.amqp.prefetch >= 1, "amqp.prefetch: must be at least 1");
        require(self.amqp.renew_idle_ms >= 100, "amqp.renew_idle_ms: must be at least 100");
        require(
            !self.amqp.retry_delays_ms.is_empty()
                && self.amqp.retry_delays_ms.iter().all(|text| text.parse::<u32>().is_ok()),
            "amqp.retry_delays_ms: must be a list of milliseconds",
        );
        require((1..=4096).contains(&self.outbox.window), "outbox.window: must be 1 to 4096");
        require((1..=64).contains(&self.outbox.windows), "outbox.windows: must be 1 to 64");
        require(self.outbox.pace_ms <= 1_000, "outbox.pace_ms: must be 0 to 1000");
        require(self.outbox.poll_ms >= 1, "outbox.poll_ms: must be at least 1");
        require(self.outbox.pending_max >= 1, "outbox.pending_max: must be at least 1");
        require((1..=86_400).contains(&self.audit.every_s), "audit.every_s: must be 1 to 86400");
        require(
            (self.audit.every_s..=31_536_000).contains(&self.audit.full_every_s),
            "audit.full_every_s: must be audit.every_s to 31536000 (a year)",
        );
        require(self.dead_letters.waiting_max >= 1, "dead_letters.waiting_max: must be at least 1");
        require(
            (1..=36_500).contains(&self.dead_letters.retention_days),
            "dead_letters.retention_days: must be 1 to 36500",
        );
        self.auth.check(problems);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

impl Http {
    fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(self.host.parse::<std::net::IpAddr>().is_ok(), "http.host: must be an IP address");
        require((1..=1024).contains(&self.workers), "http.workers: must be 1 to 1024");
        require(self.connections_max >= 1, "http.connections_max: must be at least 1");
        let ports = [self.port, self.public_port, self.admin_port];
        let twice = (0..3).any(|index| ports[index] != 0 && ports[..index].contains(&ports[index]));
        require(!twice, "http.port, http.public_port, http.admin_port: must differ");
    }
}

impl Broker {
    fn check(&self, problems: &mut Vec<String>) {
        let url = self.url.expose_secret();
        let mut require = |good, problem| require(good, problem, problems);
        require(!url.is_empty(), "amqp.url: must be set");
        require(
            url.is_empty() || url.parse::<lapin::uri::AMQPUri>().is_ok(),
            "amqp.url: must look like amqp://user:password@host:port/vhost",
        );
        require(self.timeout_ms >= 1, "amqp.timeout_ms: must be at least 1");
        require_authorities("amqp.ca_file", &self.ca_file, problems);
    }
}

impl Auth {
    fn check(&self, problems: &mut Vec<String>) {
        for (index, token) in self.tokens.iter().enumerate() {
            if token.parse::<OperatorToken>().is_err() {
                problems.push(format!(
                    "auth.tokens: entry {} must be name:role:sha256 with role viewer or operator and 64 hexadecimal digits",
                    index + 1
                ));
            }
        }
    }
}

impl Database {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        require_authorities("database.ca_file", &self.ca_file, problems);
        let mut require = |good, problem| require(good, problem, problems);
        let url = self.url.expose_secret();
        require(!url.is_empty(), "database.url: must be set");
        require(
            url.is_empty() || url.parse::<tokio_postgres::Config>().is_ok(),
            "database.url: must look like postgres://role:password@host:port/name (?sslmode= takes disable, prefer and require, which verifies)",
        );
        require((1..=1000).contains(&self.pool_size), "database.pool_size: must be 1 to 1000");
        require(self.wait_timeout_ms >= 1, "database.wait_timeout_ms: must be at least 1");
        require(self.statement_timeout_ms >= 1, "database.statement_timeout_ms: must be at least 1");
    }
}

impl Telemetry {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(
            self.log.parse::<tracing_subscriber::EnvFilter>().is_ok(),
            "telemetry.log: must be a filter such as info or info,shared=debug",
        );
        require(matches!(self.log_format.as_str(), "json" | "text"), "telemetry.log_format: must be json or text");
        let otlp = &self.otlp_endpoint;
        require(
            otlp.is_empty() || otlp.starts_with("http://") || otlp.starts_with("https://"),
            "telemetry.otlp_endpoint: must be empty or an http(s) URL",
        );
    }
}

fn require(good: bool, problem: &str, problems: &mut Vec<String>) {
    if !good {
        problems.push(problem.to_owned());
    }
}

fn require_authorities(key: &str, path: &str, problems: &mut Vec<String>) {
    if let Err(error) = tls::authorities(path) {
        problems.push(format!("{key}: {error}"));
    }
}

impl Amqp {
    /// The broker itself.
    pub fn broker(&self) -> Broker {
        Broker { url: self.url.clone(), ca_file: self.ca_file.clone(), timeout_ms: self.timeout_ms }
    }

    /// The retry delays in order.
    pub fn retry_delays(&self) -> Vec<std::time::Duration> {
        let delays = self.retry_delays_ms.iter().filter_map(|text| text.parse().ok());
        delays.map(std::time::Duration::from_millis).collect()
    }
}
