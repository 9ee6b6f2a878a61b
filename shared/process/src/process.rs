//! A process with its background loops: each is watched, and all are stopped in order and within bounds.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jaego_net::install_tls;
use jaego_telemetry::readiness;
use jaego_telemetry::readiness::{Check, Need, Readiness};
use jaego_telemetry::settings::Telemetry;
use jaego_web::Listeners;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Shutdown;

/// A process under construction.
pub struct Process {
    pub readiness: Readiness,
    tasks: Check,
    closing: CancellationToken,
}

impl Process {
    /// Sets up logs, metrics and TLS; nothing runs yet.
    pub fn new(name: &'static str, settings: &Telemetry) -> anyhow::Result<Self> {
        install_tls();
        jaego_telemetry::init(name, settings)?;
        let readiness = Readiness::default();
        let tasks = readiness.register(readiness::TASKS, Need::Required);
        tasks.pass();
        Ok(Self { readiness, tasks, closing: CancellationToken::new() })
    }

    /// Token that is cancelled just before the listeners close: responses that never end by themselves must end then.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// Creates a group of loops that are stopped together; `what` names it in the warning when it does not end in
    /// time.
    pub fn loops(&self, what: &'static str) -> Loops {
        Loops { what, stop: CancellationToken::new(), tasks: TaskTracker::new(), check: self.tasks.clone() }
    }

    /// Completes the start. On stop, the groups are stopped one after the other.
    pub fn run(self, listeners: Listeners, groups: Vec<Loops>, shutdown: &Shutdown) -> Running {
        let process = self.readiness.register("process", Need::Required);
        process.pass();
        for group in &groups {
            group.tasks.close();
        }
        Running {
            listeners,
            process,
            closing: self.closing,
            pre_stop: Duration::from_millis(shutdown.pre_stop_ms),
            drain: Duration::from_millis(shutdown.drain_ms),
            groups,
        }
    }
}

/// Background loops that are stopped together.
pub struct Loops {
    what: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
    check: Check,
}

impl Loops {
    /// Token that is cancelled when the loops must end soon, after finishing the work in progress.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Adds a loop that must not end before it is stopped.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(watched(name, work, self.stop.clone(), self.check.clone()));
    }

    /// Adds a task that may end by itself.
    pub fn spawn_passing(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }
}

/// A loop that ends before it is stopped (a panic is a bug, but it happens) must not go unnoticed: the process
/// reports that it is neither ready nor alive, so that it is restarted.
async fn watched(name: &'static str, work: impl Future<Output = ()>, stop: CancellationToken, check: Check) {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    if ended.is_err() || !stop.is_cancelled() {
        tracing::error!(name, "ended unexpectedly; the process must be restarted");
        check.fail(&format!("{name} ended unexpectedly"));
    }
}

pub struct Running {
    pub listeners: Listeners,
    process: Check,
    closing: CancellationToken,
    pre_stop: Duration,
    drain: Duration,
    groups: Vec<Loops>,
}

impl Running {
    /// Stops in order: reports not ready, closes the listeners and answers requests in flight, then stops one group of
    /// loops after the other, each of which finishes its work (in a service first the consumers and other loops, then
    /// the relay, which publishes the rest). Each step is bounded.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.process.fail("stopping");
        tokio::time::sleep(self.pre_stop).await;
        self.closing.cancel();
        self.bounded("requests", self.listeners.stop_accepting()).await;
        for group in &self.groups {
            group.stop.cancel();
            self.bounded(group.what, group.tasks.wait()).await;
        }
        self.listeners.close().await;
        jaego_telemetry::flush();
        tracing::info!("stopped");
    }

    async fn bounded(&self, what: &'static str, work: impl Future<Output = ()>) {
        if tokio::time::timeout(self.drain, work).await.is_err() {
            tracing::warn!(what, "did not end within shutdown.drain_ms");
        }
    }
}
