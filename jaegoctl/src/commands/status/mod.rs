//! `jaegoctl status`: the overall health.

mod queues;
mod services;

use clap::Args;
use serde_json::{Value, json};

use self::{queues::Queue, services::State};
use crate::{
    api::Api,
    broker::BrokerArgs,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, Rows, Spinner, say},
    service::Service,
};

/// Maximum requests searched for overdue ones, and maximum quarantine entries searched for waiting ones.
const LOOKED_THROUGH_MAX: usize = 2000;

/// Show the overall health: services, queues, dead letters, overdue requests, quarantine, books
///
/// Queries each service for its readiness (on its `admin` port, if SALES_ADMIN_URL and so on are set), its
/// outbox backlog, the state of its books, and its dead letters; production-service for overdue requests;
/// restock-service for deliveries in quarantine; and the broker, if RABBITMQ_MANAGEMENT_URL is set, for the
/// depth of every queue and how long it has not been empty.
///
/// Exits with 0 if all is well, with 5 if something is not, with 3 if a service or the broker does not answer.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    admin: services::AdminUrls,
    #[command(flatten)]
    broker: BrokerArgs,
}

impl Status {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let mut apis = Vec::new();
        for service in Service::MESSAGING {
            apis.push(connection.api(service)?);
        }
        let broker = if self.broker.is_unknown() { None } else { Some(self.broker.broker(connection)?) };
        let spinner = Spinner::new("Asking the services and the broker");
        let (states, overdue, quarantined, queues) = tokio::join!(
            services::ask_all(&apis, &self.admin, connection),
            overdue(&apis),
            quarantined(&apis),
            queues::ask(broker.as_ref()),
        );
        drop(spinner);
        let (states, mut failures) = states?;
        let overdue = known(overdue, &mut failures);
        let quarantined = known(quarantined, &mut failures);
        let queues = known(queues, &mut failures).flatten();
        let source = broker.as_ref().map(crate::broker::Broker::source);
        let exit = exit_of(&states, overdue.as_deref(), quarantined, queues.as_deref(), &failures);

        services::show(output, &states);
        show_overdue(output, overdue.as_deref());
        show_quarantined(output, quarantined);
        queues::show(output, queues.as_deref(), source.as_deref());
        for failure in &failures {
            say(&format!("error: {failure}"));
        }
        output.line(match exit {
            Exit::Ok if queues.is_none() || states.iter().any(State::is_partly_known) => {
                "Everything that could be checked is well."
            }
            Exit::Ok => "All is well.",
            Exit::NotWell => "Not all is well.",
            _ => "Not everything could be checked.",
        });
        output.document(&json!({
            "ok": exit == Exit::Ok, "services": states, "overdue": overdue, "quarantined": quarantined, "queues": queues, "broker": source,
            "errors": failures.iter().map(|failure| &failure.message).collect::<Vec<_>>(),
        }));
        Ok(exit)
    }
}

/// The value, if there is one. A failure is collected and reported at the end.
fn known<T>(answer: Result<T>, failures: &mut Vec<Failure>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(failure) => {
            // A service that does not answer is reported once.
            if !failures.contains(&failure) {
                failures.push(failure);
            }
            None
        }
    }
}

/// Requests that factories accepted and whose goods are overdue.
async fn overdue(apis: &[Api]) -> Result<Vec<Value>> {
    let mut overdue = Vec::new();
    for api in apis.iter().filter(|api| api.service() == Service::Production) {
        for status in ["accepted", "partly_received"] {
            let listed = api.list("/api/v1/production-requests", &[("status", status)], LOOKED_THROUGH_MAX).await?;
            overdue.extend(listed.items.into_iter().filter(|request| request["overdue"] == true));
        }
    }
    Ok(overdue)
}

/// Number of deliveries in quarantine that wait for an operator.
async fn quarantined(apis: &[Api]) -> Result<usize> {
    let mut waiting = 0;
    for api in apis.iter().filter(|api| api.service() == Service::Restock) {
        let listed = api.list("/api/v1/quarantine", &[], LOOKED_THROUGH_MAX).await?;
        waiting += listed.items.iter().filter(|entry| entry["status"] == "waiting").count();
    }
    Ok(waiting)
}

fn exit_of(
    states: &[State],
    overdue: Option<&[Value]>,
    quarantined: Option<usize>,
    queues: Option<&[Queue]>,
    failures: &[Failure],
) -> Exit {
    let off = states.iter().any(State::is_off)
        || quarantined.is_some_and(|waiting| waiting > 0)
        || overdue.is_some_and(|overdue| !overdue.is_empty())
        || queues.is_some_and(|queues| queues.iter().any(Queue::is_off));
    if off { Exit::NotWell } else { failures.first().map_or(Exit::Ok, |failure| failure.exit) }
}

fn show_quarantined(output: Output, waiting: Option<usize>) {
    output.line(match waiting {
        None => "Deliveries in quarantine: not known".to_owned(),
        Some(0) => "No delivery waits in quarantine.".to_owned(),
        Some(1) => "1 delivery waits in quarantine: jaegoctl quarantine ls".to_owned(),
        Some(waiting) => format!("{waiting} deliveries wait in quarantine: jaegoctl quarantine ls"),
    });
}

fn show_overdue(output: Output, overdue: Option<&[Value]>) {
    match overdue {
        None => output.line("Overdue production requests: not known"),
        Some([]) => output.line("No production request is overdue."),
        Some(requests) => {
            let mut table = Rows::new(["OVERDUE REQUEST", "SKU", "FACTORY", "QUANTITY", "RECEIVED", "CREATED"]);
            for request in requests.iter().take(20) {
                let fields = ["id", "sku", "factory_id", "quantity", "received", "created_at"];
                table.row(fields.map(|name| super::show::text(request, name)));
            }
            output.table(&table);
            output.line(format!("{} production requests are overdue: jaegoctl requests show ID", requests.len()));
        }
    }
}
