//! `jaegoctl audit`: checks the rules of each service's books, and that the books agree with each other.

mod open;
mod received;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use clap::Args;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::{
    open::{Astray, open},
    received::{Books, Watch, received},
};
use crate::{
    api::Api,
    args::duration,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, Rows, Spinner, local, say},
    service::Service,
};

/// First and longest pause between rounds: an audit reads whole tables.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Maximum differences listed in the text output.
const SHOWN_MAX: usize = 50;

/// Check the books of every service, and that they agree with each other.
///
/// Each service checks the rules of its own books over one snapshot of its database. Then the books
/// are compared: what restock-service booked as received must, product by product, be what
/// sales-service applied to stock and what production-service saw; and what sales-service has on order
/// must be in progress in production-service and expected by restock-service. Messages take a moment to
/// arrive, so books that differ are checked again until they agree or --wait is over; only a difference
/// that persists throughout is reported.
///
/// Exits with 0 if all is well, with 5 if a rule is broken or books do not agree, with 3 if a service
/// does not answer.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Maximum time for differing books to agree, while receipts may be in transit
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    wait: Duration,
}

/// The fields of `GET /api/v1/audit` that are shown.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct Report {
    as_of: DateTime<Utc>,
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// One service's result of one round.
type ServiceAudit = Result<(Report, Totals)>;

/// The part of a report that is compared with the other services.
#[derive(Debug, Clone)]
struct Totals {
    received: received::Received,
    open: open::Open,
}

/// Differences that were present in every round.
#[derive(Debug, Default)]
struct Comparison {
    received: Watch,
    astray: Option<Vec<Astray>>,
}

impl Comparison {
    fn observe(&mut self, answers: &BTreeMap<Service, ServiceAudit>) -> Option<()> {
        let of = |service| Some(&answers.get(&service)?.as_ref().ok()?.1);
        let (sales, production, restock) = (of(Service::Sales)?, of(Service::Production)?, of(Service::Restock)?);
        let received = |totals: &Totals| totals.received.clone();
        self.received.observe(Books {
            restock: received(restock),
            sales: received(sales),
            production: received(production),
        });
        let astray = open::astray(&sales.open, &production.open, &restock.open);
        self.astray = Some(open::still(self.astray.take(), astray));
        Some(())
    }

    fn astray(&self) -> &[Astray] {
        self.astray.as_deref().unwrap_or_default()
    }

    fn agrees(&self) -> bool {
        self.received.agrees() && self.astray().is_empty()
    }
}

