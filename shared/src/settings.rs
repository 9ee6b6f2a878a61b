//! Configuration: embedded defaults, then an optional file, then the environment.
//!
//! The embedded `default.toml` names every key, so it is also the list of what may be set: a key
//! that it does not have is refused. All problems are told at once, and no value is ever printed.

use std::path::Path;

use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::auth::OperatorToken;

/// Every problem of a configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not usable:\n{}", .0.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct InvalidSettings(pub Vec<String>);

/// A service's settings: what [`load`] makes and checks.
pub trait Settings: DeserializeOwned + Send + 'static {
    /// The sections that every service has.
    fn common(&self) -> &Common;
    /// Adds a sentence for each value that cannot work; keys by their full name.
    fn check(&self, problems: &mut Vec<String>);
}

/// Where settings come from.
pub struct Sources<'a> {
    /// The service's `default.toml`.
    pub defaults: &'a str,
    /// A TOML file that overrides defaults.
    pub file: Option<&'a Path>,
    /// `JAEGO_SALES` reads `JAEGO_SALES__HTTP__PORT` as `http.port`.
    pub env_prefix: &'a str,
    /// The environment.
    pub env: Vec<(String, String)>,
}

/// Reads, merges, checks. Errors list every unknown key and every bad value at once.
pub fn load<S: Settings>(sources: Sources<'_>) -> Result<S, InvalidSettings> {
    let mut problems = Vec::new();
    let own_prefix = format!("{}_", sources.env_prefix);
    let nested_prefix = format!("{}__", sources.env_prefix);
    for (name, _) in &sources.env {
        if name.starts_with(&own_prefix) && !name.starts_with(&nested_prefix) {
            problems.push(format!("{name}: write two underscores after the prefix, as in {nested_prefix}HTTP__PORT"));
        }
    }
    let env = Environment::with_prefix(sources.env_prefix)
        .prefix_separator("__")
        .separator("__")
        .source(Some(sources.env.into_iter().collect()));
    let defaults = Config::builder()
        .add_source(File::from_str(sources.defaults, FileFormat::Toml))
        .build()
        .map_err(|error| InvalidSettings(vec![format!("embedded defaults: {error}")]))?;
    let mut builder = Config::builder().add_source(defaults.clone());
    if let Some(path) = sources.file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    // A parser shows the line that it cannot read, and that line may hold a password.
    let unreadable = |error: config::ConfigError| error.to_string().lines().next().unwrap_or_default().to_owned();
    let merged = builder.add_source(env).build().map_err(|error| {
        let file = sources.file.map(|path| format!("{}: ", path.display())).unwrap_or_default();
        InvalidSettings(vec![format!("{file}{}", unreadable(error))])
    })?;

    let merged = conform("", &merged.cache, &defaults.cache, &mut problems);
    let common = Common::read(&merged, &mut problems);
    if let Some(common) = &common {
        common.check(&mut problems);
    }
    // A value that does not fit is in the common sections, and told, or in the service's own.
    match S::deserialize(&merged) {
        Ok(settings) => settings.check(&mut problems),
        Err(_) if common.is_none() => {}
        Err(error) => problems.push(error.to_string()),
    }
    if !problems.is_empty() {
        return Err(InvalidSettings(problems));
    }
    S::deserialize(&merged).map_err(|error| InvalidSettings(vec![error.to_string()]))
}

/// One section; a value that does not fit its type is told with its key.
fn section<T: DeserializeOwned>(merged: &serde_json::Value, name: &str, problems: &mut Vec<String>) -> Option<T> {
    serde_path_to_error::deserialize(&merged[name])
        .map_err(|error| problems.push(format!("{name}.{}: {}", error.path(), error.inner())))
        .ok()
}

