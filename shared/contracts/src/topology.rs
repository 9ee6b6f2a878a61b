//! The one table of exchanges, queues, bindings and rights. Broker definitions are printed from it; services only
//! check that the broker has it.

use serde_json::{Value, json};

use crate::{factory, order, production, replenishment, stock};

/// Exchange that every event is published to (it stands in for the SNS topic).
pub const EVENTS: &str = "jaego.events";
/// Exchange for dead letters, keyed by the name of the queue that they come from.
pub const DEAD_LETTERS: &str = "jaego.dead-letters";
/// Exchange for redriven dead letters, keyed by the name of the queue that they go to.
pub const REDRIVE: &str = "jaego.redrive";

/// Deliveries before the broker itself dead-letters a message, for example one that crashes its consumer.
const DELIVERY_LIMIT: u32 = 20;
/// Maximum number of messages in a queue; beyond it the broker rejects publishes.
const QUEUE_LENGTH_MAX: u32 = 1_000_000;
/// Dead letters are only read and requeued, so in practice this is no limit.
const DEAD_LETTER_DELIVERY_LIMIT: u32 = 1_000_000;

/// Name prefix of the queues for live events. Each frontend declares a queue of its own, which is deleted with its
/// connection; these queues are therefore not in [`QUEUES`], and no event requires them.
pub const LIVE_QUEUES: &str = "frontend.live.";
/// Binding keys of such a queue on [`EVENTS`]: every event, by family.
pub const LIVE_KEYS: [&str; 5] = ["order.*", "stock.*", "production.*", "replenishment.*", "factory.*"];

/// A program as a user of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum User {
    /// sales-service.
    Sales,
    /// production-service.
    Production,
    /// restock-service.
    Restock,
    /// The frontend, which only consumes.
    Frontend,
}

/// A queue and its dead letter queue `<name>.dlq`.
#[derive(Debug, PartialEq, Eq)]
pub struct Queue {
    /// Name of the queue; also its routing key on [`DEAD_LETTERS`] and [`REDRIVE`].
    pub name: &'static str,
    /// The only service that consumes it.
    pub reader: User,
    /// Routing keys on [`EVENTS`].
    pub routing_keys: &'static [&'static str],
}

/// Production requests, for production-service.
pub const PRODUCTION_REQUESTS: Queue =
    queue("production.requests", User::Production, &[production::REQUESTED.routing_key]);
/// Closed replenishments, for production-service.
pub const PRODUCTION_REPLENISHMENTS_CLOSED: Queue =
    queue("production.replenishments-closed", User::Production, &[replenishment::CLOSED.routing_key]);
/// Receipts, for production-service.
pub const PRODUCTION_STOCK_RECEIVED: Queue =
    queue("production.stock-received", User::Production, &[stock::RECEIVED.routing_key]);
/// Production requests, for restock-service.
pub const RESTOCK_PRODUCTION_REQUESTS: Queue =
    queue("restock.production-requests", User::Restock, &[production::REQUESTED.routing_key]);
/// Cancelled production requests, for restock-service.
pub const RESTOCK_PRODUCTION_CANCELLED: Queue =
    queue("restock.production-cancelled", User::Restock, &[production::CANCELLED.routing_key]);
/// Factories, for restock-service.
pub const RESTOCK_FACTORIES: Queue = queue("restock.factories", User::Restock, &[factory::CHANGED.routing_key]);
/// Outcomes of production requests, for sales-service.
pub const SALES_PRODUCTION_OUTCOMES: Queue = queue(
    "sales.production-outcomes",
    User::Sales,
    &[
        production::ACCEPTED.routing_key,
        production::DEAD_LETTERED.routing_key,
        production::REFUSED.routing_key,
        production::OVERDUE.routing_key,
        production::CANCELLED.routing_key,
    ],
);
/// Factories, for sales-service.
pub const SALES_FACTORIES: Queue = queue("sales.factories", User::Sales, &[factory::CHANGED.routing_key]);
/// Receipts, for sales-service.
pub const SALES_STOCK_RECEIVED: Queue = queue("sales.stock-received", User::Sales, &[stock::RECEIVED.routing_key]);

/// All queues.
pub const QUEUES: &[&Queue] = &[
    &PRODUCTION_REQUESTS,
    &PRODUCTION_REPLENISHMENTS_CLOSED,
    &PRODUCTION_STOCK_RECEIVED,
    &RESTOCK_PRODUCTION_REQUESTS,
    &RESTOCK_PRODUCTION_CANCELLED,
    &RESTOCK_FACTORIES,
    &SALES_PRODUCTION_OUTCOMES,
    &SALES_FACTORIES,
    &SALES_STOCK_RECEIVED,
];

