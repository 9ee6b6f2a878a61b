//! Network policies allow exactly the edges of the tables below, and no others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    engine::Engine,
    objects::{Rendered, labels, list, name, selects},
    values::{at, evaluation, merged},
};

/// `from -> to protocol/port`, once as the callers' policies allow it and once as the callees' policies do.
#[derive(Debug, Default)]
pub(super) struct Edges {
    pub(super) out: BTreeSet<String>,
    pub(super) into: BTreeSet<String>,
}

impl Edges {
    pub(super) fn of(rendered: &Rendered) -> Self {
        let mut edges = Self::default();
        for policy in rendered.of_kind("NetworkPolicy") {
            let spec = &policy["spec"];
            assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]), "{}", name(policy));
            let own = components(rendered, &spec["podSelector"]);
            assert_eq!(own.len(), 1, "{} is for one component", name(policy));
            for rule in list(&spec["ingress"]) {
                for (peer, port) in peers_and_ports(rendered, rule, "from") {
                    edges.into.insert(format!("{peer} -> {} {port}", own[0]));
                }
            }
            for rule in list(&spec["egress"]) {
                for (peer, port) in peers_and_ports(rendered, rule, "to") {
                    edges.out.insert(format!("{} -> {peer} {port}", own[0]));
                }
            }
        }
        edges
    }
}

/// Components of the release whose pods match a selector.
fn components(rendered: &Rendered, selector: &Value) -> Vec<String> {
    let pods = rendered.pods();
    let chosen = pods.iter().filter(|pod| selects(selector, &pod.labels())).map(|pod| pod.component.clone());
    chosen.collect::<BTreeSet<_>>().into_iter().collect()
}

fn peers_and_ports(rendered: &Rendered, rule: &Value, side: &str) -> Vec<(String, String)> {
    // An empty list means the same as none.
    let peers = match list(&rule[side]) {
        [] => vec!["anyone".to_owned()],
        peers => peers.iter().flat_map(|peer| described(rendered, peer)).collect(),
    };
    let ports: Vec<String> = list(&rule["ports"])
        .iter()
        .map(|port| format!("{}/{}", port["protocol"].as_str().unwrap().to_lowercase(), port["port"]))
        .collect();
    assert!(!ports.is_empty(), "a rule without ports allows every port: {rule}");
    peers.iter().flat_map(|peer| ports.iter().map(|port| (peer.clone(), port.clone()))).collect()
}

fn described(rendered: &Rendered, peer: &Value) -> Vec<String> {
    if !peer["ipBlock"].is_null() {
        let except = list(&peer["ipBlock"]["except"]).len();
        return vec![format!("[{} but {except}]", peer["ipBlock"]["cidr"].as_str().unwrap())];
    }
    let own = if peer["namespaceSelector"].is_null() { components(rendered, &peer["podSelector"]) } else { Vec::new() };
    if !own.is_empty() {
        return own;
    }
    let words = |selector: &Value| -> String {
        labels(&selector["matchLabels"]).values().cloned().collect::<Vec<_>>().join(" ")
    };
    let text = format!("{} {}", words(&peer["namespaceSelector"]), words(&peer["podSelector"]));
    vec![format!("[{}]", text.trim())]
}

/// Parses lines of the form `from, from -> to protocol/port protocol/port`.
fn table(lines: &str) -> BTreeSet<String> {
    let mut edges = BTreeSet::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (from, to) = line.split_once(" -> ").unwrap();
        let (to, ports) = match to.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(to, ports)| (format!("[{to}]"), ports)).unwrap(),
            None => to.split_once(' ').map(|(to, ports)| (to.to_owned(), ports)).unwrap(),
        };
        for from in from.split(", ") {
            edges.extend(ports.split_whitespace().map(|port| format!("{from} -> {to} {port}")));
        }
    }
    edges
}

