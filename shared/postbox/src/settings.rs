//! Settings for publishing and consuming events.

use jaego_amqp::settings::Broker;
use jaego_settings::require;
use secrecy::SecretString;
use serde::Deserialize;

/// RabbitMQ settings of a service that has queues of its own.
#[derive(Debug, Clone, Deserialize)]
pub struct Amqp {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
    /// PEM file of certificate authorities for the broker, in addition to the system's; empty for the system's alone.
    pub ca_file: String,
    /// Maximum unacknowledged messages per queue.
    pub prefetch: u16,
    /// Longest wait for an answer from the broker, milliseconds.
    pub timeout_ms: u64,
    /// Idle time after which a consumer is renewed, milliseconds.
    pub renew_idle_ms: u64,
    /// Delays before a failed message is retried, milliseconds; after the last one it is dead-lettered.
    pub retry_delays_ms: Vec<String>,
}

/// Settings of the outbox and its relay.
#[derive(Debug, Clone, Deserialize)]
pub struct Outbox {
    /// Maximum events that are read and published together.
    pub window: i64,
    /// Maximum windows in flight: read, and not yet both confirmed and deleted.
    pub windows: usize,
    /// Shortest time between two reads that return less than a full window, milliseconds.
    pub pace_ms: u64,
    /// Interval at which the outbox is polled without a notification, milliseconds.
    pub poll_ms: u64,
    /// New work is refused with 503 from this number of pending events.
    pub pending_max: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DeadLetters {
    /// Maximum dead letters that wait in the database; further ones stay in the broker's queues.
    pub waiting_max: i64,
    /// Retention of processed and discarded dead letters, days.
    pub retention_days: i32,
}

impl Amqp {
    /// Adds a message for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        self.broker().check(problems);
        let mut require = |good, problem| require(good, problem, problems);
        require(self.prefetch >= 1, "amqp.prefetch: must be at least 1");
        require(self.renew_idle_ms >= 100, "amqp.renew_idle_ms: must be at least 100");
        require(
            !self.retry_delays_ms.is_empty() && self.retry_delays_ms.iter().all(|text| text.parse::<u32>().is_ok()),
            "amqp.retry_delays_ms: must be a list of milliseconds",
        );
    }

    /// Settings of the connection alone.
    pub fn broker(&self) -> Broker {
        Broker { url: self.url.clone(), ca_file: self.ca_file.clone(), timeout_ms: self.timeout_ms }
    }

    pub fn retry_delays(&self) -> Vec<std::time::Duration> {
        let delays = self.retry_delays_ms.iter().filter_map(|text| text.parse().ok());
        delays.map(std::time::Duration::from_millis).collect()
    }
}

impl Outbox {
    /// Adds a message for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require((1..=4096).contains(&self.window), "outbox.window: must be 1 to 4096");
        require((1..=64).contains(&self.windows), "outbox.windows: must be 1 to 64");
        require(self.pace_ms <= 1_000, "outbox.pace_ms: must be 0 to 1000");
        require(self.poll_ms >= 1, "outbox.poll_ms: must be at least 1");
        require(self.pending_max >= 1, "outbox.pending_max: must be at least 1");
    }
}

impl DeadLetters {
    /// Adds a message for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(self.waiting_max >= 1, "dead_letters.waiting_max: must be at least 1");
        require((1..=36_500).contains(&self.retention_days), "dead_letters.retention_days: must be 1 to 36500");
    }
}
