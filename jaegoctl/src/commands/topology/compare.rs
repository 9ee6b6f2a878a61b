//! Differences between a broker and the topology; pure.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// The contents of one virtual host of a broker, as its management API lists them.
#[derive(Debug, Default)]
pub(super) struct Actual {
    pub(super) exchanges: Vec<Value>,
    pub(super) queues: Vec<Value>,
    pub(super) bindings: Vec<Value>,
    pub(super) permissions: Vec<Value>,
    pub(super) topic_permissions: Vec<Value>,
}

/// One deviation from the topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// For example `queue production.requests`.
    what: String,
    #[serde(flatten)]
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
enum How {
    /// Does not exist.
    Missing,
    /// Exists but should not.
    Extra,
    /// Exists with another value, and cannot be changed in place.
    Other { field: &'static str, wanted: Value, actual: Value },
    /// Rights with another value, which are set again.
    Rights { field: &'static str, wanted: Value, actual: Value },
}

impl Difference {
    pub(super) fn subject(&self) -> &str {
        &self.what
    }

    /// True when a user has no rights at all.
    pub(super) fn is_missing_right(&self) -> bool {
        self.how == How::Missing && self.what.starts_with(PERMISSION.name)
    }

    /// True when the object exists with other arguments.
    pub(super) fn is_other(&self) -> bool {
        matches!(self.how, How::Other { .. })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Missing => write!(formatter, "missing: {}", self.what),
            How::Extra => write!(formatter, "not in the topology: {}", self.what),
            How::Other { field, wanted, actual } | How::Rights { field, wanted, actual } => {
                write!(formatter, "different: {}: {field} is {actual}, should be {wanted}", self.what)
            }
        }
    }
}

/// A kind of object: the fields that identify one, the fields that are compared, and how it is changed.
struct Kind {
    name: &'static str,
    key: &'static [&'static str],
    fields: &'static [&'static str],
    in_place: bool,
}

const EXCHANGE: Kind = Kind {
    name: "exchange",
    key: &["name"],
    fields: &["type", "durable", "auto_delete", "internal", "arguments"],
    in_place: false,
};
const QUEUE: Kind =
    Kind { name: "queue", key: &["name"], fields: &["durable", "auto_delete", "arguments"], in_place: false };
const BINDING: Kind = Kind {
    name: "binding",
    key: &["source", "destination", "destination_type", "routing_key"],
    fields: &["arguments"],
    in_place: false,
};
const PERMISSION: Kind =
    Kind { name: "rights of", key: &["user"], fields: &["configure", "write", "read"], in_place: true };
const TOPIC_PERMISSION: Kind =
    Kind { name: "rights of", key: &["user", "exchange"], fields: &["write", "read"], in_place: true };

/// Everything that is missing, different or extra among the objects that are ours.
pub(super) fn differences(wanted: &Value, actual: &Actual) -> Vec<Difference> {
    let list = |name: &str| wanted[name].as_array().map_or(&[][..], Vec::as_slice);
    let names = |items: &[Value], field: &str| -> Vec<String> {
        items.iter().filter_map(|item| item[field].as_str()).map(ToOwned::to_owned).collect()
    };
    let (queues, users) = (names(list("queues"), "name"), names(list("permissions"), "user"));
    let of_ours = |item: &Value, field: &str, ours: &[String]| {
        item[field].as_str().is_some_and(|name| ours.iter().any(|own| own == name))
    };

    let mut found = compare(&EXCHANGE, list("exchanges"), &actual.exchanges, &|_| false);
    found.extend(compare(&QUEUE, list("queues"), &actual.queues, &|_| false));
    // Any other binding to one of our queues would fill it; the default exchange binds every queue.
    let stray = |item: &Value| item["source"] != "" && of_ours(item, "destination", &queues);
    found.extend(compare(&BINDING, list("bindings"), &actual.bindings, &stray));
    found.extend(compare(&PERMISSION, list("permissions"), &actual.permissions, &|_| false));
    let more = |item: &Value| of_ours(item, "user", &users);
    found.extend(compare(&TOPIC_PERMISSION, list("topic_permissions"), &actual.topic_permissions, &more));
    found
}

/// True when the list has an object with the same values in these fields.
pub(super) fn is_there(key: &[&str], item: &Value, list: &[Value]) -> bool {
    list.iter().any(|other| key.iter().all(|field| item[*field] == other[*field]))
}

fn compare(kind: &Kind, wanted: &[Value], actual: &[Value], is_ours: &dyn Fn(&Value) -> bool) -> Vec<Difference> {
    let same = |one: &Value, other: &Value| kind.key.iter().all(|field| one[*field] == other[*field]);
    let mut found = Vec::new();
    for item in wanted {
        let what = title(kind, item);
        let Some(there) = actual.iter().find(|there| same(item, there)) else {
            found.push(Difference { what, how: How::Missing });
            continue;
        };
        for field in kind.fields.iter().copied().filter(|field| item[*field] != there[*field]) {
            let (wanted, actual) = narrowed(&item[field], &there[field]);
            let how = if kind.in_place {
                How::Rights { field, wanted, actual }
            } else {
                How::Other { field, wanted, actual }
            };
            found.push(Difference { what: what.clone(), how });
        }
    }
    let extra = actual.iter().filter(|there| is_ours(there) && !wanted.iter().any(|item| same(item, there)));
    found.extend(extra.map(|there| Difference { what: title(kind, there), how: How::Extra }));
    found
}