const fn queue(name: &'static str, reader: User, routing_keys: &'static [&'static str]) -> Queue {
    Queue { name, reader, routing_keys }
}

impl Queue {
    /// Returns the name of its dead letter queue.
    pub fn dead_letter_queue(&self) -> String {
        format!("{}.dlq", self.name)
    }
}

impl User {
    /// All users.
    pub const ALL: [User; 4] = [User::Sales, User::Production, User::Restock, User::Frontend];

    /// Returns the user's name on the broker, without the prefix of an installation.
    pub const fn name(self) -> &'static str {
        match self {
            User::Sales => "sales",
            User::Production => "production",
            User::Restock => "restock",
            User::Frontend => "frontend",
        }
    }

    /// Returns the routing keys that the user may publish with on [`EVENTS`].
    pub fn publishes(self) -> Vec<&'static str> {
        let kinds: Vec<&crate::EventKind> = match self {
            User::Sales => vec![
                &production::REQUESTED,
                &replenishment::CLOSED,
                &stock::CHANGED,
                &order::CONFIRMED,
                &order::BACKORDERED,
                &order::REJECTED,
                &order::FULFILLED,
                &order::CANCELLED,
            ],
            User::Production => {
                let mut kinds = production::OUTCOMES.to_vec();
                kinds.push(&factory::CHANGED);
                kinds
            }
            User::Restock => vec![&stock::RECEIVED],
            User::Frontend => Vec::new(),
        };
        kinds.iter().map(|kind| kind.routing_key).collect()
    }

    fn queues(self) -> Vec<&'static str> {
        QUEUES.iter().filter(|queue| queue.reader == self).map(|queue| queue.name).collect()
    }

    /// Returns the user's rights in RabbitMQ's terms.
    pub fn permissions(self) -> Permissions {
        if self == User::Frontend {
            return listening();
        }
        let own_queues = alternatives(&self.queues());
        Permissions {
            configure: NONE.to_owned(),
            write: format!("^({EVENTS}|{DEAD_LETTERS}|{REDRIVE})$").replace('.', r"\."),
            read: format!("^({own_queues})(\\.dlq)?$"),
            topics: vec![
                TopicRights::publish(EVENTS, format!("^({})$", alternatives(&self.publishes()))),
                TopicRights::publish(DEAD_LETTERS, format!("^({own_queues})$")),
                TopicRights::publish(REDRIVE, format!("^({own_queues})$")),
            ],
        }
    }
}

/// Rights to declare, bind and consume queues of live events, and to publish nothing. Binding requires write
/// permission on the queue, read permission on the exchange, and topic read permission on the binding's key.
fn listening() -> Permissions {
    let queues = format!("^{}", regex::escape(LIVE_QUEUES));
    let keys = LIVE_KEYS.map(regex::escape).join("|");
    Permissions {
        configure: queues.clone(),
        write: queues.clone(),
        read: format!("{queues}|^{}$", regex::escape(EVENTS)),
        topics: vec![TopicRights { exchange: EVENTS, write: NONE.to_owned(), read: format!("^({keys})$") }],
    }
}

/// Pattern that matches only the empty name, which nothing has.
const NONE: &str = "^$";

fn alternatives(names: &[&str]) -> String {
    names.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|")
}

/// A user's rights in one virtual host: regular expressions over names and routing keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Queues and exchanges that the user may declare.
    pub configure: String,
    /// Exchanges that the user may publish to, and queues that it may bind.
    pub write: String,
    /// Queues that the user may consume, and exchanges that it may bind queues to.
    pub read: String,
    /// Allowed routing keys for each topic exchange.
    pub topics: Vec<TopicRights>,
}

/// A user's rights on one topic exchange: regular expressions over routing keys. RabbitMQ allows every key on an
/// exchange for which a user has no topic rights, so there must be an entry for each exchange that the user may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRights {
    /// The exchange.
    pub exchange: &'static str,
    /// Routing keys that the user may publish with.
    pub write: String,
    /// Routing keys that the user may bind queues with.
    pub read: String,
}

impl TopicRights {
    /// Allows publishing with `keys` and binding nothing: bindings are made when the topology is applied.
    pub fn publish(exchange: &'static str, keys: String) -> Self {
        Self { exchange, write: keys, read: NONE.to_owned() }
    }
}

