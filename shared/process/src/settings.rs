//! The settings that a program without a database has.

use jaego_amqp::settings::Broker;
use jaego_settings::{Sections, section};
use jaego_telemetry::settings::Telemetry;
use jaego_web::settings::{Auth, Http};
use serde::Deserialize;

/// Logs and traces, which every program has.
pub trait HasTelemetry {
    /// Their settings.
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
}

impl HasTelemetry for Basics {
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}
