//! Values to test: the two extremes, and every switch between them.

use serde_json::{Value, json};

/// Path of the file with a component's default settings.
pub(super) fn default_toml(component: &str) -> String {
    let folder = if component == "frontend" { component.to_owned() } else { format!("{component}-service") };
    format!("{folder}/config/default.toml")
}

/// The default: everything is included.
pub(super) fn evaluation() -> Value {
    json!({})
}

/// Merges `over` into `under` as Helm does: maps are merged, everything else is replaced.
pub(super) fn merged(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            let mut both = under.clone();
            for (key, value) in over {
                let value = under.get(key).map_or_else(|| value.clone(), |under| merged(under, value));
                both.insert(key.clone(), value);
            }
            Value::Object(both)
        }
        _ => over.clone(),
    }
}

/// `{"a": {"b": value}}` for `a.b`.
pub(super) fn at(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, key| json!({ key: inner }))
}

/// The value at a path such as `a.b`.
pub(super) fn look<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |inner, key| &inner[key])
}

/// Every boolean and every enum of the schema, with each of its values, next to the values that it needs.
pub(super) fn switches(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    walk(schema, schema, "", &mut found);
    let mut switches = Vec::new();
    for (path, may_be) in found {
        for value in may_be {
            let with = with_operators_pods(merged(&needs(&path, &value), &at(&path, value.clone())));
            switches.push((format!("{path}: {value}"), with));
        }
    }
    switches
}

fn walk(schema: &Value, part: &Value, path: &str, found: &mut Vec<(String, Vec<Value>)>) {
    let part = match part["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => part,
    };
    if part["type"] == "boolean" {
        found.push((path.to_owned(), vec![json!(true), json!(false)]));
    } else if let Some(choices) = part["enum"].as_array() {
        found.push((path.to_owned(), choices.clone()));
    }
    for (key, inner) in part["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(schema, inner, &path, found);
    }
}

/// Further values that a choice requires.
fn needs(path: &str, value: &Value) -> Value {
    let connections = || {
        json!({
            "sales": { "existingSecret": "sales-urls" },
            "production": { "existingSecret": "production-urls" },
            "restock": { "existingSecret": "restock-urls" },
            "access": { "existingSecret": "access-urls" },
            "frontend": { "existingSecret": "frontend-urls" },
        })
    };
    match (path, value) {
        ("postgresql.bundled", Value::Bool(false)) => connections(),
        ("rabbitmq.bundled", Value::Bool(false)) => {
            merged(&connections(), &at("rabbitmq.topology.existingSecret", json!("topology")))
        }
        ("entrances.factory.enabled", Value::Bool(false)) => {
            at("production.callbackBaseUrl", json!("https://factory.example.com"))
        }
        ("production.autoscaling.kind", kind) if kind == "KEDA" => {
            at("production.autoscaling.keda.existingSecret", json!("keda"))
        }
        ("jobs.hooks", hooks) if hooks == "always" => {
            let servers = json!({
                "postgresql": { "bundled": false },
                "rabbitmq": { "bundled": false, "topology": { "existingSecret": "topology" } },
            });
            merged(&connections(), &servers)
        }
        ("tests.enabled", Value::Bool(true)) => at("auth.operatorTokenSecret", json!("token")),
        // Production's disruption budget keeps one replica available, so there must be two.
        (path, kind) if path.ends_with(".autoscaling.kind") && kind == "none" => {
            at(&path.replace(".autoscaling.kind", ".replicas"), json!(2))
        }
        (path, kind) if kind == "HTTPRoute" => merged(
            &at(&path.replace(".kind", ".enabled"), json!(true)),
            &at(&path.replace(".kind", ".httpRoute.parentRefs"), json!([{ "name": "gateway" }])),
        ),
        (path, kind) if kind == "Ingress" => at(&path.replace(".kind", ".tls.secretName"), json!("certificate")),
        (path, Value::Bool(true)) if path.starts_with("entrances.") && path.ends_with(".tls.enabled") => merged(
            &at(&path.replace(".tls.enabled", ".enabled"), json!(true)),
            &at(&path.replace(".enabled", ".secretName"), json!("certificate")),
        ),
        _ => json!({}),
    }
}

/// Names the pods from which operators come, if they have an entrance.
pub(super) fn with_operators_pods(values: Value) -> Value {
    ["operations", "console"].into_iter().fold(values, |values, name| {
        let path = format!("networkPolicy.peers.{name}Entrance");
        let is_named = look(&values, &path).as_array().is_some_and(|peers| !peers.is_empty());
        if is_named || values["entrances"][name]["enabled"] != true {
            return values;
        }
        let pods = json!([{ "podSelector": { "matchLabels": { "app": "gate" } } }]);
        merged(&values, &at(&path, pods))
    })
}
