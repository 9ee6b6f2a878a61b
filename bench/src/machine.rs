//! The machine and the servers of a measurement.

use std::fs;

use anyhow::Context as _;
use localstack::stack::Stack;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model name.
    pub processor: String,
    pub cores: usize,
    /// Memory, GiB.
    pub memory_gib: u64,
    pub postgres: String,
    /// PostgreSQL settings that affect the results.
    pub postgres_settings: String,
    pub rabbitmq: String,
    /// Build profile: release or debug.
    pub build: String,
}

impl Machine {
    /// Inspects this machine.
    pub async fn look(stack: &Stack, admin: &Client) -> anyhow::Result<Self> {
        let mut settings = Vec::new();
        for name in ["fsync", "synchronous_commit", "shared_buffers", "max_wal_size"] {
            settings.push(format!("{name} {}", show(admin, name).await?));
        }
        let overview = stack.broker()?.0.overview().await?;
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kibibytes("/proc/meminfo", "MemTotal").unwrap_or_default() / (1024 * 1024),
            postgres: show(admin, "server_version").await?,
            postgres_settings: settings.join(", "),
            rabbitmq: overview["rabbitmq_version"].as_str().unwrap_or("unknown").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        })
    }
}

async fn show(admin: &Client, name: &str) -> anyhow::Result<String> {
    let row = admin.query_one("SELECT current_setting($1)", &[&name]).await.context("cannot read a setting")?;
    Ok(row.get(0))
}

/// The resident memory of a process, MB.
pub fn memory_mb(pid: u32) -> anyhow::Result<f64> {
    let kib = kibibytes(&format!("/proc/{pid}/status"), "VmRSS").context("the process has ended")?;
    Ok(crate::statistics::figure(kib) * 1024.0 / 1e6)
}

/// A value of a file like /proc/meminfo: `MemTotal:  123 kB`.
fn kibibytes(path: &str, name: &str) -> Option<u64> {
    field(path, name)?.split_whitespace().next()?.parse().ok()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = |line: &str| Some(line.split_once(':').filter(|(key, _)| key.trim() == name)?.1.trim().to_owned());
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        assert!(memory_mb(std::process::id()).unwrap() > 0.5);
        assert!(kibibytes("/proc/meminfo", "MemTotal").unwrap() > 1024);
    }
}
