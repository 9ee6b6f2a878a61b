//! `jaegoctl sessions`: sessions of the console.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::show::{Column, Limit, List, each, text};
use crate::{
    connection::Connection,
    failure::{Exit, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/sessions";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("PERSON", "person"),
    Column::field("FROM", "source"),
    Column::field("BEGUN", "created_at"),
    Column::field("LAST SEEN", "last_seen_at"),
    Column::field("EXPIRES", "expires_at"),
    Column::field("ENDED", "ended_at"),
];

/// Sessions of people who signed in (access-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions, newest first; a viewer sees only their own
    Ls(Ls),
    /// End sessions; they are refused everywhere within 5 seconds
    End(End),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Also those that were ended
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct End {
    /// The sessions, by id
    #[arg(required_unless_present = "person", conflicts_with = "person", value_name = "ID")]
    ids: Vec<Uuid>,
    /// All sessions of this person
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Reason for ending them
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Sessions {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Access)?;
        match self {
            Self::Ls(Ls { all, limit }) => {
                let runs = |item: &Value| item["ended_at"].is_null();
                let only: Option<&dyn Fn(&Value) -> bool> = if all { None } else { Some(&runs) };
                let names = ("session", "sessions");
                List { names, path: PATH, query: &[], columns: COLUMNS, only }.show(&api, &limit, output).await
            }
            Self::End(End { person: Some(person), reason, .. }) => {
                let ended = api.post(&format!("{PATH}/end"), &json!({"person": person, "reason": reason})).await?;
                output.line(format!("{} sessions of {person} ended", text(&ended, "ended")));
                output.document(&json!({"source": api.source_document(), "item": ended}));
                Ok(Exit::Ok)
            }
            Self::End(End { ids, reason, .. }) => {
                let body = json!({"reason": reason});
                let change = async |id: &str| api.post(&format!("{PATH}/{id}/end"), &body).await;
                Ok(each(&api, &ids, output, change, |session| format!("ended {}", text(session, "ended_at"))).await)
            }
        }
    }
}
