//! Every allowed choice renders, and an API server would accept it.

use serde_json::{Value, json};

use super::{
    engine::{Engine, INSTALL, RELEASE, Release},
    objects::name,
    values::{evaluation, merged, switches},
};

/// Kinds of RabbitMQ's cluster and topology operators. Their schemas are in those repositories, but in no package.
const WITHOUT_SCHEMA: [&str; 6] = ["RabbitmqCluster", "Vhost", "User", "Permission", "TopicPermission", "Policy"];

#[test]
fn lint_finds_nothing_but_a_missing_icon() {
    let mut engine = Engine::start();
    for values in [evaluation(), engine.values("values-production.yaml")] {
        let found: Vec<Value> = engine.lint(&values).into_iter().map(|message| message["error"].clone()).collect();
        // An icon would not be shown anywhere, because the chart is not in a catalogue.
        assert_eq!(found, [json!("icon is recommended")]);
    }
}

#[test]
fn both_modes_install_and_upgrade() {
    let mut engine = Engine::start();
    for values in [evaluation(), engine.values("values.yaml"), engine.values("values-production.yaml")] {
        for upgrade in [false, true] {
            let release = Release { upgrade, revision: if upgrade { 7 } else { 1 }, ..INSTALL };
            let rendered = engine.try_render(&values, &release).unwrap();
            assert_eq!(engine.problems(rendered.all()), [""; 0], "upgrade: {upgrade}");
            assert!(rendered.all().iter().all(|one| one["metadata"]["namespace"] == super::engine::NAMESPACE));
        }
    }
}

#[test]
fn every_switch_can_be_thrown() {
    let mut engine = Engine::start();
    let schema = engine.read_one("helm/jaego/values.schema.json");
    let production = engine.values("values-production.yaml");
    let switches = switches(&schema);
    assert!(switches.len() > 60, "of the schema's switches only {} were found", switches.len());
    // With the same secrets each time, the objects that a switch does not change are identical and are validated
    // once.
    let first = engine.render(&evaluation());
    engine.cluster(first.all());
    let release = Release { in_cluster: true, ..INSTALL };
    for (what, values) in &switches {
        // In production the servers are external in any case.
        let both = [evaluation(), production.clone()];
        let modes = if what.ends_with("bundled: true") { &both[..1] } else { &both };
        for mode in modes {
            let values = merged(mode, values);
            let rendered = engine.try_render(&values, &release).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
            assert_eq!(engine.problems(rendered.all()), [""; 0], "{what}");
        }
    }
}

#[test]
fn names_of_releases_fit() {
    let mut engine = Engine::start();
    let longest = "x".repeat(53);
    for name in [RELEASE, "true", "null", "e1", "shop", longest.as_str()] {
        let rendered = engine.try_render(&evaluation(), &Release { name, ..INSTALL }).unwrap();
        assert_eq!(engine.problems(rendered.all()), [""; 0], "{name}");
        // The Jobs before an upgrade have the longest names.
        engine.cluster(rendered.all());
        let upgrade = Release { name, revision: 2, upgrade: true, in_cluster: true };
        let rendered = engine.try_render(&evaluation(), &upgrade).unwrap();
        assert_eq!(engine.problems(rendered.all()), [""; 0], "{name}, upgraded");
    }
    for name in ["7", "1shop", "a.b"] {
        let refusal = engine.try_render(&evaluation(), &Release { name, ..INSTALL }).err().unwrap_or_default();
        assert!(refusal.contains("set fullnameOverride"), "{name}: {refusal}");
        let values = json!({ "fullnameOverride": "jaego" });
        let rendered = engine.try_render(&values, &Release { name, ..INSTALL }).unwrap();
        assert_eq!(engine.problems(rendered.all()), [""; 0], "{name}");
    }
}

#[test]
fn a_mistake_is_found() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let rendered = engine.render(&production);
    let spoilt = |kind: &str, object: &str, pointer: &str, value: Value| {
        let mut object = rendered.get(kind, object).clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    };
    for (kind, object, pointer, value, found) in [
        ("Deployment", "sales", "/spec/strategy/rollingUpdat", json!({}), "'rollingUpdat' was unexpected"),
        ("Deployment", "sales", "/spec/replicas", json!("two"), "'two' is not of type 'integer'"),
        ("Deployment", "sales", "/metadata/labels/x", json!(true), "label x is no text"),
        ("Deployment", "sales", "/apiVersion", json!("apps/v1beta1"), "there is no apps/v1beta1 Deployment"),
        ("NetworkPolicy", "sales", "/spec/podSelektor", json!({}), "'podSelektor' was unexpected"),
        ("ScaledObject", "sales", "/spec/maxReplicas", json!(3), "there is no field maxReplicas"),
        ("ScaledObject", "sales", "/spec/minReplicaCount", json!("3"), "must be integer"),
        ("HTTPRoute", "shop", "/spec/rules/0/backendRef", json!([]), "there is no field backendRef"),
        ("PodMonitor", "sales", "/spec/podMetricsEndpoints/0/interval", json!("often"), "must match pattern"),
        ("Deployment", "sales", "/kind", json!("Deploymint"), "there is no apps/v1 Deploymint"),
        ("PodMonitor", "sales", "/kind", json!("PadMonitor"), "there is no schema for"),
    ] {
        let problems = engine.problems(&[spoilt(kind, object, pointer, value)]).join("\n");
        assert!(problems.contains(found), "{kind} {pointer}: {problems:?}");
    }
}

#[test]
fn resources_of_the_cluster_are_valid() {
    let mut engine = Engine::start();
    let files = [
        "k8s/namespace.yaml",
        "k8s/default-deny.yaml",
        "k8s/gateway/gateway.yaml",
        "k8s/postgresql/cluster.yaml",
        "k8s/postgresql/network-policy.yaml",
        "k8s/rabbitmq/cluster.yaml",
        "k8s/rabbitmq/network-policy.yaml",
        "k8s/rabbitmq/users.yaml",
    ];
    let objects: Vec<Value> = files.iter().flat_map(|file| engine.read(file)).collect();
    let (without, with): (Vec<Value>, Vec<Value>) =
        objects.into_iter().partition(|one| one["apiVersion"] == "rabbitmq.com/v1beta1");
    for one in &without {
        assert!(WITHOUT_SCHEMA.contains(&one["kind"].as_str().unwrap()), "{}", name(one));
    }
    assert!(with.len() >= 10, "only {} objects", with.len());
    assert_eq!(engine.problems(&with), [""; 0]);
}
