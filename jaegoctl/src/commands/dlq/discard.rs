//! `jaegoctl dlq discard`.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::show::LIMIT_MAX,
    PATH,
    find::{self, Place},
};
use crate::{
    api::Api,
    ask::confirm,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::{Output, say},
};

/// Maximum ids per request: bodies are at most 64 KiB.
const IDS_MAX: usize = 500;

/// Discard dead letters, so that they are never handled; production requests among them are cancelled
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["ids", "group"]))]
pub(super) struct Discard {
    /// The dead letters
    #[arg(value_name = "ID")]
    ids: Vec<Uuid>,
    /// All dead letters of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Reason for discarding them
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask for confirmation when several are discarded
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

impl Discard {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let parts = match &self.group {
            Some(group) => self.of_group(connection, group).await?,
            None => find::all(&self.place, connection, &self.ids).await?,
        };
        let total: usize = parts.iter().map(|(_, items)| items.len()).sum();
        if total != 1 {
            confirm(&format!("Discard {total} dead letters? They will never be handled."), self.yes)?;
        }
        let (mut exit, mut results, mut discarded) = (Exit::Ok, Vec::new(), 0);
        for (api, items) in parts {
            let ids: Vec<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
            for ids in ids.chunks(IDS_MAX) {
                let body = json!({"ids": ids, "reason": self.reason});
                match api.post(&format!("{PATH}/discard"), &body).await {
                    Ok(answer) => {
                        discarded += ids.len();
                        results.push(json!({"service": api.service().name(), "ids": ids, "answer": answer}));
                    }
                    Err(failure) => {
                        say(&format!("error: {failure}"));
                        if exit == Exit::Ok {
                            exit = failure.exit;
                        }
                    }
                }
            }
        }
        output.line(format!("{discarded} of {total} discarded"));
        output.document(&json!({"discarded": discarded, "asked": total, "parts": results}));
        Ok(exit)
    }

    async fn of_group(&self, connection: &Connection, group: &str) -> Result<Vec<(Api, Vec<Value>)>> {
        let mut parts = Vec::new();
        for api in self.place.apis(connection)? {
            let query: Vec<(&str, &str)> = [("group", Some(group)), ("queue", self.place.queue())]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            let items = api.list(PATH, &query, LIMIT_MAX).await?.items;
            if !items.is_empty() {
                parts.push((api, items));
            }
        }
        if parts.is_empty() {
            return Err(Failure::new(Exit::Refused, format!("no dead letters of group {group}")));
        }
        Ok(parts)
    }
}
