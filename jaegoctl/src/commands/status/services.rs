//! The state that each service reports.

use clap::Args;
use futures::future::join_all;
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::Api,
    commands::{
        dlq,
        show::{shown, text},
    },
    connection::{Connection, base_url},
    failure::{Exit, Failure, Result},
    http::{Ask, Http, Login},
    output::{Output, Rows},
    service::Service,
};

/// URLs of the services' `admin` ports.
#[derive(Debug, Args)]
#[command(next_help_heading = "Admin ports")]
pub(super) struct AdminUrls {
    /// The admin port of sales-service: readiness, metrics
    #[arg(long = "sales-admin-url", value_name = "URL", env = "SALES_ADMIN_URL", hide_env_values = true)]
    sales: Option<String>,
    /// The admin port of production-service
    #[arg(long = "production-admin-url", value_name = "URL", env = "PRODUCTION_ADMIN_URL", hide_env_values = true)]
    production: Option<String>,
    /// The admin port of restock-service
    #[arg(long = "restock-admin-url", value_name = "URL", env = "RESTOCK_ADMIN_URL", hide_env_values = true)]
    restock: Option<String>,
}

/// One service's state, as it reports it.
#[derive(Debug, Serialize)]
pub(super) struct State {
    service: &'static str,
    source: String,
    /// `ready`, `degraded` or `not_ready`; `answers` when only its API was queried; null when it did not
    /// answer.
    #[serde(rename = "state")]
    readiness: Option<String>,
    /// Readiness checks that fail.
    failing: Vec<String>,
    /// Number of events that wait for the broker, and the age of the oldest.
    outbox_pending: Option<u64>,
    outbox_oldest_s: Option<u64>,
    /// Broken rules of its books; null when unknown.
    broken_rules: Option<Vec<String>>,
    rules: usize,
    /// Null when unknown.
    dead_letters: Option<u64>,
    dead_letters_since: Option<String>,
}

impl State {
    /// True when its admin port is not configured, or it does not report dead letters.
    pub(super) fn is_partly_known(&self) -> bool {
        self.readiness.as_deref() == Some("answers") || self.dead_letters.is_none()
    }

    /// True when a problem is known.
    pub(super) fn is_off(&self) -> bool {
        matches!(self.readiness.as_deref(), Some("degraded" | "not_ready"))
            || self.broken_rules.as_ref().is_some_and(|broken| !broken.is_empty())
            || self.dead_letters.is_some_and(|count| count > 0)
    }
}

impl AdminUrls {
    fn http(&self, service: Service, connection: &Connection) -> Result<Option<Http>> {
        let (url, variable) = match service {
            Service::Sales => (&self.sales, "SALES_ADMIN_URL"),
            Service::Production => (&self.production, "PRODUCTION_ADMIN_URL"),
            Service::Restock => (&self.restock, "RESTOCK_ADMIN_URL"),
            Service::Access => return Ok(None),
        };
        let Some(url) = url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let hint = format!("Is it running, and is this its `admin` port? Its URL is set by {variable}.");
        let base = base_url(url, variable)?;
        Http::new(service.name(), hint, base, Login::Nobody, connection.timeout()).map(Some)
    }
}

/// Queries all services at once; failures are returned beside the states.
pub(super) async fn ask_all(
    apis: &[Api],
    admin: &AdminUrls,
    connection: &Connection,
) -> Result<(Vec<State>, Vec<Failure>)> {
    let mut asked = Vec::new();
    for api in apis {
        let admin = admin.http(api.service(), connection)?;
        asked.push(async move { ask(api, admin.as_ref()).await });
    }
    let (mut states, mut all_failures) = (Vec::new(), Vec::new());
    for (state, failures) in join_all(asked).await {
        states.push(state);
        all_failures.extend(failures);
    }
    Ok((states, all_failures))
}

async fn ask(api: &Api, admin: Option<&Http>) -> (State, Vec<Failure>) {
    let (audit, groups) = tokio::join!(api.get("/api/v1/audit", &[]), dlq::groups_of(api));
    let mut failures = Vec::new();
    let mut state = State {
        service: api.service().name(),
        source: api.source(),
        readiness: audit.is_ok().then(|| "answers".to_owned()),
        failing: Vec::new(),
        outbox_pending: None,
        outbox_oldest_s: None,
        broken_rules: None,
        rules: 0,
        dead_letters: None,
        dead_letters_since: None,
    };
    match audit {
        Ok(report) => state.note_books(&report),
        Err(failure) => failures.push(failure),
    }
    match groups {
        Ok(groups) => state.note_dead_letters(&groups),
        // Already reported by the audit, or the service has no such list.
        Err(failure) if failures.contains(&failure) || failure.status == Some(404) => {}
        Err(failure) => failures.push(failure),
    }
    if let Some(admin) = admin
        && let Err(failure) = state.ask_admin(admin).await
    {
        failures.push(failure);
    }
    (state, failures)
}

