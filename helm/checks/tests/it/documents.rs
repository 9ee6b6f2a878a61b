//! The documentation of values matches the values: the table in the chart's README.md, and the part of the schema
//! that comes from the services' own settings. `JAEGO_WRITE_DOCS=1` rewrites both.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use serde_json::{Map, Value, json};

use super::{
    engine::{Engine, chart},
    objects::list,
    values::{at, default_toml, look, merged},
};

const WRITE: &str = "JAEGO_WRITE_DOCS";
const BEGIN: &str =
    "<!-- Generated from values.yaml by: JAEGO_WRITE_DOCS=1 cargo nextest run -p chart-checks documents -->\n";

/// Descriptions in values.yaml: a path, and the text of its `# --` comment.
fn descriptions(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut description = None;
    for line in text.lines() {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
        if let Some(text) = line.strip_prefix("# -- ") {
            assert!(description.is_none(), "two descriptions in a row, the second is {text:?}");
            description = Some(text);
        } else if let Some((key, _)) = line.split_once(':').filter(|_| !line.starts_with(['#', '-'])) {
            open.retain(|(outer, _)| *outer < indent);
            open.push((indent, key));
            if let Some(text) = description.take() {
                let path: Vec<&str> = open.iter().map(|(_, key)| *key).collect();
                found.push((path.join("."), text.to_owned()));
            }
        }
    }
    found
}

/// Paths of everything that is not a map, and of empty maps.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (key, value) in fields {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        None => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_value_is_described() {
    let mut engine = Engine::start();
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let (values, described) = (engine.values("values.yaml"), descriptions(&text));
    let mut all = BTreeSet::new();
    leaves(&values, "", &mut all);
    let is_described = |leaf: &&String| {
        described.iter().any(|(path, _)| {
            leaf.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let bare: Vec<&String> = all.iter().filter(|leaf| !is_described(leaf)).collect();
    assert!(bare.is_empty(), "no `# --` comment describes {bare:?}");

    let mut table = format!("{BEGIN}| value | what it is | default |\n| --- | --- | --- |\n");
    for (path, text) in &described {
        let (text, default) = (text.replace('|', "\\|"), look(&values, path).to_string().replace('|', "\\|"));
        writeln!(table, "| `{path}` | {text} | `{default}` |").unwrap();
    }
    let readme = chart().join("README.md");
    let kept = fs::read_to_string(&readme).unwrap();
    let (before, _) = kept.split_once(BEGIN).expect("the table's beginning is in README.md; it goes on to the end");
    let wanted = format!("{before}{table}");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&readme, &wanted).unwrap();
    } else {
        assert!(kept == wanted, "the table in helm/jaego/README.md differs from values.yaml; {WRITE}=1 updates it");
    }
}

/// Collects the paths of the schema's objects that allow any key, and the paths of all values that it knows.
fn known(schema: &Value, part: &Value, path: &str, open: &mut Vec<String>, leaves: &mut BTreeSet<String>) {
    let part = match part["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => part,
    };
    let Some(properties) = part["properties"].as_object() else {
        leaves.insert(path.to_owned());
        return;
    };
    if part["additionalProperties"] != false {
        open.push(path.to_owned());
    }
    for (key, inner) in properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        known(schema, inner, &path, open, leaves);
    }
}

#[test]
fn the_schema_knows_the_values_and_no_others() {
    let mut engine = Engine::start();
    let (schema, values) = (engine.read_one("helm/jaego/values.schema.json"), engine.values("values.yaml"));
    let (mut open, mut all) = (Vec::new(), BTreeSet::new());
    known(&schema, &schema, "", &mut open, &mut all);
    assert_eq!(open, [""; 0], "a typo there would be taken for a value");
    // Values that may be absent: settings have their defaults in default.toml, resources in Kubernetes.
    let may_be_absent = |path: &&String| path.contains(".settings.") || path.contains(".resources.");
    let absent: Vec<&String> =
        all.iter().filter(|path| !may_be_absent(path)).filter(|path| look(&values, path).is_null()).collect();
    assert!(absent.is_empty(), "the schema knows {absent:?}, values.yaml does not mention them");
}

