//! What the process needs and whether it has it now: the body of `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Name of the check that fails when a part of the process has ended: only a new process helps.
pub const TASKS: &str = "tasks";

/// How bad it is when a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The service cannot work: not ready.
    Required,
    /// It works with less: ready, but degraded.
    Useful,
}

#[derive(Debug, Clone)]
struct State {
    need: Need,
    problem: Option<String>,
}

/// All checks of a process.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    checks: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

/// One check, held by whoever knows its state.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    readiness: Readiness,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `ready`, `degraded` or `not_ready`.
    pub status: &'static str,
    /// Per check: `ok`, or what is wrong.
    pub checks: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Adds a check that has not passed yet.
    pub fn register(&self, name: &'static str, need: Need) -> Check {
        self.lock().insert(name, State { need, problem: Some("not checked yet".to_owned()) });
        Check { name, readiness: self.clone() }
    }

    /// Whether the process can go on at all.
    pub fn is_alive(&self) -> bool {
        self.lock().get(TASKS).is_none_or(|state| state.problem.is_none())
    }

    /// Whether a check passes; one that was never registered does not.
    pub fn passes(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|state| state.problem.is_none())
    }

    /// The state of all checks.
    pub fn report(&self) -> Report {
        let checks = self.lock();
        let failing = |need| checks.values().any(|state| state.need == need && state.problem.is_some());
        let status = if failing(Need::Required) {
            "not_ready"
        } else if failing(Need::Useful) {
            "degraded"
        } else {
            "ready"
        };
        let told = |state: &State| state.problem.clone().unwrap_or_else(|| "ok".to_owned());
        Report { status, checks: checks.iter().map(|(name, state)| (*name, told(state))).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// All is well.
    pub fn pass(&self) {
        self.set(None);
    }

    /// Something is wrong; no secret in the text.
    pub fn fail(&self, problem: &str) {
        self.set(Some(problem.to_owned()));
    }

    fn set(&self, problem: Option<String>) {
        if let Some(state) = self.readiness.lock().get_mut(self.name) {
            state.problem = problem;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_useful_part_degrades_and_a_required_one_stops() {
        let readiness = Readiness::default();
        let database = readiness.register("database", Need::Required);
        let broker = readiness.register("broker", Need::Useful);
        assert_eq!(readiness.report().status, "not_ready");
        database.pass();
        assert_eq!(readiness.report().status, "degraded");
        broker.pass();
        assert_eq!(readiness.report().status, "ready");
        database.fail("gone");
        let report = readiness.report();
        assert_eq!((report.status, report.checks["database"].as_str()), ("not_ready", "gone"));
    }
}
