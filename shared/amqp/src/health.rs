//! Health of the broker as one part of a service sees it, reported on `/readyz` and as a gauge.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jaego_telemetry::readiness::Check;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Gauge;

/// Name of the connection itself among a part's problems.
pub const CONNECTION: &str = "connection";

/// Holds a part's problems with the broker by name (the connection, a queue). The part is healthy while there are
/// none.
pub struct BrokerHealth {
    check: Check,
    part: &'static str,
    connected: Gauge<u64>,
    problems: Mutex<BTreeMap<String, String>>,
}

impl BrokerHealth {
    /// `part` is the gauge's label, such as `relay` or `consumers`. The initial state is not connected.
    pub fn new(check: Check, part: &'static str) -> Self {
        let connected = opentelemetry::global::meter("jaego")
            .u64_gauge("jaego_broker_connected")
            .with_description("1 while this part of the service has everything that it needs from the broker, else 0")
            .build();
        let health = Self { check, part, connected, problems: Mutex::default() };
        health.fail(CONNECTION, "not connected yet");
        health
    }

    /// Records a problem with `what`; the text must contain no secrets.
    pub fn fail(&self, what: &str, problem: &str) {
        self.change(|problems| {
            problems.insert(what.to_owned(), problem.to_owned());
        });
    }

    /// Clears the problem with `what`.
    pub fn pass(&self, what: &str) {
        self.change(|problems| {
            problems.remove(what);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut problems);
        // Reported under the lock, so that two concurrent changes are not reported in the wrong order.
        self.connected.record(u64::from(problems.is_empty()), &[KeyValue::new("part", self.part)]);
        if problems.is_empty() {
            self.check.pass();
        } else {
            let shown: Vec<String> = problems.iter().map(|(what, problem)| format!("{what}: {problem}")).collect();
            self.check.fail(&format!("{}: {}", self.part, shown.join("; ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use jaego_telemetry::readiness::{Need, Readiness};

    use super::*;

    #[test]
    fn every_problem_degrades_until_it_is_over() {
        let readiness = Readiness::default();
        let health = BrokerHealth::new(readiness.register("broker-consumers", Need::Useful), "consumers");
        let shown = || {
            let report = readiness.report();
            (report.status, report.checks["broker-consumers"].clone())
        };
        assert_eq!(shown(), ("degraded", "consumers: connection: not connected yet".to_owned()));
        health.fail("a.queue", "is missing");
        health.pass(CONNECTION);
        assert_eq!(shown(), ("degraded", "consumers: a.queue: is missing".to_owned()));
        health.pass("a.queue");
        assert_eq!(shown(), ("ready", "ok".to_owned()));
    }
}