impl State {
    fn note_books(&mut self, report: &Value) {
        let checks = report["checks"].as_array().map_or(&[][..], Vec::as_slice);
        let broken = checks.iter().filter(|check| check["ok"] == false);
        let described = |check: &Value| format!("{}: {}", text(check, "name"), text(check, "detail"));
        self.rules = checks.len();
        self.broken_rules = Some(broken.map(described).collect());
    }

    fn note_dead_letters(&mut self, groups: &[Value]) {
        self.dead_letters = groups.iter().map(dlq::count).sum();
        let waiting = groups.iter().filter(|group| dlq::count(group) != Some(0));
        // All times have the same format, so the smallest text is the oldest.
        self.dead_letters_since =
            waiting.filter_map(|group| group["first_failed_at"].as_str()).min().map(ToOwned::to_owned);
    }

    async fn ask_admin(&mut self, admin: &Http) -> Result<()> {
        let readiness = admin.ask(Ask::new(Method::GET, "/readyz")).await?.json(self.service)?;
        let status = readiness["status"].as_str().ok_or_else(|| {
            Failure::not_understood(self.service, format!("no `status` at {}/readyz", admin.source()))
        })?;
        self.readiness = Some(status.to_owned());
        let checks = readiness["checks"].as_object().into_iter().flatten();
        let failing = checks.filter(|(_, state)| *state != "ok");
        self.failing = failing.map(|(name, state)| format!("{name}: {}", state.as_str().unwrap_or("?"))).collect();
        let metrics = admin.ask(Ask::new(Method::GET, "/metrics")).await?;
        if !metrics.status.is_success() {
            let message = format!("{} at {}/metrics answered {}", self.service, admin.source(), metrics.status);
            return Err(Failure::new(Exit::NoAnswer, message));
        }
        self.outbox_pending = gauge(&metrics.text, "jaego_outbox_pending");
        self.outbox_oldest_s = gauge(&metrics.text, "jaego_outbox_oldest_seconds");
        Ok(())
    }
}

/// The sum of a gauge's series in Prometheus text format, rounded up.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    let series = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    let values: Vec<f64> = series.filter(|value| value.is_finite() && *value >= 0.0).collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: neither negative nor infinite"
    )]
    (!values.is_empty()).then(|| values.iter().sum::<f64>().ceil() as u64)
}

/// Prints a table of the services, and their problems in sentences.
pub(super) fn show(output: Output, states: &[State]) {
    let mut table = Rows::new(["SERVICE", "STATE", "OUTBOX", "BOOKS", "DEAD LETTERS", "SOURCE"]);
    for state in states {
        let outbox = match (state.outbox_pending, state.outbox_oldest_s) {
            (Some(0), _) => "empty".to_owned(),
            (Some(pending), Some(oldest)) => format!("{pending}, oldest {oldest} s"),
            (Some(pending), None) => pending.to_string(),
            (None, _) => "?".to_owned(),
        };
        let books = match &state.broken_rules {
            None => "?".to_owned(),
            Some(broken) if broken.is_empty() => format!("all {} rules hold", state.rules),
            Some(broken) => format!("{} of {} rules broken", broken.len(), state.rules),
        };
        let dead = match (state.dead_letters, &state.dead_letters_since) {
            (None, _) => "?".to_owned(),
            (Some(0), _) => "none".to_owned(),
            (Some(count), Some(since)) => format!("{count}, oldest {}", shown("at", &since.as_str().into())),
            (Some(count), None) => count.to_string(),
        };
        let how = state.readiness.as_deref().unwrap_or("no answer");
        table.row([state.service, how, &outbox, &books, &dead, &state.source]);
    }
    output.table(&table);
    for state in states {
        for failing in &state.failing {
            output.line(format!("{} {failing}", state.service));
        }
        for rule in state.broken_rules.iter().flatten() {
            output.line(format!("{} breaks {rule}", state.service));
        }
    }
    if states.iter().any(|state| state.dead_letters.is_some_and(|count| count > 0)) {
        output.line("There are dead letters: jaegoctl dlq groups");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_from_metrics() {
        let metrics = "# HELP jaego_outbox_pending Messages\n# TYPE jaego_outbox_pending gauge\n\
            jaego_outbox_pending{otel_scope_name=\"jaego\"} 7\njaego_outbox_pending_more 9\njaego_outbox_oldest_seconds 1.25\n";
        assert_eq!(gauge(metrics, "jaego_outbox_pending"), Some(7));
        assert_eq!(gauge(metrics, "jaego_outbox_oldest_seconds"), Some(2));
        assert_eq!(gauge(metrics, "jaego_nothing"), None);
    }
}
