//! `jaegoctl dlq`: messages that need an operator.

mod discard;
mod find;
mod job;
mod redrive;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

use self::find::{Found, Place};
pub(super) use self::find::{count, groups_of};
use super::show::{Column, Limit, one, table, text};
use crate::{
    connection::Connection,
    failure::{Exit, Result},
    output::{Output, say},
};

pub(crate) const PATH: &str = "/api/v1/dead-letters";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("QUEUE", "queue"),
    Column::field("GROUP", "group"),
    Column::field("STATUS", "status"),
    Column::field("REASON", "reason"),
    Column::field("ATTEMPTS", "attempts"),
    Column::field("ERROR", "error"),
    Column::field("FIRST FAILED", "first_failed_at"),
    Column::field("LAST FAILED", "last_failed_at"),
];

const GROUPS: &[Column] = &[
    Column::field("GROUP", "group"),
    Column::field("COUNT", "count"),
    Column::field("REDRIVING", "redriving"),
    Column::field("QUEUE", "queue"),
    Column::field("REASON", "reason"),
    Column::made("NEWEST", newest),
    Column::field("FIRST FAILED", "first_failed_at"),
    Column::field("LAST FAILED", "last_failed_at"),
];

/// Error of the newest dead letter, and the factory that the group has in common.
fn newest(group: &Value) -> String {
    let error = text(group, "newest.error");
    match group["factory_id"].as_str() {
        Some(factory) => format!("{error} ({factory})"),
        None => error,
    }
}

const WALK_THROUGH: &str = "\
Handling a dead letter:
  1. jaegoctl dlq groups                        the dead letters, grouped by cause
  2. jaegoctl dlq ls --group GROUP              the messages of one group
     jaegoctl dlq show ID                       one of them: the error, the attempts, the message
  3. Fix the cause: a service that is down, a misconfigured factory, a bug.
  4. jaegoctl dlq redrive --group GROUP --rate 50
     sends them back, follows them, and ends with `500 processed, 0 failed again`
     (exit code 5 when some failed again). Redriving twice does no harm: consumers are idempotent.
     Or, if the message must never be handled: jaegoctl dlq discard ID --reason TEXT

Exit codes: see jaegoctl --help";

/// Dead letters: messages that could not be handled and need an operator. Find, show, redrive, discard
///
/// A message whose consumer failed repeatedly, or that could not be decoded, waits in the database of the
/// service that reads its queue until an operator decides. All services are queried unless --service or
/// --queue names one.
#[derive(Debug, Args)]
#[command(after_help = WALK_THROUGH)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters
    Ls(Ls),
    /// List groups of dead letters with the same cause: how many wait, and how many are being redriven
    Groups(Place),
    /// Show a dead letter in full: the error and the message
    Show(Show),
    Redrive(redrive::Redrive),
    Follow(redrive::Follow),
    Discard(discard::Discard),
}

#[derive(Debug, Args)]
struct Ls {
    #[command(flatten)]
    place: Place,
    /// Only dead letters of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only dead letters in this status
    #[arg(long, value_enum, default_value_t = Status::Waiting)]
    status: Status,
    #[command(flatten)]
    limit: Limit,
}

/// Status of a dead letter.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    /// Waits for an operator
    Waiting,
    /// Sent back to its queue, not handled yet
    Redriving,
    /// Has been handled
    Processed,
    /// Will never be handled
    Discarded,
}

#[derive(Debug, Args)]
struct Show {
    /// The dead letter
    id: Uuid,
    #[command(flatten)]
    place: Place,
}

impl Dlq {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        match self.command {
            Command::Ls(ls) => ls.run(connection, output).await,
            Command::Groups(place) => groups(&place, connection, output).await,
            Command::Show(Show { id, place }) => {
                let Found { api, item } = find::one(&place, connection, id).await?;
                Ok(one(&api, &item, &[], output))
            }
            Command::Redrive(redrive) => redrive.run(connection, output).await,
            Command::Follow(follow) => follow.run(connection, output).await,
            Command::Discard(discard) => discard.run(connection, output).await,
        }
    }
}

impl Ls {
    async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let status = match self.status {
            Status::Waiting => "waiting",
            Status::Redriving => "redriving",
            Status::Processed => "processed",
            Status::Discarded => "discarded",
        };
        let query: Vec<(&str, &str)> =
            [("queue", self.place.queue()), ("group", self.group.as_deref()), ("status", Some(status))]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
        let (mut exit, mut items, mut more, mut sources) = (Exit::Ok, Vec::new(), false, Vec::new());
        for api in self.place.apis(connection)? {
            match api.list(PATH, &query, self.limit.limit).await {
                Ok(listed) => {
                    more |= listed.more;
                    items.extend(listed.items.into_iter().map(|item| find::of_service(&api, item)));
                    sources.push(api.source_document());
                }
                Err(failure) => exit = report(exit, &failure),
            }
        }
        more |= items.len() > self.limit.limit;
        items.truncate(self.limit.limit);
        show(output, COLUMNS, &items, ("dead letter", "dead letters"), &sources);
        if more {
            output.line("there are more; see --limit");
        }
        output.document(&json!({"sources": sources, "items": items, "more": more}));
        Ok(exit)
    }
}

async fn groups(place: &Place, connection: &Connection, output: Output) -> Result<Exit> {
    let (mut exit, mut items, mut sources) = (Exit::Ok, Vec::new(), Vec::new());
    for api in place.apis(connection)? {
        match groups_of(&api).await {
            Ok(groups) => {
                let wanted = |group: &Value| place.queue().is_none_or(|queue| group["queue"] == queue);
                items.extend(groups.into_iter().filter(wanted).map(|group| find::of_service(&api, group)));
                sources.push(api.source_document());
            }
            Err(failure) => exit = report(exit, &failure),
        }
    }
    show(output, GROUPS, &items, ("group of dead letters", "groups of dead letters"), &sources);
    if !items.is_empty() {
        output.line("Look at one: jaegoctl dlq ls --group GROUP; send it back: jaegoctl dlq redrive --group GROUP");
    }
    output.document(&json!({"sources": sources, "items": items}));
    Ok(exit)
}

/// Reports a failed service, so that the others can still be shown. The exit code of the first failure
/// counts.
fn report(exit: Exit, failure: &crate::failure::Failure) -> Exit {
    say(&format!("error: {failure}"));
    if exit == Exit::Ok { failure.exit } else { exit }
}

fn show(output: Output, columns: &[Column], items: &[Value], names: (&str, &str), sources: &[Value]) {
    if !items.is_empty() {
        output.table(&table(columns, items));
    }
    let count = match items.len() {
        0 => format!("No {}", names.1),
        1 => format!("1 {}", names.0),
        count => format!("{count} {}", names.1),
    };
    let source = |source: &Value| format!("{} at {}", text(source, "service"), text(source, "url"));
    let sources: Vec<String> = sources.iter().map(source).collect();
    if !sources.is_empty() {
        output.line(format!("{count}, from {}", sources.join(", ")));
    }
}
