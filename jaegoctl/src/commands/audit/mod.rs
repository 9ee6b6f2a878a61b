//! `jaegoctl audit`: the rules of each service's books, and that the books agree with each other.

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

use self::received::{Books, Difference, Watch, received};
use crate::{
    api::Api,
    args::duration,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, Rows, Spinner, local, say},
    service::Service,
};

/// The first pause before the services are asked again, and the longest: an audit reads whole tables.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Most differences that are told to a person.
const TOLD_MAX: usize = 50;

/// Prove the books of every service, and that they agree with each other.
///
/// Each service proves the rules of its own books over one snapshot of its database. Then the books
/// are compared: what restock-service booked as received must, product by product, be what
/// sales-service applied to stock and what production-service saw. Receipts take a moment to get
/// there, so books that differ are looked at again until they agree or --wait is over; only a
/// difference that stayed all the time is reported.
///
/// Ends with 0 when all is well, with 5 when a rule is broken or books do not agree, with 3 when a
/// service does not answer.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// How long books that differ are given to agree, while receipts may be under way
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    wait: Duration,
}

/// `GET /api/v1/audit`, as far as it is shown here.
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

/// What one service answered in one round.
type Answer = Result<(Report, received::Received)>;

impl Audit {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let mut apis = Vec::new();
        for service in Service::ALL {
            apis.push(connection.api(service)?);
        }
        let (answers, watch) = self.ask_until_quiet(&apis).await;
        let differences = watch.as_ref().map(Watch::differences);
        let exit = exit_of(&answers, differences.as_deref());
        output.document(&document(&apis, &answers, differences.as_deref(), exit));
        show(output, &apis, &answers, watch.as_ref());
        Ok(exit)
    }

    /// Asks all services, again and again while their books differ. The comparison is missing when a
    /// service did not answer.
    async fn ask_until_quiet(&self, apis: &[Api]) -> (BTreeMap<Service, Answer>, Option<Watch>) {
        let mut spinner = Spinner::new("Each service proves its books");
        let (mut watch, mut pause) = (Watch::default(), PAUSE);
        let begun = Instant::now();
        loop {
            let answers = ask(apis).await;
            let Some(books) = books_of(&answers) else { return (answers, None) };
            watch.observe(books);
            let left = self.wait.saturating_sub(begun.elapsed());
            if watch.agrees() || left.is_zero() {
                return (answers, Some(watch));
            }
            spinner.doing(&format!(
                "Books differ in {} products; receipts may be under way, looking again for up to {} s",
                watch.differences().len(),
                left.as_secs() + 1
            ));
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Asks restock-service last: a receipt that the others have is in its books then, so they never have
/// too many only because they were asked later.
async fn ask(apis: &[Api]) -> BTreeMap<Service, Answer> {
    let (last, first): (Vec<&Api>, Vec<&Api>) = apis.iter().partition(|api| api.service() == Service::Restock);
    let mut answers = BTreeMap::new();
    for group in [first, last] {
        let asked = group.into_iter().map(|api| async move { (api.service(), ask_one(api).await) });
        answers.extend(join_all(asked).await);
    }
    answers
}

async fn ask_one(api: &Api) -> Answer {
    let body = api.get("/api/v1/audit", &[]).await?;
    let received = received(&body).map_err(|what| Failure::not_understood(api.service(), what))?;
    let report = Report::deserialize(body).map_err(|error| Failure::not_understood(api.service(), error))?;
    Ok((report, received))
}

fn books_of(answers: &BTreeMap<Service, Answer>) -> Option<Books> {
    let of = |service| Some(answers.get(&service)?.as_ref().ok()?.1.clone());
    Some(Books { restock: of(Service::Restock)?, sales: of(Service::Sales)?, production: of(Service::Production)? })
}

/// Books that are known to be off matter most; then that some could not be looked at.
fn exit_of(answers: &BTreeMap<Service, Answer>, differences: Option<&[Difference]>) -> Exit {
    let broken = answers.values().flatten().any(|(report, _)| !report.ok);
    if broken || differences.is_some_and(|differences| !differences.is_empty()) {
        return Exit::NotWell;
    }
    answers.values().find_map(|answer| answer.as_ref().err()).map_or(Exit::Ok, |failure| failure.exit)
}

fn document(
    apis: &[Api],
    answers: &BTreeMap<Service, Answer>,
    differences: Option<&[Difference]>,
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
    json!({"ok": exit == Exit::Ok, "services": services, "compared": differences.is_some(), "differences": differences})
}

fn show(output: Output, apis: &[Api], answers: &BTreeMap<Service, Answer>, watch: Option<&Watch>) {
    let mut table = Rows::new(["SERVICE", "BOOKS", "AS OF", "SOURCE"]);
    let mut broken = Vec::new();
    let mut failures = Vec::new();
    for api in apis {
        let (service, source) = (api.service(), api.source());
        match answers.get(&service) {
            Some(Ok((report, _))) => {
                let off: Vec<&Check> = report.checks.iter().filter(|check| !check.ok).collect();
                let rules = report.checks.len();
                let told = match off.len() {
                    0 => format!("all {rules} rules hold"),
                    count => format!("{count} of {rules} rules broken"),
                };
                table.row([service.name(), &told, &local(report.as_of), &source]);
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
    show_comparison(output, watch);
    for failure in failures {
        say(&format!("error: {failure}"));
    }
}

fn show_comparison(output: Output, watch: Option<&Watch>) {
    let Some(watch) = watch else {
        output.line("The services' books were not compared: not all of them are known.");
        return;
    };
    let (products, units) = watch.compared();
    let differences = watch.differences();
    if differences.is_empty() {
        output.line(format!("The services agree on what was received: {units} units of {products} products."));
        return;
    }
    output.line(format!("The services do not agree on {} of {products} products:", differences.len()));
    for difference in differences.iter().take(TOLD_MAX) {
        output.line(difference.to_string());
    }
    if differences.len() > TOLD_MAX {
        output.line(format!("and {} more (--json shows all)", differences.len() - TOLD_MAX));
    }
}
