//! Runs the load generator `wrk` and reads its result.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use testkit::process::{Spec, tail};

use crate::statistics::figure;

/// The kind of requests that a load sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Orders, each under a key of its own, or each key twice.
    Orders,
    /// Prepared requests from files.
    Requests,
    /// The same request each time.
    Plain,
}

impl Script {
    const ALL: [Self; 3] = [Self::Orders, Self::Requests, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders.lua",
            Self::Requests => "requests.lua",
            Self::Plain => "plain.lua",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Orders => include_str!("lua/orders.lua"),
            Self::Requests => include_str!("lua/requests.lua"),
            Self::Plain => include_str!("lua/plain.lua"),
        }
    }
}

/// Common end of every script.
const DONE: &str = include_str!("lua/done.lua");

/// Threads of the load generator, which shares the cores with the servers.
pub const THREADS: usize = 2;

#[derive(Debug, Clone)]
pub struct Load {
    pub url: String,
    pub script: Script,
    /// The script's arguments.
    pub args: Vec<String>,
    pub connections: usize,
    pub time: Duration,
}

/// Result of a load.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    /// Answers with any status.
    pub requests: u64,
    /// Answers with a status of 400 or above.
    pub refused: u64,
    /// Errors while connecting, reading or writing.
    lost: u64,
    /// Requests that were not answered in time.
    late: u64,
    us: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    /// Requests begun, per thread.
    pub sent: Vec<u64>,
}

impl Outcome {
    /// Number of successful answers.
    pub fn good(&self) -> u64 {
        self.requests - self.refused
    }

    /// Converts a count into a rate per second.
    pub fn per_second(&self, count: u64) -> f64 {
        figure(count) * 1e6 / figure(self.us.max(1))
    }

    /// Median latency, milliseconds.
    pub fn p50_ms(&self) -> f64 {
        figure(self.p50_us) / 1e3
    }

    /// 99th percentile of the latency, milliseconds.
    pub fn p99_ms(&self) -> f64 {
        figure(self.p99_us) / 1e3
    }

    /// Maximum latency, milliseconds.
    pub fn max_ms(&self) -> f64 {
        figure(self.max_us) / 1e3
    }

    /// Returns an error if a connection failed, a request was not answered in time, or nothing was answered.
    pub fn is_whole(&self) -> anyhow::Result<()> {
        ensure!(
            self.lost == 0 && self.late == 0,
            "{} connections were lost, {} requests were not answered in time",
            self.lost,
            self.late
        );
        ensure!(self.requests > 0, "nothing was answered at all");
        Ok(())
    }
}

/// The load generator, with its scripts in a folder.
#[derive(Debug, Clone)]
pub struct Generator {
    dir: PathBuf,
}

impl Generator {
    /// Writes the scripts.
    pub fn prepare(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for script in Script::ALL {
            let path = dir.join(script.name());
            fs::write(&path, [script.text(), DONE].concat())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Runs a load to its end.
    pub async fn run(&self, load: &Load) -> anyhow::Result<Outcome> {
        ensure!(load.time >= Duration::from_secs(1), "the load generator counts whole seconds");
        let threads = THREADS.min(load.connections);
        let log = self.dir.join(format!("{}.log", uuid::Uuid::now_v7()));
        let seconds = load.time.as_secs();
        let mut process = Spec::new("wrk", localstack::packages::LOAD_GENERATOR, &log)
            .clear_env()
            .args(["-t".to_owned(), threads.to_string(), "-c".to_owned(), load.connections.to_string()])
            .args(["-d".to_owned(), format!("{seconds}s"), "--timeout".to_owned(), "30s".to_owned(), "-s".to_owned()])
            .arg(self.dir.join(load.script.name()))
            .args([load.url.as_str(), "--"])
            .args(&load.args)
            .spawn()?;
        let ended = process.wait_exit(load.time + Duration::from_secs(60)).await;
        let words = tail(&log, 30);
        let Some(status) = ended else { bail!("the load generator did not end: {words}") };
        ensure!(status.success(), "the load generator failed ({status}): {words}");
        let line = words.lines().rev().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("the load generator printed no figures: {words}"))?;
        fs::remove_file(&log).ok();
        serde_json::from_str(line).with_context(|| format!("the load generator's figures: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"{"requests":20,"refused":5,"lost":0,"late":0,"us":2000000,"p50_us":1500,"p99_us":9000,"max_us":9900,"sent":[11,12]}"#;

    #[test]
    fn figures_are_read_and_divided() {
        let outcome: Outcome = serde_json::from_str(OUTPUT).unwrap();
        assert!(outcome.is_whole().is_ok());
        assert_eq!((outcome.good(), outcome.sent.len()), (15, 2));
        assert!((outcome.per_second(outcome.good()) - 7.5).abs() < 1e-9);
        assert!((outcome.p99_ms() - 9.0).abs() < 1e-9);
    }

    #[test]
    fn a_lost_connection_or_no_answer_is_an_error() {
        for (from, to) in
            [("\"lost\":0", "\"lost\":1"), ("\"late\":0", "\"late\":1"), ("\"requests\":20", "\"requests\":0")]
        {
            let outcome: Outcome = serde_json::from_str(&OUTPUT.replace(from, to)).unwrap();
            assert!(outcome.is_whole().is_err(), "{to}");
        }
    }
}
