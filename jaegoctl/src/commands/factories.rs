//! `jaegoctl factories`: the factories that make the goods.

use clap::{Args, Subcommand};
use jaego_contracts::ids::FactoryId;
use serde_json::{Map, Value, json};

use super::show::{Column, Limit, List, one, text};
use crate::{
    api::Api,
    connection::Connection,
    failure::{Exit, Failure, Result},
    output::Output,
    service::Service,
};

const PATH: &str = "/api/v1/factories";

const COLUMNS: &[Column] = &[
    Column::field("ID", "id"),
    Column::field("NAME", "name"),
    Column::field("BASE URL", "base_url"),
    Column::field("ENABLED", "enabled"),
    Column::made("LEAD TIME", |item| format!("{} s", text(item, "lead_time_s"))),
    Column::made("MEASURED p50/p90", |item| {
        format!("{} / {} s", text(item, "lead_time_p50_s"), text(item, "lead_time_p90_s"))
    }),
    Column::field("IN FLIGHT MAX", "max_in_flight"),
    Column::field("FALLBACK", "fallback_factory_id"),
];

/// Fields that a PUT accepts; a GET returns more.
const SETTINGS: [&str; 12] = [
    "name",
    "base_url",
    "requester",
    "enabled",
    "timeout_ms",
    "max_in_flight",
    "rate_per_s",
    "lead_time_s",
    "overdue_factor",
    "fallback_factory_id",
    "retry_schedule",
    "callback_sources",
];

/// Factories: where goods are made, and how to call them (production-service).
#[derive(Debug, Subcommand)]
pub(crate) enum Factories {
    /// List factories
    Ls(Limit),
    /// Show a factory with all its settings
    Show {
        /// The factory
        id: FactoryId,
    },
    /// Add or change a factory; settings that are not given stay as they are
    Set(Box<Set>),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The factory
    id: FactoryId,
    /// Display name; required for a new factory
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Base URL, such as https://factory.example; required for a new factory
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Name of the requester, sent to the factory with each request
    #[arg(long, value_name = "TEXT")]
    requester: Option<String>,
    /// Send requests to the factory; requests for a disabled factory wait
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    /// Timeout of one call, milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Maximum concurrent calls
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
    /// Maximum calls per second; 0 for no limit
    #[arg(long, value_name = "N")]
    rate_per_s: Option<f64>,
    /// Lead time from acceptance to delivery, seconds
    #[arg(long, value_name = "SECONDS")]
    lead_time_s: Option<u64>,
    /// A request is overdue after this many lead times
    #[arg(long, value_name = "FACTOR")]
    overdue_factor: Option<f64>,
    /// Factory that gets the requests that this one cannot take, or `none`
    #[arg(long, value_name = "ID")]
    fallback: Option<FactoryId>,
    /// Delays between failed calls, seconds, such as 1,5,30; `default` for the service's own
    #[arg(long, value_name = "SECONDS,..")]
    retry_schedule: Option<String>,
    /// Networks from which its callbacks are accepted, such as 203.0.113.0/24; `any` allows all
    #[arg(long, value_name = "NETWORK,..")]
    callback_sources: Option<String>,
}

impl Factories {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let api = connection.api(Service::Production)?;
        match self {
            Self::Ls(limit) => {
                let names = ("factory", "factories");
                List { names, path: PATH, query: &[], columns: COLUMNS, only: None }.show(&api, &limit, output).await
            }
            Self::Show { id } => {
                let factory = api.get(&format!("{PATH}/{id}"), &[]).await?;
                Ok(one(&api, &factory, &[], output))
            }
            Self::Set(set) => set.run(&api, output).await,
        }
    }
}

impl Set {
    async fn run(self, api: &Api, output: Output) -> Result<Exit> {
        let path = format!("{PATH}/{}", self.id);
        let changes = self.changes()?;
        if changes.is_empty() {
            return Err(Failure::usage("nothing to set: give a setting to change, such as --enabled false"));
        }
        let (mut settings, version) = match api.get_version(&path).await {
            Ok(known) => (settings_of(&known.body), known.version),
            Err(failure) if failure.status == Some(404) => (Map::new(), None),
            Err(failure) => return Err(failure),
        };
        settings.extend(changes);
        if settings.get("name").and(settings.get("base_url")).is_none() {
            return Err(Failure::usage(format!("{} is new: a new factory needs --name and --base-url", self.id)));
        }
        let answer = api.put(&path, &settings.into(), version.as_deref()).await?;
        Ok(one(api, &answer.body, &[], output))
    }

    fn changes(&self) -> Result<Map<String, Value>> {
        let fallback = self.fallback.as_ref().map(|id| match id.as_str() {
            "none" => Value::Null,
            id => json!(id),
        });
        let changes = [
            ("name", self.name.as_ref().map(|name| json!(name))),
            ("base_url", self.base_url.as_ref().map(|url| json!(url))),
            ("requester", self.requester.as_ref().map(|requester| json!(requester))),
            ("enabled", self.enabled.map(|enabled| json!(enabled))),
            ("timeout_ms", self.timeout_ms.map(|ms| json!(ms))),
            ("max_in_flight", self.max_in_flight.map(|count| json!(count))),
            ("rate_per_s", self.rate_per_s.map(|rate| json!(rate))),
            ("lead_time_s", self.lead_time_s.map(|seconds| json!(seconds))),
            ("overdue_factor", self.overdue_factor.map(|factor| json!(factor))),
            ("fallback_factory_id", fallback),
            ("retry_schedule", self.retry_schedule.as_deref().map(retry_schedule).transpose()?),
            ("callback_sources", self.callback_sources.as_deref().map(callback_sources)),
        ];
        Ok(changes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

/// The fields that a PUT must repeat, because those that it omits get their defaults.
fn settings_of(factory: &Value) -> Map<String, Value> {
    SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), factory.get(name)?.clone()))).collect()
}

fn retry_schedule(text: &str) -> Result<Value> {
    if text == "default" {
        return Ok(Value::Null);
    }
    let seconds: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse::<f64>()).collect();
    match seconds {
        Ok(seconds) if seconds.iter().all(|seconds| seconds.is_finite()) => Ok(json!(seconds)),
        _ => Err(Failure::usage("--retry-schedule: must be seconds such as 1,5,30, or `default`")),
    }
}

fn callback_sources(text: &str) -> Value {
    if text == "any" {
        return json!([]);
    }
    text.split(',').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_settings_are_read() {
        assert_eq!(retry_schedule("1, 0.5,30").ok(), Some(json!([1.0, 0.5, 30.0])));
        assert_eq!(retry_schedule("default").ok(), Some(Value::Null));
        for bad in ["", "1,", "soon", "NaN", "inf"] {
            assert!(retry_schedule(bad).is_err(), "{bad}");
        }
        assert_eq!(callback_sources("any"), json!([]));
        assert_eq!(callback_sources("10.0.0.0/8, ::1/128"), json!(["10.0.0.0/8", "::1/128"]));
    }
}
