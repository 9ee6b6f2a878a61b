//! Compares the addresses that programs are given with the connections that the policies allow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use url::Url;

use super::{
    engine::{Engine, NAMESPACE},
    network::Edges,
    objects::{Pod, Rendered, all_texts, decoded, labels, list, selects, texts},
    values::{at, evaluation, merged},
};

/// Secrets that the production values name, and that are created outside the chart.
fn secrets_of_production() -> BTreeMap<String, BTreeMap<String, String>> {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut secrets = BTreeMap::new();
    for service in ["sales", "production", "restock"] {
        let database =
            format!("postgres://jaego_{service}:p@postgresql.example.com:5432/jaego_{service}?sslmode=require");
        let amqp = format!("amqps://{service}:p@rabbitmq.example.com:5671/jaego");
        secrets.insert(
            format!("jaego-{service}-connections"),
            map(&[
                ("database-url", database.as_str()),
                ("database-owner-url", database.as_str()),
                ("amqp-url", amqp.as_str()),
                ("callback-signing-key", "-"),
                ("callback-public-keys", "-"),
            ]),
        );
    }
    let amqp = ("amqp-url", "amqps://frontend:p@rabbitmq.example.com:5671/jaego");
    secrets.insert("jaego-frontend-connections".to_owned(), map(&[amqp]));
    let database = "postgres://jaego_access:p@postgresql.example.com:5432/jaego_access?sslmode=require";
    secrets.insert(
        "jaego-access-connections".to_owned(),
        map(&[("database-url", database), ("database-owner-url", database)]),
    );
    let operators = [("tokens", "-"), ("token", "-"), ("program-credential", "-"), ("program-credentials", "-")];
    secrets.insert("jaego-operators".to_owned(), map(&operators));
    secrets.insert("jaego-ca".to_owned(), map(&[("ca.crt", "-")]));
    let management = ("management-url", "https://rabbitmq.example.com:15671");
    secrets.insert("jaego-topology".to_owned(), map(&[management, ("username", "-"), ("password", "-")]));
    secrets
}

/// A release, and all Secrets that its pods can see, by name and key.
struct World<'a> {
    rendered: &'a Rendered,
    secrets: BTreeMap<String, BTreeMap<String, String>>,
}

impl World<'_> {
    fn secret(&self, name: &Value, key: &Value) -> &str {
        let of = self.secrets.get(name.as_str().unwrap()).unwrap_or_else(|| panic!("there is no Secret {name}"));
        of.get(key.as_str().unwrap()).unwrap_or_else(|| panic!("Secret {name} has no key {key}"))
    }

    /// Everything that a pod reads: files by path, arguments, environment variables.
    fn read_by(&self, pod: &Pod<'_>) -> Vec<(String, String)> {
        let mut read = Vec::new();
        for volume in list(&pod.spec["volumes"]) {
            let name = volume["name"].as_str().unwrap();
            let projected = list(&volume["projected"]["sources"]);
            for source in projected.iter().chain([volume]) {
                let of = if source["secret"]["name"].is_null() { "secretName" } else { "name" };
                for item in list(&source["secret"]["items"]) {
                    let text = self.secret(&source["secret"][of], &item["key"]);
                    read.push((format!("{name}/{}", item["path"].as_str().unwrap()), text.to_owned()));
                }
                let map = &source["configMap"]["name"];
                for one in self.rendered.of_kind("ConfigMap").into_iter().filter(|one| one["metadata"]["name"] == *map)
                {
                    read.extend(labels(&one["data"]).into_iter().map(|(key, text)| (format!("{name}/{key}"), text)));
                }
            }
        }
        for container in pod.containers() {
            let arguments = texts(&container["args"]);
            let before = std::iter::once("").chain(arguments.iter().copied());
            read.extend(before.zip(&arguments).map(|(before, word)| (before.to_owned(), (*word).to_owned())));
            for variable in list(&container["env"]) {
                let from = &variable["valueFrom"]["secretKeyRef"];
                let value = variable["value"].as_str().unwrap_or_else(|| self.secret(&from["name"], &from["key"]));
                read.push((variable["name"].as_str().unwrap().to_owned(), value.to_owned()));
            }
        }
        read
    }

    /// The component behind an address and the port of its container, or `outside` and the address's port.
    fn resolve(&self, url: &Url) -> String {
        let known = match url.scheme() {
            "postgres" => Some(5432),
            "amqp" => Some(5672),
            "amqps" => Some(5671),
            _ => url.port_or_known_default(),
        };
        let port = url.port().or(known).unwrap();
        let host = url.host_str().unwrap();
        let host = host.strip_suffix(&format!(".{NAMESPACE}.svc")).unwrap_or(host);
        let service = self.rendered.of_kind("Service").into_iter().find(|one| one["metadata"]["name"] == host);
        let Some(service) = service else { return format!("outside tcp/{port}") };
        let one = list(&service["spec"]["ports"]).iter().find(|one| one["port"] == port);
        let target = &one.unwrap_or_else(|| panic!("{host} has no port {port}"))["targetPort"];
        let wanted = json!({ "matchLabels": service["spec"]["selector"] });
        let pods = self.rendered.pods();
        let pod = pods.iter().find(|pod| selects(&wanted, &pod.labels())).expect("a pod is behind each Service");
        let container = list(&pod.containers()[0]["ports"]).iter().find(|port| port["name"] == *target);
        format!("{} tcp/{}", pod.component, container.expect("the container has the port")["containerPort"])
    }
}

