//! The requests that create what a broker lacks; pure.

use jaego_amqp::provision::segment;
use reqwest::Method;
use serde_json::{Value, json};

use super::compare::{Actual, is_there};

/// One request to the management API.
#[derive(Debug, PartialEq)]
pub(super) struct Make {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Value,
}

/// Requests for the exchanges, then queues, then bindings that the virtual host lacks.
pub(super) fn missing(wanted: &Value, actual: &Actual, vhost: &str) -> Vec<Make> {
    let list = |name: &str| wanted[name].as_array().map_or(&[][..], Vec::as_slice);
    let name = |item: &Value, field: &str| segment(item[field].as_str().unwrap_or_default());
    let vhost = segment(vhost);
    let mut all = Vec::new();
    for (kind, fields, there) in [
        ("exchanges", &["type", "durable", "auto_delete", "internal", "arguments"][..], &actual.exchanges),
        ("queues", &["durable", "auto_delete", "arguments"][..], &actual.queues),
    ] {
        for item in list(kind).iter().filter(|item| !is_there(&["name"], item, there)) {
            let body = fields.iter().map(|field| ((*field).to_owned(), item[*field].clone())).collect();
            let path = format!("/api/{kind}/{vhost}/{}", name(item, "name"));
            all.push(Make { method: Method::PUT, path, body: Value::Object(body) });
        }
    }
    let key = ["source", "destination", "destination_type", "routing_key"];
    for item in list("bindings").iter().filter(|item| !is_there(&key, item, &actual.bindings)) {
        let path = format!("/api/bindings/{vhost}/e/{}/q/{}", name(item, "source"), name(item, "destination"));
        let body = json!({"routing_key": item["routing_key"], "arguments": item["arguments"]});
        all.push(Make { method: Method::POST, path, body });
    }
    all
}

#[cfg(test)]
mod tests {
    use jaego_contracts::topology::definitions;

    use super::*;

    #[test]
    fn only_missing_parts_are_created_and_bindings_last() {
        let wanted = definitions();
        let count = |name: &str| wanted[name].as_array().map_or(0, Vec::len);
        let all = missing(&wanted, &Actual::default(), "a/b");
        assert_eq!(all.len(), count("exchanges") + count("queues") + count("bindings"));
        assert_eq!((all[0].method.clone(), all[0].path.as_str()), (Method::PUT, "/api/exchanges/a%2Fb/jaego.events"));
        let first_binding = all.iter().position(|make| make.method == Method::POST);
        assert_eq!(first_binding, Some(count("exchanges") + count("queues")));

        let list = |name: &str| wanted[name].as_array().cloned().unwrap_or_default();
        let mut actual = Actual {
            exchanges: list("exchanges"),
            queues: list("queues"),
            bindings: list("bindings"),
            ..Actual::default()
        };
        assert!(missing(&wanted, &actual, "jaego").is_empty());
        // An object that exists with other arguments is not made again: the broker would refuse it.
        actual.queues[0]["arguments"] = json!({});
        assert!(missing(&wanted, &actual, "jaego").is_empty());
        actual.queues.remove(0);
        assert_eq!(missing(&wanted, &actual, "jaego").len(), 1);
    }
}