/// Edges between pods of the release, which both sides must allow. An edge that only one side has leads outside.
fn inside(rendered: &Rendered, edges: &BTreeSet<String>) -> BTreeSet<String> {
    let own: BTreeSet<String> = rendered.pods().into_iter().map(|pod| pod.component).collect();
    let is_inside = |edge: &&String| {
        let (from, to) = edge.split_once(" -> ").unwrap();
        own.contains(from) && own.contains(to.split_once(' ').unwrap().0)
    };
    edges.iter().filter(is_inside).cloned().collect()
}

const EVERYBODY_IN_EVALUATION: &str = "sales, production, restock, access, frontend, migrate-sales, migrate-production, migrate-restock, migrate-access, database, topology, test";

#[test]
fn evaluation_has_these_edges_and_no_other() {
    let rendered = Engine::start().render(&evaluation());
    let edges = Edges::of(&rendered);
    let between = table(
        "sales, production, restock, access -> postgresql tcp/5432
         sales, production, restock, frontend -> access tcp/8380
         sales, production, restock, frontend -> rabbitmq tcp/5672
         frontend -> sales tcp/8080 tcp/8081
         frontend -> production tcp/8180
         frontend -> restock tcp/8280
         migrate-sales, migrate-production, migrate-restock, migrate-access, database -> postgresql tcp/5432
         topology -> rabbitmq tcp/15672
         test -> sales tcp/8080
         test -> production tcp/8180
         test -> restock tcp/8280 tcp/8281
         production -> test tcp/8090",
    );
    let out = table(&format!(
        "{EVERYBODY_IN_EVALUATION} -> anyone udp/53 tcp/53
         production -> anyone tcp/443 tcp/80"
    ));
    let into = table(
        "anyone -> sales tcp/8081
         anyone -> frontend tcp/8481
         anyone -> restock tcp/8281",
    );
    assert_eq!(edges.out, &between | &out);
    assert_eq!(edges.into, &between | &into);
}

// Control: network-rules.
#[test]
fn production_has_these_edges_and_no_other() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let edges = Edges::of(&engine.render(&production));
    let between = table(
        "frontend -> sales tcp/8080 tcp/8081
         frontend -> production tcp/8180
         frontend -> restock tcp/8280
         sales, production, restock, frontend -> access tcp/8380",
    );
    let out = table(
        "sales, production, restock, access, frontend, migrate-sales, migrate-production, migrate-restock, migrate-access, topology -> [kube-system kube-dns] udp/53 tcp/53
         sales, production, restock, access, migrate-sales, migrate-production, migrate-restock, migrate-access -> [jaego-postgresql] tcp/5432
         sales, production, restock, frontend -> [jaego-rabbitmq] tcp/5671
         topology -> [jaego-rabbitmq] tcp/15671
         production -> [0.0.0.0/0 but 6] tcp/443",
    );
    let into = table(
        "[jaego-gateway] -> sales tcp/8081
         [jaego-gateway] -> frontend tcp/8481
         [jaego-gateway] -> restock tcp/8281
         [monitoring] -> sales tcp/9080
         [monitoring] -> production tcp/9180
         [monitoring] -> restock tcp/9280
         [monitoring] -> access tcp/9380
         [monitoring] -> frontend tcp/9480",
    );
    assert_eq!(edges.out, &between | &out);
    assert_eq!(edges.into, &between | &into);
}