/// The value at `path` in the type that the default has; a text from the environment is converted.
/// One that cannot be is told, and the default goes on, so that the rest is checked as well.
fn conform(path: &str, value: &Value, default: &Value, problems: &mut Vec<String>) -> serde_json::Value {
    use serde_json::Value as Json;
    let mut refuse = |expected: &str| {
        problems.push(format!("{path}: must be {expected}"));
        conform(path, default, default, &mut Vec::new())
    };
    match (&default.kind, &value.kind) {
        (ValueKind::Table(known), ValueKind::Table(given)) => {
            let mut table = serde_json::Map::new();
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(default) => {
                        table.insert(key.clone(), conform(&path, value, default, problems));
                    }
                    None => problems.push(format!("{path}: no such key")),
                }
            }
            Json::Object(table)
        }
        (ValueKind::Table(_), _) => refuse("a section"),
        (ValueKind::Boolean(_), _) => match value.clone().into_bool() {
            Ok(flag) => Json::from(flag),
            Err(_) => refuse("true or false"),
        },
        (ValueKind::I64(_), kind) => match (kind, value.clone().into_int()) {
            (ValueKind::Float(_), _) | (_, Err(_)) => refuse("a whole number"),
            (_, Ok(number)) => Json::from(number),
        },
        (ValueKind::Float(_), _) => match value.clone().into_float() {
            Ok(number) if number.is_finite() => Json::from(number),
            _ => refuse("a number"),
        },
        (ValueKind::Array(_), ValueKind::String(text)) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Json::from).collect()
        }
        (ValueKind::Array(_), ValueKind::Array(items)) => {
            let texts: Result<Vec<_>, _> = items.iter().map(|item| item.clone().into_string()).collect();
            texts.map_or_else(|_| refuse("a list of texts"), Json::from)
        }
        (ValueKind::Array(_), _) => refuse("a list"),
        (_, ValueKind::Table(_) | ValueKind::Array(_)) => refuse("a text"),
        (_, _) => value.clone().into_string().map_or_else(|_| refuse("a text"), Json::from),
    }
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
    /// How often the books are checked, seconds.
    pub every_s: u64,
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
    /// Connections in the pool.
    pub pool_size: usize,
    /// Longest wait for a connection, milliseconds.
    pub wait_timeout_ms: u64,
    /// Longest time for one statement, milliseconds.
    pub statement_timeout_ms: u64,
}

/// RabbitMQ.
#[derive(Debug, Clone, Deserialize)]
pub struct Amqp {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
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
    /// Events published before their confirms are awaited.
    pub window: i64,
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

impl Common {
    /// All common sections, or the problems of those that do not fit.
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
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        require(self.http.host.parse::<std::net::IpAddr>().is_ok(), "http.host: must be an IP address");
        require((1..=1024).contains(&self.http.workers), "http.workers: must be 1 to 1024");
        require(self.http.connections_max >= 1, "http.connections_max: must be at least 1");
        let ports = [self.http.port, self.http.public_port, self.http.admin_port];
        let twice = (0..3).any(|index| ports[index] != 0 && ports[..index].contains(&ports[index]));
        require(!twice, "http.port, http.public_port, http.admin_port: must differ");
        let database = self.database.url.expose_secret();
        require(!database.is_empty(), "database.url: must be set");
        require(
            database.is_empty() || database.parse::<tokio_postgres::Config>().is_ok(),
            "database.url: must look like postgres://role:password@host:port/name",
        );
        require((1..=1000).contains(&self.database.pool_size), "database.pool_size: must be 1 to 1000");
        require(self.database.wait_timeout_ms >= 1, "database.wait_timeout_ms: must be at least 1");
        require(self.database.statement_timeout_ms >= 1, "database.statement_timeout_ms: must be at least 1");
        let broker = self.amqp.url.expose_secret();
        require(!broker.is_empty(), "amqp.url: must be set");
        require(
            broker.is_empty() || broker.parse::<lapin::uri::AMQPUri>().is_ok(),
            "amqp.url: must look like amqp://user:password@host:port/vhost",
        );
        require(self.amqp.prefetch >= 1, "amqp.prefetch: must be at least 1");
        require(self.amqp.timeout_ms >= 1, "amqp.timeout_ms: must be at least 1");
        require(self.amqp.renew_idle_ms >= 100, "amqp.renew_idle_ms: must be at least 100");
        require(
            !self.amqp.retry_delays_ms.is_empty()
                && self.amqp.retry_delays_ms.iter().all(|text| text.parse::<u32>().is_ok()),
            "amqp.retry_delays_ms: must be a list of milliseconds",
        );
        require((1..=4096).contains(&self.outbox.window), "outbox.window: must be 1 to 4096");
        require(self.outbox.poll_ms >= 1, "outbox.poll_ms: must be at least 1");
        require(self.outbox.pending_max >= 1, "outbox.pending_max: must be at least 1");
        require(
            self.telemetry.log.parse::<tracing_subscriber::EnvFilter>().is_ok(),
            "telemetry.log: must be a filter such as info or info,shared=debug",
        );
        require(
            matches!(self.telemetry.log_format.as_str(), "json" | "text"),
            "telemetry.log_format: must be json or text",
        );
        require((1..=86_400).contains(&self.audit.every_s), "audit.every_s: must be 1 to 86400");
        require(self.dead_letters.waiting_max >= 1, "dead_letters.waiting_max: must be at least 1");
        require(
            (1..=36_500).contains(&self.dead_letters.retention_days),
            "dead_letters.retention_days: must be 1 to 36500",
        );
        let otlp = &self.telemetry.otlp_endpoint;
        require(
            otlp.is_empty() || otlp.starts_with("http://") || otlp.starts_with("https://"),
            "telemetry.otlp_endpoint: must be empty or an http(s) URL",
        );
        for (index, token) in self.auth.tokens.iter().enumerate() {
            if token.parse::<OperatorToken>().is_err() {
                problems.push(format!(
                    "auth.tokens: entry {} must be name:role:sha256 with role viewer or operator and 64 hexadecimal digits",
                    index + 1
                ));
            }
        }
    }
}

