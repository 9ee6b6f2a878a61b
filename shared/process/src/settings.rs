//! Settings of a program without a database.

use jaego_amqp::settings::Broker;
use jaego_settings::{Sections, section};
use jaego_telemetry::settings::Telemetry;
use jaego_web::settings::Http;
use serde::Deserialize;

/// Access to the settings of logs and traces, which every program has.
pub trait HasTelemetry {
    fn telemetry(&self) -> &Telemetry;
}

/// The sections of a program that stores nothing: it serves HTTP and consumes from the broker.
#[derive(Debug, Clone, Deserialize)]
pub struct Basics {
    pub http: Http,
    pub amqp: Broker,
    pub telemetry: Telemetry,
    pub shutdown: Shutdown,
}

/// Timing of an ordered stop.
#[derive(Debug, Clone, Deserialize)]
pub struct Shutdown {
    /// Pause between "not ready" and closing the listeners, milliseconds.
    pub pre_stop_ms: u64,
    /// Maximum time for work in flight to end, for each step of the stop, milliseconds.
    pub drain_ms: u64,
}

impl Sections for Basics {
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self> {
        let http = section(merged, "http", problems);
        let amqp = section(merged, "amqp", problems);
        let telemetry = section(merged, "telemetry", problems);
        let shutdown = section(merged, "shutdown", problems);
        Some(Self { http: http?, amqp: amqp?, telemetry: telemetry?, shutdown: shutdown? })
    }

    fn check(&self, problems: &mut Vec<String>) {
        self.telemetry.check(problems);
        self.http.check(problems);
        self.amqp.check(problems);
    }
}

impl HasTelemetry for Basics {
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}