#[test]
fn enabled_parts_get_their_network_rules() {
    let mut engine = Engine::start();
    let pods = |label: &str| json!([{ "podSelector": { "matchLabels": { "app": label } } }]);
    let plain = Edges::of(&engine.render(&evaluation()));
    for (values, out, into) in [
        (
            json!({ "telemetry": { "otlpEndpoint": "http://collector:4318" } }),
            "sales, production, restock, access, frontend -> anyone tcp/4318",
            "",
        ),
        (
            json!({ "telemetry": { "otlpEndpoint": "https://collector.example.com/otlp" } }),
            // This port is open to production-service already, because factories listen on it.
            "sales, restock, access, frontend -> anyone tcp/443",
            "",
        ),
        (
            json!({ "entrances": { "operations": { "enabled": true } }, "networkPolicy": { "peers": { "operationsEntrance": pods("gate") } } }),
            "",
            "[gate] -> sales tcp/8080
             [gate] -> production tcp/8180
             [gate] -> restock tcp/8280
             [gate] -> access tcp/8380",
        ),
        (
            at("networkPolicy.peers.operators", pods("console")),
            "",
            "[console] -> sales tcp/8080
             [console] -> production tcp/8180
             [console] -> restock tcp/8280
             [console] -> access tcp/8380
             [console] -> frontend tcp/8480",
        ),
        (
            json!({ "entrances": { "console": { "enabled": true } }, "networkPolicy": { "peers": { "consoleEntrance": pods("gate") } } }),
            "",
            "[gate] -> frontend tcp/8480",
        ),
        (
            json!({ "production": { "autoscaling": { "kind": "KEDA", "keda": { "existingSecret": "keda" } } }, "networkPolicy": { "peers": { "keda": pods("keda") } } }),
            "",
            "[keda] -> postgresql tcp/5432
             [keda] -> rabbitmq tcp/15672",
        ),
        (at("networkPolicy.factoryPorts", json!([443, 80, 8443])), "production -> anyone tcp/8443", ""),
        (
            json!({
                "access": { "identityProviderSecret": "login", "settings": { "oidc": { "issuer": "https://login.example:8443" } } },
                "networkPolicy": { "peers": { "identityProvider": pods("login") } },
            }),
            "access -> [login] tcp/8443",
            "",
        ),
    ] {
        let edges = Edges::of(&engine.render(&values));
        assert_eq!(&edges.out - &plain.out, table(out), "{values}");
        assert_eq!(&edges.into - &plain.into, table(into), "{values}");
    }
}

// Control: shop-alone.
#[test]
fn a_frontend_without_a_console_reaches_no_operators_port() {
    let mut engine = Engine::start();
    let rendered = engine.render(&at("frontend.settings.console.enabled", json!(false)));
    let edges = Edges::of(&rendered);
    let between: BTreeSet<&String> = edges.out.iter().filter(|edge| edge.starts_with("frontend -> ")).collect();
    let expected =
        table("frontend -> sales tcp/8081\n frontend -> rabbitmq tcp/5672\n frontend -> anyone udp/53 tcp/53");
    assert_eq!(between, expected.iter().collect());
    assert!(!edges.into.iter().any(|edge| edge.starts_with("frontend -> ") && !between.contains(edge)));
    // It has no credential for them either.
    let pod = &rendered.get("Deployment", "frontend")["spec"]["template"]["spec"];
    assert!(!pod.to_string().contains("program-credential"), "{pod}");
}

/// Pods with no policy, or with more than one.
pub(super) fn not_in_one_policy(rendered: &Rendered) -> Vec<(String, usize)> {
    let policies = rendered.of_kind("NetworkPolicy");
    let count = |pod: &super::objects::Pod<'_>| {
        policies.iter().filter(|policy| selects(&policy["spec"]["podSelector"], &pod.labels())).count()
    };
    rendered.pods().iter().map(|pod| (pod.owner.clone(), count(pod))).filter(|(_, count)| *count != 1).collect()
}

/// Edges between pods of the release that only one of the two sides allows.
pub(super) fn one_sided(rendered: &Rendered) -> BTreeSet<String> {
    let edges = Edges::of(rendered);
    &inside(rendered, &edges.out) ^ &inside(rendered, &edges.into)
}

#[test]
fn each_pod_has_exactly_one_policy() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let full = json!({ "tests": { "enabled": true }, "auth": { "operatorTokenSecret": "token" } });
    for values in [evaluation(), production.clone(), merged(&production, &full)] {
        let rendered = engine.render(&values);
        assert_eq!(not_in_one_policy(&rendered), []);
        assert_eq!(one_sided(&rendered), BTreeSet::new());
        let components: BTreeSet<String> = rendered.pods().into_iter().map(|pod| pod.component).collect();
        assert_eq!(
            rendered.of_kind("NetworkPolicy").len(),
            components.len(),
            "no policy is for pods that do not exist"
        );
    }
    let without = engine.render(&at("networkPolicy.enabled", json!(false)));
    assert!(without.of_kind("NetworkPolicy").is_empty());
}
