//! `jaegoctl dlq`: messages that need a person.

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

/// The error of the letter that died last, and the factory of all.
fn newest(group: &Value) -> String {
    let error = text(group, "newest.error");
    match group["factory_id"].as_str() {
        Some(factory) => format!("{error} ({factory})"),
        None => error,
    }
}

const WALK_THROUGH: &str = "\
What to do with a dead letter:
  1. jaegoctl dlq groups                        what is dead, grouped by cause
  2. jaegoctl dlq ls --group GROUP              the messages of one group
     jaegoctl dlq show ID                       one of them: the error, the attempts, the message
  3. Repair the cause: a service that is down, a factory that is set up wrong, a bug.
  4. jaegoctl dlq redrive --group GROUP --rate 50
     has them handled again, follows them, and ends with `500 processed, 0 failed again`
     (exit code 5 when some failed again). Redriving twice does no harm: consumers count nothing twice.
     Or, when the message shall never be handled: jaegoctl dlq discard ID --reason TEXT

Exit codes: see jaegoctl --help";

/// Dead letters: messages that could not be handled and need a person. Find, look at, redrive, discard
///
/// A message whose consumer failed again and again, or that could not be understood, waits in the
/// database of the service that reads its queue until an operator decides. All services are asked
/// unless --service or a queue says which.
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
    /// List groups of dead letters that died of the same cause: how many wait, and how many are being redriven
    Groups(Place),
    /// Show one dead letter whole: why it died, and the message
    Show(Show),
    Redrive(redrive::Redrive),
    Follow(redrive::Follow),
    Discard(discard::Discard),
}

#[derive(Debug, Args)]
struct Ls {
    #[command(flatten)]
    place: Place,
    /// Only of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// What became of them
    #[arg(long, value_enum, default_value_t = Status::Waiting)]
    status: Status,
    #[command(flatten)]
    limit: Limit,
}

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    /// Nothing yet
    Waiting,
    /// Sent back to its queue, not handled yet
    Redriving,
    /// Handled after all
    Processed,
    /// Given up
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
                Err(failure) => exit = told(exit, &failure),
            }
        }
        more |= items.len() > self.limit.limit;
        items.truncate(self.limit.limit);
        show(output, COLUMNS, &items, ("dead letter", "dead letters"), &sources);
        if more {
            output.line("there are more (--limit)");
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
            Err(failure) => exit = told(exit, &failure),
        }
    }
    show(output, GROUPS, &items, ("group of dead letters", "groups of dead letters"), &sources);
    if !items.is_empty() {
        output.line("Look at one: jaegoctl dlq ls --group GROUP; send it back: jaegoctl dlq redrive --group GROUP");
    }
    output.document(&json!({"sources": sources, "items": items}));
    Ok(exit)
}

/// Goes on past a service that does not answer; the first one's exit code counts.
fn told(exit: Exit, failure: &crate::failure::Failure) -> Exit {
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
