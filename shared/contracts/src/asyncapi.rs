//! The events as an AsyncAPI 3 document, generated from the same types and topology table that the programs use.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::{CONTENT_TYPE, EventKind};
use super::{factory, order, production, replenishment, stock};
use crate::topology::{EVENTS, QUEUES, User};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// A type of event and the schema of its data.
struct MessageDocument {
    kind: &'static EventKind,
    summary: &'static str,
    data: String,
    collect: fn(&mut Schemas),
}

fn message<T: ToSchema>(kind: &'static EventKind, summary: &'static str) -> MessageDocument {
    let collect = |schemas: &mut Schemas| {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    };
    MessageDocument { kind, summary, data: T::name().into_owned(), collect }
}

/// Every published event.
fn messages() -> Vec<MessageDocument> {
    use order::OrdersChanged;
    use production::ProductionOutcome;

    vec![
        message::<production::ProductionRequested>(&production::REQUESTED, "More units must be made."),
        message::<ProductionOutcome>(&production::ACCEPTED, "The factory accepted the request."),
        message::<ProductionOutcome>(
            &production::DEAD_LETTERED,
            "No factory could be reached within the retry schedule.",
        ),
        message::<ProductionOutcome>(&production::REFUSED, "The factory and its fallback refused the request."),
        message::<ProductionOutcome>(
            &production::OVERDUE,
            "The request was accepted, but its goods were not received in time.",
        ),
        message::<ProductionOutcome>(&production::CANCELLED, "Cancelled by an operator or by a closed replenishment."),
        message::<replenishment::ReplenishmentClosed>(
            &replenishment::CLOSED,
            "A replenishment was closed: its remaining units are no longer requested.",
        ),
        message::<factory::FactoryChanged>(&factory::CHANGED, "A factory was added or changed."),
        message::<stock::StockReceived>(&stock::RECEIVED, "Goods arrived, and are added to stock once."),
        message::<stock::StockChanged>(&stock::CHANGED, "The stock figures of a product changed."),
        message::<OrdersChanged>(&order::CONFIRMED, "All lines were taken from stock."),
        message::<OrdersChanged>(&order::BACKORDERED, "The order was accepted, and some units wait for stock."),
        message::<OrdersChanged>(&order::REJECTED, "The order was refused: out of stock."),
        message::<OrdersChanged>(&order::FULFILLED, "The last waiting unit was taken from stock."),
        message::<OrdersChanged>(&order::CANCELLED, "The order was cancelled, and its units were returned to stock."),
    ]
}

/// Builds the AsyncAPI 3 document as JSON.
pub fn document() -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    let (mut messages_map, mut schemas) = (Map::new(), Schemas::new());
    let messages = messages();
    for message in &messages {
        let (name, key) = (message.kind.name, message.kind.routing_key);
        (message.collect)(&mut schemas);
        messages_map.insert(name.to_owned(), envelope(message));
        channels.insert(key.to_owned(), events_channel(message));
        for user in User::ALL.iter().filter(|user| user.publishes().contains(&key)) {
            let operation = json!({
                "action": "send",
                "channel": {"$ref": format!("#/channels/{key}")},
                "messages": [{"$ref": format!("#/channels/{key}/messages/{name}")}],
            });
            operations.insert(format!("{}-service.send.{key}", user.name()), operation);
        }
    }
    for queue in QUEUES {
        let carried: Vec<&str> = messages
            .iter()
            .filter(|message| queue.routing_keys.contains(&message.kind.routing_key))
            .map(|message| message.kind.name)
            .collect();
        let channel = format!("queue.{}", queue.name);
        let refs: Map<String, Value> = carried.iter().map(|name| ((*name).to_owned(), component(name))).collect();
        channels.insert(
            channel.clone(),
            json!({
                "address": queue.name,
                "description": format!(
                    "Bound to {EVENTS} with {}. Messages that cannot be handled go to {}.",
                    queue.routing_keys.join(", "),
                    queue.dead_letter_queue()
                ),
                "messages": refs,
                "bindings": {"amqp": {
                    "is": "queue",
                    "queue": {"name": queue.name, "durable": true, "exclusive": false, "autoDelete": false},
                    "bindingVersion": "0.3.0",
                }},
            }),
        );
        let received: Vec<Value> =
            carried.iter().map(|name| json!({"$ref": format!("#/channels/{channel}/messages/{name}")})).collect();
        operations.insert(
            format!("{}-service.receive.{}", queue.reader.name(), queue.name),
            json!({"action": "receive", "channel": {"$ref": format!("#/channels/{channel}")}, "messages": received}),
        );
    }
    let schemas: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Jaego events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events that Jaego's services publish over RabbitMQ, for each other and for any other subscriber: \
                CloudEvents 1.0 in structured JSON, persistent, delivered at least once. A published version \
                of a type is never changed.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages_map, "schemas": schemas},
    })
}

fn component(name: &str) -> Value {
    json!({"$ref": format!("#/components/messages/{name}")})
}

fn events_channel(message: &MessageDocument) -> Value {
    let (name, key) = (message.kind.name, message.kind.routing_key);
    let needs =
        if message.kind.subscriber_required { "It must have a subscriber." } else { "A subscriber is optional." };
    json!({
        "address": key,
        "description": format!("Routing key {key} on the topic exchange {EVENTS}. {needs}"),
        "messages": {name: component(name)},
        "bindings": {"amqp": {
            "is": "routingKey",
            "exchange": {"name": EVENTS, "type": "topic", "durable": true, "autoDelete": false},
            "bindingVersion": "0.3.0",
        }},
    })
}

/// The AsyncAPI message of one event type: a CloudEvents envelope around its data.
fn envelope(message: &MessageDocument) -> Value {
    let name = message.kind.name;
    json!({
        "name": name,
        "title": name,
        "summary": message.summary,
        "contentType": CONTENT_TYPE,
        "payload": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "traceparent", "data"],
            "properties": {
                "specversion": {"type": "string", "const": "1.0"},
                "id": {"type": "string", "format": "uuid", "description": "Also the AMQP message_id."},
                "source": {"type": "string", "examples": ["/jaego/sales-service"]},
                "type": {"type": "string", "const": name},
                "subject": {"type": "string", "description": "The id of the thing that the event is about."},
                "time": {"type": "string", "format": "date-time"},
                "datacontenttype": {"type": "string", "const": "application/json"},
                "traceparent": {"type": "string", "description": "W3C Trace Context; also a header."},
                "data": {"$ref": format!("#/components/schemas/{}", message.data)},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn all_messages_and_queues_are_documented_and_every_reference_resolves() {
        let document = document();
        let published: BTreeSet<&str> = User::ALL.iter().flat_map(|user| user.publishes()).collect();
        let documented: BTreeSet<&str> = messages().iter().map(|message| message.kind.routing_key).collect();
        assert_eq!(documented, published);
        let operations = document["operations"].as_object().expect("operations");
        assert_eq!(operations.len(), published.len() + QUEUES.len());
        for queue in QUEUES {
            let carried = document["channels"][format!("queue.{}", queue.name)]["messages"].as_object();
            assert_eq!(carried.map(Map::len), Some(queue.routing_keys.len()), "{}", queue.name);
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }
}