impl Amqp {
    /// The retry delays in order.
    pub fn retry_delays(&self) -> Vec<std::time::Duration> {
        let delays = self.retry_delays_ms.iter().filter_map(|text| text.parse().ok());
        delays.map(std::time::Duration::from_millis).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = include_str!("testdata/common.toml");

    #[derive(Debug, Deserialize)]
    struct Only {
        #[serde(flatten)]
        common: Common,
    }
    impl Settings for Only {
        fn common(&self) -> &Common {
            &self.common
        }
        fn check(&self, _: &mut Vec<String>) {}
    }

    fn load_with(env: &[(&str, &str)]) -> Result<Only, InvalidSettings> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Sources { defaults: DEFAULTS, file: None, env_prefix: "JAEGO_TEST", env })
    }

    const URLS: [(&str, &str); 2] = [
        ("JAEGO_TEST__DATABASE__URL", "postgres://role:very-secret@localhost/x"),
        ("JAEGO_TEST__AMQP__URL", "amqp://user:very-secret@localhost/%2f"),
    ];

    #[test]
    fn the_environment_overrides_and_lists_are_split() {
        let digest = "a".repeat(64);
        let tokens = format!("kim:viewer:{digest}, lee:operator:{digest}");
        let mut env = URLS.to_vec();
        env.extend([("JAEGO_TEST__HTTP__PORT", "9191"), ("JAEGO_TEST__AUTH__TOKENS", tokens.as_str())]);
        let settings = load_with(&env).expect("valid");
        assert_eq!(settings.common.http.port, 9191);
        assert_eq!(settings.common.auth.tokens.len(), 2);
    }

    #[test]
    fn every_problem_is_told_at_once_and_no_value_is_shown() {
        let mut env = URLS.to_vec();
        env.extend([
            ("JAEGO_TEST__HTTP__PROT", "1"),
            ("JAEGO_TEST__HTTP__PORT", "very-secret"),
            ("JAEGO_TEST_HTTP_PORT", "1"),
        ]);
        let InvalidSettings(problems) = load_with(&env).expect_err("three problems");
        assert_eq!(problems.len(), 3, "{problems:?}");
        let told = problems.join("\n");
        assert!(told.contains("http.prot: no such key") && told.contains("http.port: must be a whole number"));
        assert!(!told.contains("very-secret"));
    }

    #[test]
    fn values_that_cannot_work_are_told_together() {
        let InvalidSettings(problems) =
            load_with(&[("JAEGO_TEST__HTTP__WORKERS", "0"), ("JAEGO_TEST__OUTBOX__WINDOW", "0")]).expect_err("bad");
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn problems_of_every_kind_are_told_together_each_with_its_key() {
        let mut env = URLS.to_vec();
        env.extend([
            ("JAEGO_TEST__HTTP__PORT", "70000"),
            ("JAEGO_TEST__DATABASE__POOL_SIZE", "-1"),
            ("JAEGO_TEST__HTTP__PROT", "1"),
            ("JAEGO_TEST__OUTBOX__WINDOW", "many"),
        ]);
        let InvalidSettings(problems) = load_with(&env).expect_err("four problems");
        for key in ["http.port: ", "database.pool_size: ", "http.prot: ", "outbox.window: "] {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key} is not told: {problems:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_shows_no_line_of_it() {
        let path = std::env::temp_dir().join(format!("jaego-settings-{}.toml", std::process::id()));
        std::fs::write(&path, "[database]\nurl = \"postgres://role:very-secret@host/x\n").expect("written");
        let sources = Sources { defaults: DEFAULTS, file: Some(&path), env_prefix: "JAEGO_TEST", env: Vec::new() };
        let told = load::<Only>(sources).map(drop).expect_err("not TOML").to_string();
        std::fs::remove_file(&path).expect("removed");
        assert!(told.contains("line 2") && !told.contains("very-secret"), "{told}");
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let settings = load_with(&URLS).expect("valid");
        assert!(!format!("{settings:?}").contains("very-secret"));
    }
}