/// `section.key` of every setting that the release sets itself, whatever the values are.
fn set_by_the_release(engine: &mut Engine, service: &str) -> BTreeSet<String> {
    let everything = json!({
        "telemetry": { "otlpEndpoint": "http://collector:4318" },
        "tls": { "caSecret": { "name": "ca" } },
        service: { "settings": { "shutdown": null } },
    });
    let everything = merged(&everything, &at("access.identityProviderSecret", json!("login")));
    let rendered = engine.render(&everything);
    let config = engine.toml(rendered.get("ConfigMap", service)["data"]["config.toml"].as_str().unwrap());
    let mut own = BTreeSet::new();
    leaves(&config, "", &mut own);
    let (programs, pods) =
        ([format!("Deployment jaego-{service}"), format!("Job jaego-migrate-{service}-1")], rendered.pods());
    let containers = pods.iter().filter(|pod| programs.contains(&pod.owner)).map(|pod| pod.containers()[0]);
    for variable in containers.flat_map(|container| list(&container["env"])) {
        let name = variable["name"].as_str().unwrap().to_lowercase();
        let name = name.split_once("__").unwrap().1.replace("__", ".");
        own.insert(name.strip_suffix("_file").unwrap().to_owned());
    }
    own
}

/// Schema of `<service>.settings`: the settings in default.toml, without those that the release sets itself.
fn settings_schema(engine: &mut Engine, service: &str) -> Value {
    let own = set_by_the_release(engine, service);
    let defaults = engine.read_one(&default_toml(service));
    let mut sections = Map::new();
    for (section, keys) in defaults.as_object().unwrap() {
        let mut properties = Map::new();
        for (key, value) in keys.as_object().unwrap() {
            if own.contains(&format!("{section}.{key}")) {
                continue;
            }
            let schema = match value {
                Value::Bool(_) => json!({ "type": "boolean" }),
                Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
                Value::Number(_) => json!({ "type": "integer" }),
                Value::String(_) => json!({ "type": "string" }),
                _ => json!({ "type": "array", "items": { "type": "string" } }),
            };
            properties.insert(key.clone(), schema);
        }
        if !properties.is_empty() {
            sections.insert(
                section.clone(),
                json!({ "type": "object", "additionalProperties": false, "properties": properties }),
            );
        }
    }
    let description = format!("As in {}, without what the release sets itself.", default_toml(service));
    json!({ "type": "object", "additionalProperties": false, "description": description, "properties": sections })
}

#[test]
fn the_schema_knows_the_services_settings() {
    let mut engine = Engine::start();
    for service in ["sales", "production", "restock", "access", "frontend"] {
        let wanted = settings_schema(&mut engine, service);
        let name = format!("{service}Settings");
        let kept = engine.read_one("helm/jaego/values.schema.json")["$defs"][&name].clone();
        if kept != wanted && std::env::var_os(WRITE).is_some() {
            write(&name, &wanted);
        } else {
            assert!(
                kept == wanted,
                "$defs.{name} of values.schema.json differs from {}; {WRITE}=1 updates it",
                default_toml(service)
            );
        }
    }
}

/// Replaces one definition; the rest of the file stays as it is.
fn write(name: &str, schema: &Value) {
    let path = chart().join("values.schema.json");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(&format!("\n    \"{name}\": {{\n")).expect("the definition is there");
    let (_, after) = rest.split_once("\n    }").expect("the definition ends");
    let pretty = serde_json::to_string_pretty(schema).unwrap().replace('\n', "\n    ");
    fs::write(&path, format!("{before}\n    \"{name}\": {pretty}{after}")).unwrap();
}
