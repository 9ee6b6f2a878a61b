//! Where dead letters are: which service has them, and what is told of them.

use clap::Args;
use serde_json::Value;
use shared::amqp::topology::{QUEUES, User};

use super::{super::show::LIMIT_MAX, super::show::text, PATH};
use crate::{
    api::Api,
    connection::Connection,
    failure::{Exit, Failure, Result},
    service::Service,
};

/// The services tell when a message died under one of these.
pub(super) const TIMES: &[&str] = &["dead_lettered_at", "died_at", "failed_at", "at", "created_at"];

/// Which services are asked.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Only of this service
    #[arg(long, value_enum)]
    service: Option<Service>,
    /// Only of this queue, such as production.requests
    #[arg(long, value_parser = queue_name)]
    queue: Option<&'static str>,
}

/// A dead letter and the service that keeps it.
pub(super) struct Found {
    pub(super) api: Api,
    pub(super) item: Value,
}

impl Place {
    /// The queue, when one was named.
    pub(super) fn queue(&self) -> Option<&'static str> {
        self.queue
    }

    /// The services that may have what is looked for.
    pub(super) fn apis(&self, connection: &Connection) -> Result<Vec<Api>> {
        let reader = self.queue.and_then(reader_of);
        let wanted = |service: &Service| {
            self.service.is_none_or(|own| own == *service) && reader.is_none_or(|own| own == *service)
        };
        let services: Vec<Service> = Service::ALL.into_iter().filter(wanted).collect();
        if services.is_empty() {
            return Err(Failure::usage("--queue: it is read by another service than --service says"));
        }
        services.into_iter().map(|service| connection.api(service)).collect()
    }
}

fn queue_name(text: &str) -> Result<&'static str, String> {
    let name = text.strip_suffix(".dlq").unwrap_or(text);
    let known = QUEUES.iter().map(|queue| queue.name);
    known
        .clone()
        .find(|known| *known == name)
        .ok_or_else(|| format!("there is no such queue; there are {}", known.collect::<Vec<_>>().join(", ")))
}

fn reader_of(queue: &str) -> Option<Service> {
    let queue = QUEUES.iter().find(|known| known.name == queue)?;
    Some(match queue.reader {
        User::Sales => Service::Sales,
        User::Production => Service::Production,
        User::Restock => Service::Restock,
    })
}

/// The item with the service's name in it: lists of several services are one.
pub(super) fn of_service(api: &Api, mut item: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.insert("service".to_owned(), api.service().name().into());
    }
    item
}

/// The groups of one service.
pub(crate) async fn groups_of(api: &Api) -> Result<Vec<Value>> {
    let mut body = api.get(&format!("{PATH}/groups"), &[]).await?;
    match (body["items"].take(), body) {
        (Value::Array(items), _) | (_, Value::Array(items)) => Ok(items),
        _ => Err(Failure::not_understood(api.service(), "groups of dead letters without `items`")),
    }
}

/// One dead letter, wherever it is.
pub(super) async fn one(place: &Place, connection: &Connection, id: &str) -> Result<Found> {
    let found = all(place, connection, &[id.to_owned()]).await?;
    let found = found.into_iter().find_map(|(api, mut items)| Some(Found { item: items.pop()?, api }));
    found.ok_or_else(|| not_there(&[id.to_owned()]))
}

/// Those dead letters, by the service that keeps them. All of them are there, or it is a failure.
pub(super) async fn all(place: &Place, connection: &Connection, ids: &[String]) -> Result<Vec<(Api, Vec<Value>)>> {
    let mut missing = ids.to_vec();
    let mut found = Vec::new();
    for api in place.apis(connection)? {
        if missing.is_empty() {
            break;
        }
        let query: Vec<(&str, &str)> = place.queue().map(|queue| ("queue", queue)).into_iter().collect();
        let listed = api.list(PATH, &query, LIMIT_MAX).await?;
        let is_wanted = |item: &Value| item["id"].as_str().is_some_and(|id| ids.iter().any(|wanted| wanted == id));
        let items: Vec<Value> = listed.items.into_iter().filter(is_wanted).collect();
        missing.retain(|id| items.iter().all(|item| item["id"] != id.as_str()));
        if !items.is_empty() {
            found.push((api, items));
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(not_there(&missing)) }
}

fn not_there(ids: &[String]) -> Failure {
    let message = format!(
        "there is no dead letter {}: it was redriven or discarded meanwhile, or is beyond the first {LIMIT_MAX} \
         (--queue narrows); jaegoctl dlq ls shows what is there",
        ids.join(", ")
    );
    Failure::new(Exit::Refused, message)
}

/// What the group is called.
pub(super) fn group_of(item: &Value) -> String {
    first(item, &["group", "name", "id"])
}

/// Why it died, in the consumer's words.
pub(super) fn cause(item: &Value) -> String {
    first(item, &["last_error", "error", "example_error"])
}

/// How many are in a group.
pub(crate) fn count(group: &Value) -> Option<u64> {
    ["count", "messages", "dead_letters"].iter().find_map(|name| group[*name].as_u64())
}

/// Since when a group's oldest message is dead.
pub(crate) fn oldest(group: &Value) -> Option<&str> {
    ["oldest_at", "first_at", "oldest"].iter().find_map(|name| group[*name].as_str())
}

/// The first field that is there.
pub(super) fn first(item: &Value, names: &[&str]) -> String {
    let name = names.iter().find(|name| !item[**name].is_null());
    name.map_or_else(|| "-".to_owned(), |name| text(item, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_a_name_and_a_reader() {
        for queue in QUEUES {
            assert_eq!(queue_name(queue.name), Ok(queue.name));
            assert_eq!(queue_name(&queue.dead_letter_queue()), Ok(queue.name));
            assert!(reader_of(queue.name).is_some_and(|service| queue.name.starts_with(service.user_name())));
        }
        assert!(queue_name("nonsense").is_err_and(|error| error.contains("production.requests")));
    }
}