/// `component -> other tcp/port` for every address that a pod is given.
fn used(engine: &mut Engine, world: &World<'_>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for pod in world.rendered.pods() {
        for (place, text) in world.read_by(&pod) {
            let text = text.trim();
            let addresses: Vec<String> = if place.ends_with("config.toml") {
                let mut config = engine.toml(text);
                // The service does not call this address but gives it to factories.
                config["callback"] = Value::Null;
                all_texts(&config).into_iter().map(str::to_owned).collect()
            } else {
                vec![text.to_owned()]
            };
            for url in addresses.iter().filter(|text| text.contains("://")).map(|text| Url::parse(text).unwrap()) {
                // A factory's address is passed on to the component that calls factories.
                let from = if place == "--factory-url" { "production" } else { &pod.component };
                // The Job reads the services' URLs to create their users, and does not connect to them.
                let is_material = pod.component == "topology" && place.starts_with("urls/");
                if !is_material {
                    used.insert(format!("{from} -> {}", world.resolve(&url)));
                }
            }
        }
    }
    used
}

/// Egress that the policies allow, except DNS. Everything outside the release has one name.
fn allowed(rendered: &Rendered) -> BTreeSet<String> {
    let own: BTreeSet<String> = rendered.pods().into_iter().map(|pod| pod.component).collect();
    let mut allowed = BTreeSet::new();
    for edge in Edges::of(rendered).out {
        let (from, rest) = edge.split_once(" -> ").unwrap();
        let (to, port) = rest.rsplit_once(' ').unwrap();
        if !port.ends_with("/53") {
            allowed.insert(format!("{from} -> {} {port}", if own.contains(to) { to } else { "outside" }));
        }
    }
    allowed
}

#[test]
fn the_ways_that_are_open_are_those_that_are_used() {
    let mut engine = Engine::start();
    let collector = at("telemetry.otlpEndpoint", json!("http://collector.monitoring.svc:4318"));
    let production = engine.values("values-production.yaml");
    // The addresses of factories are in the database, so their ports are listed here.
    let factories = |ports: &[u16]| -> BTreeSet<String> {
        ports.iter().map(|port| format!("production -> outside tcp/{port}")).collect()
    };
    for (values, ports) in [
        (evaluation(), [443, 80].as_slice()),
        (collector.clone(), &[443, 80]),
        (json!({ "fullnameOverride": "other", "rabbitmq": { "vhost": "v" } }), &[443, 80]),
        (production.clone(), &[443]),
        (merged(&production, &collector), &[443]),
    ] {
        let rendered = engine.render(&values);
        let mut secrets = secrets_of_production();
        for secret in rendered.of_kind("Secret") {
            secrets.insert(secret["metadata"]["name"].as_str().unwrap().to_owned(), decoded(secret));
        }
        let world = World { rendered: &rendered, secrets };
        let used = &used(&mut engine, &world) | &factories(ports);
        assert_eq!(used, allowed(&rendered), "used and allowed with {values}");
    }
}
