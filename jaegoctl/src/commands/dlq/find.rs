//! Finds dead letters: which service has them, and what it reports of them.

use clap::Args;
use jaego_contracts::topology::{QUEUES, User};
use serde_json::Value;
use uuid::Uuid;

use super::{super::show::LIMIT_MAX, PATH};
use crate::{
    api::Api,
    connection::Connection,
    failure::{Exit, Failure, Result},
    service::{Service, messaging},
};

/// The services and queues to search.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Only dead letters of this service
    #[arg(long, value_parser = messaging())]
    service: Option<Service>,
    /// Only dead letters of this queue, such as production.requests
    #[arg(long, value_parser = queue_name)]
    queue: Option<&'static str>,
}

/// A dead letter and the service that keeps it.
pub(super) struct Found {
    pub(super) api: Api,
    pub(super) item: Value,
}

impl Place {
    pub(super) fn queue(&self) -> Option<&'static str> {
        self.queue
    }

    /// The services that may have the dead letters.
    pub(super) fn apis(&self, connection: &Connection) -> Result<Vec<Api>> {
        let reader = self.queue.and_then(reader_of);
        let wanted = |service: &Service| {
            self.service.is_none_or(|own| own == *service) && reader.is_none_or(|own| own == *service)
        };
        let services: Vec<Service> = Service::MESSAGING.into_iter().filter(wanted).collect();
        if services.is_empty() {
            return Err(Failure::usage("--queue: another service than --service reads it"));
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
        .ok_or_else(|| format!("there is no such queue; the queues are {}", known.collect::<Vec<_>>().join(", ")))
}

fn reader_of(queue: &str) -> Option<Service> {
    let queue = QUEUES.iter().find(|known| known.name == queue)?;
    match queue.reader {
        User::Sales => Some(Service::Sales),
        User::Production => Some(Service::Production),
        User::Restock => Some(Service::Restock),
        // The frontend keeps no messages, so it has no dead letters.
        User::Frontend => None,
    }
}

/// Adds the service's name to an item, because items of several services form one list.
pub(super) fn of_service(api: &Api, mut item: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.insert("service".to_owned(), api.service().name().into());
    }
    item
}

/// The groups of one service, at most `LIMIT_MAX`.
pub(crate) async fn groups_of(api: &Api) -> Result<Vec<Value>> {
    Ok(api.list(&format!("{PATH}/groups"), &[], LIMIT_MAX).await?.items)
}

/// One dead letter with its whole body, from whichever service has it.
pub(super) async fn one(place: &Place, connection: &Connection, id: Uuid) -> Result<Found> {
    for api in place.apis(connection)? {
        match api.get(&format!("{PATH}/{id}"), &[]).await {
            Ok(item) => return Ok(Found { api, item }),
            Err(failure) if failure.status == Some(404) => {}
            Err(failure) => return Err(failure),
        }
    }
    let message = format!("there is no dead letter {id}; jaegoctl dlq ls lists all");
    Err(Failure::new(Exit::Refused, message))
}

/// The dead letters with these ids, by the service that keeps them. Fails when one is missing.
pub(super) async fn all(place: &Place, connection: &Connection, ids: &[Uuid]) -> Result<Vec<(Api, Vec<Value>)>> {
    let mut found: Vec<(Api, Vec<Value>)> = Vec::new();
    for id in ids {
        let Found { api, item } = one(place, connection, *id).await?;
        match found.iter_mut().find(|(known, _)| known.service() == api.service()) {
            Some((_, items)) => items.push(item),
            None => found.push((api, vec![item])),
        }
    }
    Ok(found)
}

pub(crate) fn count(group: &Value) -> Option<u64> {
    group["count"].as_u64()
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