impl Audit {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let mut apis = Vec::new();
        for service in Service::MESSAGING {
            apis.push(connection.api(service)?);
        }
        let (answers, comparison) = self.ask_until_quiet(&apis).await;
        let exit = exit_of(&answers, comparison.as_ref());
        output.document(&document(&apis, &answers, comparison.as_ref(), exit));
        show(output, &apis, &answers, comparison.as_ref());
        Ok(exit)
    }

    /// Queries all services, repeatedly while their books differ. The comparison is `None` when a service did
    /// not answer.
    async fn ask_until_quiet(&self, apis: &[Api]) -> (BTreeMap<Service, ServiceAudit>, Option<Comparison>) {
        let mut spinner = Spinner::new("Each service checks its books");
        let (mut comparison, mut pause) = (Comparison::default(), PAUSE);
        let begun = Instant::now();
        loop {
            let answers = ask(apis).await;
            if comparison.observe(&answers).is_none() {
                return (answers, None);
            }
            let left = self.wait.saturating_sub(begun.elapsed());
            if comparison.agrees() || left.is_zero() {
                return (answers, Some(comparison));
            }
            spinner.doing(&format!(
                "Books differ in {} products and {} requests; messages may be in transit, checking again for up to {} s",
                comparison.received.differences().len(),
                comparison.astray().len(),
                left.as_secs() + 1
            ));
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Queries restock-service last. A receipt that the others have is then in its books, so the others never
/// seem to have too many only because they were queried later.
async fn ask(apis: &[Api]) -> BTreeMap<Service, ServiceAudit> {
    let (last, first): (Vec<&Api>, Vec<&Api>) = apis.iter().partition(|api| api.service() == Service::Restock);
    let mut answers = BTreeMap::new();
    for group in [first, last] {
        let asked = group.into_iter().map(|api| async move { (api.service(), ask_one(api).await) });
        answers.extend(join_all(asked).await);
    }
    answers
}

async fn ask_one(api: &Api) -> ServiceAudit {
    let body = api.get("/api/v1/audit", &[]).await?;
    let totals = || Ok::<_, String>(Totals { received: received(&body)?, open: open(&body)? });
    let totals = totals().map_err(|what| Failure::not_understood(api.service(), what))?;
    let report = Report::deserialize(body).map_err(|error| Failure::not_understood(api.service(), error))?;
    Ok((report, totals))
}

/// Books that are known to be wrong take precedence over services that could not be checked.
fn exit_of(answers: &BTreeMap<Service, ServiceAudit>, comparison: Option<&Comparison>) -> Exit {
    let broken = answers.values().flatten().any(|(report, _)| !report.ok);
    if broken || comparison.is_some_and(|comparison| !comparison.agrees()) {
        return Exit::NotWell;
    }
    answers.values().find_map(|answer| answer.as_ref().err()).map_or(Exit::Ok, |failure| failure.exit)
}

fn document(
    apis: &[Api],
    answers: &BTreeMap<Service, ServiceAudit>,
    comparison: Option<&Comparison>,
    exit: Exit,
) -> Value {
    let services: Vec<Value> = apis
        .iter()
        .filter_map(|api| Some((api, answers.get(&api.service())?)))
        .map(|(api, answer)| match answer {
            Ok((report, _)) => json!({"service": api.service().name(), "source": api.source(), "audit": report}),
            Err(failure) => {
                json!({"service": api.service().name(), "source": api.source(), "error": failure.message})
            }
        })
        .collect();
    json!({
        "ok": exit == Exit::Ok,
        "services": services,
        "compared": comparison.is_some(),
        "differences": comparison.map(|comparison| comparison.received.differences()),
        "astray": comparison.map(Comparison::astray),
    })
}

fn show(output: Output, apis: &[Api], answers: &BTreeMap<Service, ServiceAudit>, comparison: Option<&Comparison>) {
    let mut table = Rows::new(["SERVICE", "BOOKS", "AS OF", "SOURCE"]);
    let mut broken = Vec::new();
    let mut failures = Vec::new();
    for api in apis {
        let (service, source) = (api.service(), api.source());
        match answers.get(&service) {
            Some(Ok((report, _))) => {
                let off: Vec<&Check> = report.checks.iter().filter(|check| !check.ok).collect();
                let rules = report.checks.len();
                let verdict = match off.len() {
                    0 => format!("all {rules} rules hold"),
                    count => format!("{count} of {rules} rules broken"),
                };
                table.row([service.name(), &verdict, &local(report.as_of), &source]);
                broken.extend(off.into_iter().map(|check| (service, check)));
            }
            Some(Err(failure)) => {
                table.row([service.name(), "unknown", "", &source]);
                failures.push(failure);
            }
            None => {}
        }
    }
    output.table(&table);
    for (service, check) in broken {
        output.line(format!("{service} breaks {}: {}", check.name, check.detail));
    }
    show_comparison(output, comparison);
    for failure in failures {
        say(&format!("error: {failure}"));
    }
}

fn show_comparison(output: Output, comparison: Option<&Comparison>) {
    let Some(comparison) = comparison else {
        output.line("The services' books were not compared, because not all of them are known.");
        return;
    };
    let (products, units) = comparison.received.compared();
    let differences = comparison.received.differences();
    if differences.is_empty() {
        output.line(format!("The services agree on what was received: {units} units of {products} products."));
    } else {
        output.line(format!("The services do not agree on {} of {products} products:", differences.len()));
        print_each(output, &differences);
    }
    if comparison.astray().is_empty() {
        output.line("The services agree on what is on order.");
    } else {
        output.line(format!("{} requests are not open in every service:", comparison.astray().len()));
        print_each(output, comparison.astray());
        output.line("Lost messages are requested again within minutes; differences that remain need an operator.");
    }
}

fn print_each(output: Output, all: &[impl ToString]) {
    for one in all.iter().take(SHOWN_MAX) {
        output.line(one.to_string());
    }
    if all.len() > SHOWN_MAX {
        output.line(format!("and {} more (--json shows all)", all.len() - SHOWN_MAX));
    }
}