/// Reduces two objects to the fields that differ.
fn narrowed(wanted: &Value, actual: &Value) -> (Value, Value) {
    let (Value::Object(one), Value::Object(other)) = (wanted, actual) else {
        return (wanted.clone(), actual.clone());
    };
    let only = |items: &serde_json::Map<String, Value>, than: &serde_json::Map<String, Value>| {
        items
            .iter()
            .filter(|(name, value)| than.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
    };
    (json!(only(one, other)), json!(only(other, one)))
}

fn title(kind: &Kind, item: &Value) -> String {
    let text = |field: &str| item[field].as_str().unwrap_or("?").to_owned();
    match kind.key {
        ["source", ..] => {
            format!("binding of {} to {} with {}", text("destination"), text("source"), text("routing_key"))
        }
        ["user", "exchange"] => format!("rights of {} on {}", text("user"), text("exchange")),
        [field, ..] => format!("{} {}", kind.name, text(field)),
        [] => kind.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jaego_contracts::definitions::with_rights;

    use super::*;

    /// A broker on which the topology was applied, with what RabbitMQ adds by itself.
    fn applied(wanted: &Value) -> Actual {
        let list = |name: &str| wanted[name].as_array().cloned().unwrap_or_default();
        let mut actual = Actual {
            exchanges: list("exchanges"),
            queues: list("queues"),
            bindings: list("bindings"),
            permissions: list("permissions"),
            topic_permissions: list("topic_permissions"),
        };
        actual.exchanges.push(json!({"name": "amq.topic", "type": "topic", "durable": true}));
        for queue in list("queues") {
            let name = &queue["name"];
            actual.bindings.push(json!({
                "source": "", "destination": name, "destination_type": "queue", "routing_key": name, "arguments": {},
            }));
        }
        actual
            .permissions
            .push(json!({"user": "admin", "vhost": "jaego", "configure": ".*", "write": ".*", "read": ".*"}));
        actual
    }

    fn differences_after(change: impl FnOnce(&mut Actual)) -> Vec<String> {
        let wanted = with_rights("jaego", "");
        let mut actual = applied(&wanted);
        change(&mut actual);
        differences(&wanted, &actual).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_applied_topology_does_not_differ_whatever_else_exists() {
        assert!(differences_after(|_| {}).is_empty());
        let others = differences_after(|actual| {
            actual.queues.push(json!({"name": "somebody.else", "durable": true}));
            let bound = json!({"source": "jaego.events", "destination": "somebody.else", "destination_type": "queue", "routing_key": "order.*"});
            actual.bindings.push(bound);
        });
        assert!(others.is_empty(), "{others:?}");
    }

    #[test]
    fn every_difference_is_reported() {
        let count = differences_after(|actual| *actual = Actual::default()).len();
        let wanted = with_rights("jaego", "");
        let all: usize =
            wanted.as_object().expect("an object").values().filter_map(Value::as_array).map(Vec::len).sum();
        assert_eq!(count, all, "of an empty broker everything is missing");

        assert_eq!(
            differences_after(|actual| actual.queues.retain(|queue| queue["name"] != "restock.factories")),
            ["missing: queue restock.factories"]
        );
        let changed = differences_after(|actual| {
            actual.queues[0]["arguments"]["x-delivery-limit"] = json!(5);
        });
        let queue = wanted["queues"][0]["name"].as_str().expect("a name");
        assert_eq!(
            changed,
            [format!(
                "different: queue {queue}: arguments is {{\"x-delivery-limit\":5}}, should be {{\"x-delivery-limit\":20}}"
            )]
        );
        let stray = differences_after(|actual| {
            actual.bindings.push(
                json!({"source": "amq.topic", "destination": queue, "destination_type": "queue", "routing_key": "#"}),
            );
        });
        assert_eq!(stray, [format!("not in the topology: binding of {queue} to amq.topic with #")]);
        let wider = differences_after(|actual| actual.permissions[0]["configure"] = json!(".*"));
        assert_eq!(wider, ["different: rights of sales: configure is \".*\", should be \"^$\""]);
        let unbound = differences_after(|actual| {
            actual.topic_permissions.remove(0);
        });
        assert_eq!(unbound, ["missing: rights of sales on jaego.events"]);
        let more = differences_after(|actual| {
            actual
                .topic_permissions
                .push(json!({"user": "sales", "exchange": "amq.topic", "write": ".*", "read": ".*"}));
        });
        assert_eq!(more, ["not in the topology: rights of sales on amq.topic"]);
    }
}
