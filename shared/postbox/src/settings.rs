//! The settings of events on their way out and in.

use jaego_amqp::settings::Broker;
use jaego_settings::require;
use secrecy::SecretString;
use serde::Deserialize;

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

/// Messages that need a person.
#[derive(Debug, Clone, Deserialize)]
pub struct DeadLetters {
    /// Letters that may wait in the database; more stay in the broker's queues.
    pub waiting_max: i64,
    /// Processed and discarded ones are kept for so long, days.
    pub retention_days: i32,
}

impl Amqp {
    /// Adds a sentence for each value that cannot work.
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

impl Outbox {
    /// Adds a sentence for each value that cannot work.
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
    /// Adds a sentence for each value that cannot work.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(self.waiting_max >= 1, "dead_letters.waiting_max: must be at least 1");
        require((1..=36_500).contains(&self.retention_days), "dead_letters.retention_days: must be 1 to 36500");
    }
}
