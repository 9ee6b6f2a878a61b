//! The settings of the way to RabbitMQ.

use jaego_net::tls;
use jaego_settings::require;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

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

impl Broker {
    /// Adds a sentence for each value that cannot work.
    pub fn check(&self, problems: &mut Vec<String>) {
        let url = self.url.expose_secret();
        let mut require = |good, problem| require(good, problem, problems);
        require(!url.is_empty(), "amqp.url: must be set");
        require(
            url.is_empty() || url.parse::<lapin::uri::AMQPUri>().is_ok(),
            "amqp.url: must look like amqp://user:password@host:port/vhost",
        );
        require(self.timeout_ms >= 1, "amqp.timeout_ms: must be at least 1");
        if let Err(error) = tls::authorities(&self.ca_file) {
            problems.push(format!("amqp.ca_file: {error}"));
        }
    }
}
