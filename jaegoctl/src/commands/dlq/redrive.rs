//! `jaegoctl dlq redrive` and `follow`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::show::text,
    PATH,
    find::{self, Place, count, groups_of},
    job::{self, Progress},
};
use crate::{
    api::Api,
    args::duration,
    ask::confirm,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Bar, Output, say},
    service::{Service, messaging},
};

/// Maximum ids per request: bodies are at most 64 KiB.
const IDS_MAX: usize = 500;

/// Send dead letters back to their queues, at a bounded rate, and follow them
///
/// Ends when each has been handled, with the line `500 processed, 0 failed again`; exits with 5 if some
/// failed again, or are not handled when --wait is over. Asks for confirmation before it sends more than
/// one message. Consumers are idempotent: a message that was handled before changes nothing.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["ids", "group"]))]
pub(super) struct Redrive {
    /// The dead letters
    #[arg(value_name = "ID")]
    ids: Vec<Uuid>,
    /// All dead letters of this group, as `jaegoctl dlq groups` names it
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Maximum messages per second, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// Maximum time to follow them; the redrive continues after that
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    wait: Duration,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Follow a running redrive
#[derive(Debug, Args)]
pub(super) struct Follow {
    /// The redrive, as `jaegoctl dlq redrive` named it
    id: Uuid,
    /// The service that runs it
    #[arg(long, value_parser = messaging())]
    service: Service,
    /// Maximum time to follow it
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    wait: Duration,
}

/// The part of a redrive that one service does.
struct Part {
    api: Api,
    what: Value,
    count: Option<u64>,
}

impl Redrive {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let parts = match &self.group {
            Some(group) => self.group_parts(connection, group).await?,
            None => self.id_parts(connection).await?,
        };
        let total: Option<u64> = parts.iter().map(|part| part.count).sum();
        if total != Some(1) {
            confirm(&self.question(&parts, total), self.yes)?;
        }
        let mut bar = Bar::new("redriving", total.unwrap_or_default());
        let (mut sum, mut jobs) = (Progress::default(), Vec::new());
        for Part { api, mut what, .. } in parts {
            what["rate_per_s"] = json!(self.rate);
            let job = api.post(&format!("{PATH}/redrive"), &what).await;
            let id = job::id_of(&api, &job.map_err(|failure| so_far(unknown(failure), sum))?)?;
            bar.begin(sum.ended(), sum.failed_again);
            let done = job::follow(&api, &id, self.wait, &mut bar).await.map_err(|failure| so_far(failure, sum))?;
            sum = sum.plus(done);
            jobs.push(json!({"service": api.service().name(), "id": id, "progress": done}));
        }
        drop(bar);
        // A service bounds each redrive, so some messages may be left.
        if let Some(rest) = total.map(|total| total.saturating_sub(sum.ended())).filter(|rest| *rest > 0) {
            say(&format!("{rest} more remain: redrive again for the rest."));
        }
        Ok(end(output, sum, &jobs))
    }

    fn question(&self, parts: &[Part], total: Option<u64>) -> String {
        let count = total.map_or_else(|| "all".to_owned(), |count| count.to_string());
        let of = self.group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
        let services: Vec<&str> = parts.iter().map(|part| part.api.service().name()).collect();
        format!("Redrive {count} dead letters{of} in {} at {} a second?", services.join(", "), self.rate)
    }

    async fn group_parts(&self, connection: &Connection, group: &str) -> Result<Vec<Part>> {
        let (mut parts, mut known) = (Vec::new(), Vec::new());
        for api in self.place.apis(connection)? {
            let groups = groups_of(&api).await?;
            if let Some(found) = groups.iter().find(|found| found["group"] == group) {
                parts.push(Part { count: count(found), what: json!({"group": group}), api });
            }
            known.extend(groups.iter().map(|found| text(found, "group")));
        }
        match parts.len() {
            1 => Ok(parts),
            0 if known.is_empty() => Err(Failure::new(Exit::Refused, "there are no dead letters")),
            0 => Err(Failure::new(
                Exit::Refused,
                format!("there is no group {group}; the groups are: {}", known.join(", ")),
            )),
            _ => Err(Failure::usage("several services have a group of this name: choose one with --service")),
        }
    }

    async fn id_parts(&self, connection: &Connection) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for (api, items) in find::all(&self.place, connection, &self.ids).await? {
            let ids: Vec<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
            for ids in ids.chunks(IDS_MAX) {
                let count = u64::try_from(ids.len()).ok();
                parts.push(Part { api: connection.api(api.service())?, what: json!({"ids": ids}), count });
            }
        }
        Ok(parts)
    }
}

impl Follow {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(self.service)?;
        let mut bar = Bar::new("redriving", 0);
        let done = job::follow(&api, &self.id.to_string(), self.wait, &mut bar).await?;
        drop(bar);
        Ok(end(output, done, &[json!({"service": api.service().name(), "id": self.id, "progress": done})]))
    }
}

/// The redrive may have started although its response was lost.
fn unknown(failure: Failure) -> Failure {
    if failure.exit != Exit::NoAnswer {
        return failure;
    }
    let message =
        format!("{failure}\nDead letters that were sent back nevertheless: jaegoctl dlq ls --status redriving");
    Failure { message, ..failure }
}

/// Adds the results of earlier parts, which are done whatever happens to this one.
fn so_far(failure: Failure, sum: Progress) -> Failure {
    if sum == Progress::default() {
        return failure;
    }
    let message = format!("{failure}\nBefore that: {} processed, {} failed again", sum.processed, sum.failed_again);
    Failure { message, ..failure }
}

fn end(output: Output, sum: Progress, jobs: &[Value]) -> Exit {
    if sum.discarded > 0 {
        output.line(format!("{} discarded before they were handled", sum.discarded));
    }
    output.line(format!("{} processed, {} failed again", sum.processed, sum.failed_again));
    output.document(&json!({
        "processed": sum.processed, "failed_again": sum.failed_again, "discarded": sum.discarded, "jobs": jobs,
    }));
    if sum.failed_again == 0 {
        return Exit::Ok;
    }
    say("Messages that failed again are dead letters again: jaegoctl dlq groups shows why.");
    Exit::NotWell
}
