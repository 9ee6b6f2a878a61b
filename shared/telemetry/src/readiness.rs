//! State of the parts that the process depends on: the body of `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Name of the check that fails when a task of the process has ended unexpectedly; only a restart helps then.
pub const TASKS: &str = "tasks";

/// Effect of a failing check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The service cannot work without this part: not ready.
    Required,
    /// The service works with restrictions: ready, but degraded.
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

/// One check, held by the code that knows its state.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    readiness: Readiness,
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `ready`, `degraded` or `not_ready`.
    pub status: &'static str,
    /// For each check `ok`, or its problem.
    pub checks: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Adds a check, which fails until it first passes.
    pub fn register(&self, name: &'static str, need: Need) -> Check {
        self.lock().insert(name, State { need, problem: Some("not checked yet".to_owned()) });
        Check { name, readiness: self.clone() }
    }

    /// Returns false when the process can only be restarted: the check [`TASKS`] fails.
    pub fn is_alive(&self) -> bool {
        self.lock().get(TASKS).is_none_or(|state| state.problem.is_none())
    }

    /// Returns true when the check passes; a check that was never registered does not.
    pub fn passes(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|state| state.problem.is_none())
    }

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
        let shown = |state: &State| state.problem.clone().unwrap_or_else(|| "ok".to_owned());
        Report { status, checks: checks.iter().map(|(name, state)| (*name, shown(state))).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    pub fn pass(&self) {
        self.set(None);
    }

    /// `problem` is shown by `/readyz`, so it must not contain a secret.
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
