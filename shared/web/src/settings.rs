//! Settings of HTTP.

use ipnet::IpNet;
use jaego_net::networks;
use jaego_net::proxies::{HOPS_MAX, Proxies, may_be_trusted};
use jaego_settings::require;
use serde::Deserialize;

use crate::auth::OperatorToken;
use crate::clients::{Buckets, Clients};

/// Listeners and limits of HTTP.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// Address to listen on.
    pub host: String,
    /// Port of the listener `api`: all routes.
    pub port: u16,
    /// Port of the listener `public`: routes that an ingress may expose.
    pub public_port: u16,
    /// Port of the listener `admin`: probes and metrics.
    pub admin_port: u16,
    /// Worker threads per listener.
    pub workers: usize,
    /// Maximum connections per listener; beyond it, those that have waited longest for their client are closed.
    pub connections_max: usize,
    /// Number of proxies in front, whose `X-Forwarded-For` is believed.
    pub trusted_hops: usize,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Maximum requests of a client on listener `public`, on average per second; 0: no limit.
    pub client_rate_per_s: u32,
    /// Maximum requests of a client at once.
    pub client_burst: u32,
    /// Networks whose addresses may each stand for many clients, and are not limited.
    pub unlimited_networks: Vec<String>,
}

/// Access to operator endpoints.
#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    /// `name:role:sha256` with role `viewer` or `operator` and the digest of the token in hexadecimal.
    pub tokens: Vec<String>,
    /// Maximum wrong tokens of a client in a minute.
    pub wrong_per_minute_max: u32,
}

impl Http {
    /// Adds a sentence for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let mut require = |good, problem| require(good, problem, problems);
        require(self.host.parse::<std::net::IpAddr>().is_ok(), "http.host: must be an IP address");
        require((1..=1024).contains(&self.workers), "http.workers: must be 1 to 1024");
        require(self.connections_max >= 1, "http.connections_max: must be at least 1");
        let ports = [self.port, self.public_port, self.admin_port];
        let twice = (0..3).any(|index| ports[index] != 0 && ports[..index].contains(&ports[index]));
        require(!twice, "http.port, http.public_port, http.admin_port: must differ");
        require(self.trusted_hops <= HOPS_MAX, "http.trusted_hops: must be 0 to 10");
        require(
            self.trusted_hops == 0 || self.trusted_proxies.is_empty(),
            "http.trusted_hops, http.trusted_proxies: set one of them only",
        );
        require(self.client_rate_per_s <= 100_000, "http.client_rate_per_s: must be 0 to 100000");
        require((1..=1_000_000).contains(&self.client_burst), "http.client_burst: must be 1 to 1000000");
        check_networks("http.trusted_proxies", &self.trusted_proxies, problems);
        check_networks("http.unlimited_networks", &self.unlimited_networks, problems);
        for (index, network) in self.trusted_proxies.iter().enumerate() {
            if networks::parse(network).is_some_and(|network| !may_be_trusted(&network)) {
                let entry = index + 1;
                problems.push(format!(
                    "http.trusted_proxies: entry {entry} contains more than proxies; the prefix must be at least 8, or 16 for IPv6"
                ));
            }
        }
    }

    /// The proxies in front. Unreadable entries were rejected at startup.
    pub fn proxies(&self) -> Proxies {
        if self.trusted_proxies.is_empty() {
            return Proxies::Hops(self.trusted_hops);
        }
        Proxies::Networks(parse_networks(&self.trusted_proxies))
    }

    /// The proxies in front, and the clients that are limited.
    pub fn clients(&self) -> Clients {
        Clients { proxies: self.proxies(), unlimited: parse_networks(&self.unlimited_networks) }
    }

    /// The bound of each client on listener `public`.
    pub fn buckets(&self) -> Option<Buckets> {
        Buckets::new(self.client_rate_per_s, self.client_burst)
    }
}

/// Adds a sentence for each entry that is not a network.
pub fn check_networks(key: &str, list: &[String], problems: &mut Vec<String>) {
    for index in (0..list.len()).filter(|index| networks::parse(&list[*index]).is_none()) {
        problems.push(format!("{key}: entry {} must be a network such as 10.0.0.0/8", index + 1));
    }
}

/// The readable entries of a list of networks.
pub fn parse_networks(list: &[String]) -> Vec<IpNet> {
    list.iter().filter_map(|text| networks::parse(text)).collect()
}

impl Auth {
    /// Adds a sentence for each invalid value.
    pub fn check(&self, problems: &mut Vec<String>) {
        let wrong = (1..=100_000).contains(&self.wrong_per_minute_max);
        require(wrong, "auth.wrong_per_minute_max: must be 1 to 100000", problems);
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