/// Returns exchanges, queues and bindings as RabbitMQ definitions for one virtual host.
pub fn definitions() -> Value {
    let exchanges: Vec<Value> = [EVENTS, DEAD_LETTERS, REDRIVE]
        .iter()
        .map(|name| json!({"name": name, "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}}))
        .collect();
    let mut queues = Vec::new();
    let mut bindings = Vec::new();
    let mut bind = |source: &str, queue: &str, key: &str| {
        bindings.push(json!({"source": source, "destination": queue, "destination_type": "queue", "routing_key": key, "arguments": {}}));
    };
    for queue in QUEUES {
        let dead_letter_queue = queue.dead_letter_queue();
        queues.push(quorum_queue(
            queue.name,
            &json!({
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-max-length": QUEUE_LENGTH_MAX,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": DEAD_LETTERS,
                "x-dead-letter-routing-key": queue.name,
                "x-dead-letter-strategy": "at-least-once",
            }),
        ));
        queues.push(quorum_queue(
            &dead_letter_queue,
            &json!({
                "x-queue-type": "quorum",
                "x-delivery-limit": DEAD_LETTER_DELIVERY_LIMIT,
                "x-max-length": QUEUE_LENGTH_MAX,
                "x-overflow": "reject-publish",
            }),
        ));
        for key in queue.routing_keys {
            bind(EVENTS, queue.name, key);
        }
        bind(REDRIVE, queue.name, queue.name);
        bind(DEAD_LETTERS, &dead_letter_queue, queue.name);
    }
    json!({"exchanges": exchanges, "queues": queues, "bindings": bindings})
}

fn quorum_queue(name: &str, arguments: &Value) -> Value {
    json!({"name": name, "durable": true, "auto_delete": false, "arguments": arguments})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_that_needs_a_subscriber_has_one_and_every_key_a_publisher() {
        let published: Vec<&str> = User::ALL.iter().flat_map(|user| user.publishes()).collect();
        let subscribed: Vec<&str> = QUEUES.iter().flat_map(|queue| queue.routing_keys).copied().collect();
        for key in &subscribed {
            assert!(published.contains(key), "nobody publishes {key}");
        }
        for key in published.iter().filter(|key| !key.starts_with("order.") && **key != "stock.changed") {
            assert!(subscribed.contains(key), "nobody reads {key}");
        }
    }

    #[test]
    fn rights_are_exactly_the_services_own() {
        let sales = User::Sales.permissions();
        let read = regex::Regex::new(&sales.read).expect("regex");
        assert!(read.is_match("sales.stock-received") && read.is_match("sales.stock-received.dlq"));
        assert!(!read.is_match("production.requests") && !read.is_match("sales.stock-received.dlq.x"));
        let events = regex::Regex::new(&sales.topics[0].write).expect("regex");
        assert!(events.is_match("production.requested") && !events.is_match("stock.received"));
        let write = regex::Regex::new(&sales.write).expect("regex");
        assert!(write.is_match(EVENTS) && !write.is_match("amq.topic") && !write.is_match("jaegoXevents"));
        assert_eq!(sales.configure, "^$");
        assert!(sales.topics.iter().all(|topic| topic.read == "^$"));
    }

    #[test]
    fn the_frontend_listens_on_queues_of_its_own_and_says_nothing() {
        let rights = User::Frontend.permissions();
        let matches = |pattern: &str, name: &str| regex::Regex::new(pattern).expect("regex").is_match(name);
        for pattern in [&rights.configure, &rights.write] {
            assert!(matches(pattern, "frontend.live.5f3a"));
            for other in ["frontend-live.5f3a", "x.frontend.live.5f3a", "sales.factories", EVENTS, "amq.default", ""] {
                assert!(!matches(pattern, other), "{other}");
            }
        }
        assert!(matches(&rights.read, EVENTS) && matches(&rights.read, "frontend.live.5f3a"));
        assert!(!matches(&rights.read, "sales.factories") && !matches(&rights.read, DEAD_LETTERS));
        let [topic] = rights.topics.as_slice() else { panic!("one exchange") };
        assert_eq!((topic.exchange, topic.write.as_str()), (EVENTS, "^$"));
        assert!(LIVE_KEYS.iter().all(|key| matches(&topic.read, key)) && !matches(&topic.read, "#"));
        assert!(!matches(&topic.read, "orderX*"));
    }

    #[test]
    fn live_events_are_all_events() {
        let families: Vec<&str> = LIVE_KEYS.iter().filter_map(|key| key.strip_suffix('*')).collect();
        for key in User::ALL.iter().flat_map(|user| user.publishes()) {
            assert!(families.iter().any(|family| key.starts_with(family)), "{key} is not seen live");
        }
    }
}
