//! Settings of the connection to RabbitMQ.

use jaego_net::tls;
use jaego_settings::require;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Address of RabbitMQ, and the timeout for its answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Broker {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
    /// PEM file of certificate authorities for the broker, in addition to the system's; empty for the system's alone.
    pub ca_file: String,
    /// Longest wait for an answer from the broker, milliseconds.
    pub timeout_ms: u64,
}

impl Broker {
    /// Adds a message for each invalid value.
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
