//! Any combination of allowed values renders, would be accepted by an API server, and has a consistent network.

use std::{cell::RefCell, collections::BTreeSet};

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::{
    engine::{Engine, INSTALL, Release},
    network::{not_in_one_policy, one_sided},
    values::{merged, with_operators_pods},
};

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("on".to_owned()),
        Just("null".to_owned()),
        Just("a0".to_owned()),
        vec(select(b"abcxyz019-".to_vec()), 0..30)
            .prop_map(|middle| format!("n{}z", String::from_utf8(middle).unwrap())),
    ]
}

fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<[u8; 4]>(), 0..=32_u8).prop_map(|([a, b, c, d], bits)| format!("{a}.{b}.{c}.{d}/{bits}")),
        (any::<u16>(), 0..=128_u8).prop_map(|(word, bits)| format!("2001:db8:{word:x}::/{bits}")),
    ]
}

/// Labels whose values YAML would take for another type.
fn labels() -> impl Strategy<Value = Value> {
    let values = select(vec!["", "true", "1", "1e3", "null", "a_b.c", "0x1f", "no"]);
    let keys = select(vec![
        "team",
        "example.com/cost-centre",
        "y",
        "app.kubernetes.io/part-of",
        "app.kubernetes.io/component",
    ]);
    vec((keys, values), 0..3)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect())
}

fn annotations() -> impl Strategy<Value = Value> {
    let values =
        select(vec!["", "true", "12", "{\"a\": [1]}", "two\nlines", "a: b # c", "\"quoted\"", "{{ .Values }}"]);
    vec((select(vec!["example.com/a", "b"]), values), 0..3)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect())
}

fn peers() -> impl Strategy<Value = Value> {
    let peer = prop_oneof![
        network().prop_map(|cidr| json!({ "ipBlock": { "cidr": cidr } })),
        labels().prop_map(|labels| json!({ "podSelector": { "matchLabels": labels } })),
        labels().prop_map(|labels| json!({ "namespaceSelector": { "matchLabels": labels }, "podSelector": {} })),
    ];
    // Pods outside the release: `{}` would also select the release's own.
    vec(peer, 0..3).prop_map(|peers| {
        let foreign = |peer: Value| match peer.get("podSelector") {
            Some(_) if peer.get("namespaceSelector").is_none() => {
                merged(&peer, &json!({ "podSelector": { "matchLabels": { "app": "other" } } }))
            }
            _ => peer,
        };
        peers.into_iter().map(foreign).collect()
    })
}

fn placement() -> impl Strategy<Value = Value> {
    (word(), labels(), any::<bool>()).prop_map(|(class, nodes, tolerate)| {
        let tolerations =
            if tolerate { json!([{ "key": "spot", "operator": "Exists", "effect": "NoSchedule" }]) } else { json!([]) };
        json!({ "priorityClassName": class, "nodeSelector": nodes, "tolerations": tolerations })
    })
}

fn image() -> impl Strategy<Value = Value> {
    (option::of("[a-z][a-z0-9]{0,8}(\\.[a-z]{2,3})?(:[1-9][0-9]{1,3})?"), option::of("[0-9][0-9.]{0,6}"), any::<bool>(), vec(word(), 0..3)).prop_map(
        |(registry, tag, digest, secrets)| {
            let digest = if digest { format!("sha256:{}", "0".repeat(64)) } else { String::new() };
            json!({ "registry": registry.unwrap_or_default(), "tag": tag.unwrap_or_default(), "digest": digest, "pullSecrets": secrets })
        },
    )
}

fn settings(with_more: bool) -> impl Strategy<Value = Value> {
    let log = select(vec!["info", "debug", "info,jaego_postbox::relay=debug", "a\"b\\c\n"]);
    (1..100_i64, 0..3_000_000_i64, log, vec("[0-9]{1,6}", 1..4), any::<bool>()).prop_map(move |(pool, drain, log, delays, shutdown)| {
        let mut settings = json!({ "database": { "pool_size": pool }, "telemetry": { "log": log }, "amqp": { "retry_delays_ms": delays } });
        if shutdown || with_more {
            settings["shutdown"] = json!({ "drain_ms": drain });
        }
        settings
    })
}

fn access() -> impl Strategy<Value = Value> {
    service(&["none", "HPA"]).prop_map(|mut values| {
        // It has no broker, so fewer settings than the others.
        values["settings"] = json!({ "telemetry": values["settings"]["telemetry"] });
        values
    })
}

fn frontend() -> impl Strategy<Value = Value> {
    (service(&["none", "HPA"]), any::<bool>(), 1..100_i64).prop_map(|(mut values, enabled, clients)| {
        let log = values["settings"]["telemetry"].clone();
        values["settings"] = json!({ "telemetry": log, "live": { "clients_max": clients } });
        values["enabled"] = json!(enabled);
        values
    })
}

fn service(kinds: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let scaling = (select(kinds.to_vec()), 1..20_u32, 0..20_u32, 1..=100_u32);
    let pods = (1..=100_u32, any::<prop::sample::Index>());
    let rest = (placement(), image(), settings(false), labels(), annotations(), annotations());
    (scaling, pods, rest).prop_map(|((kind, least, more, percent), (replicas, budget), rest)| {
        let (placement, image, settings, labels, of_pods, of_service) = rest;
        let few = if kind == "none" { replicas } else { least };
        let values = json!({
            "replicas": replicas,
            "autoscaling": { "kind": kind, "minReplicas": least, "maxReplicas": least + more, "cpuPercent": percent },
            "podDisruptionBudget": { "minAvailable": budget.index(few as usize) },
            "image": image, "settings": settings, "podLabels": labels, "podAnnotations": of_pods, "serviceAnnotations": of_service,
        });
        merged(&values, &placement)
    })
}

fn entrance(name: &'static str) -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        annotations().prop_map(
            |annotations| json!({ "kind": "Ingress", "ingress": { "className": "nginx", "annotations": annotations } })
        ),
        (word(), option::of(word()), annotations()).prop_map(|(gateway, section, annotations)| {
            let mut parent = json!({ "name": gateway });
            if let Some(section) = section {
                parent["sectionName"] = json!(section);
            }
            json!({ "kind": "HTTPRoute", "httpRoute": { "parentRefs": [parent], "annotations": annotations } })
        }),
    ];
    let tls = select(vec![
        json!({ "enabled": false }),
        json!({ "enabled": true, "secretName": "certificate" }),
        json!({ "enabled": true, "endsBefore": true }),
    ]);
    (kind, tls, any::<bool>(), "[a-z0-9]{1,9}\\.[a-z]{2,5}").prop_map(move |(kind, tls, enabled, host)| {
        let mut values = merged(&kind, &json!({ "tls": tls, "enabled": enabled }));
        match name {
            "operations" => values["hosts"] = json!({ "sales": format!("s.{host}"), "production": format!("p.{host}"), "restock": format!("r.{host}"), "access": format!("a.{host}") }),
            name => values["host"] = json!(format!("{name}.{host}")),
        }
        values
    })
}

fn values() -> impl Strategy<Value = Value> {
    let services = (
        service(&["none", "HPA", "KEDA"]),
        service(&["none", "HPA", "KEDA"]),
        service(&["none", "HPA"]),
        frontend(),
        access(),
    );
    let entrances = (
        entrance("shop"),
        entrance("factory"),
        entrance("operations"),
        vec(network(), 0..3),
        vec(network(), 0..3),
        entrance("console"),
    );
    let names = vec(
        select(vec![
            "shopEntrance",
            "factoryEntrance",
            "operationsEntrance",
            "consoleEntrance",
            "operators",
            "monitoring",
            "keda",
            "dns",
            "postgresql",
            "rabbitmq",
            "factories",
            "telemetry",
        ]),
        0..6,
    );
    let networks = (names, peers(), vec(1..=65535_u16, 1..4));
    let switches = any::<[bool; 9]>();
    let texts = (option::of(word()), option::of(word()), labels(), "[a-z]{1,9}(:[1-9][0-9]{0,3})?", placement());
    (services, entrances, networks, switches, texts).prop_map(|(services, entrances, networks, switches, texts)| {
        let [bundled_db, bundled_mq, secrets, operators, topology, tests, ca, telemetry, monitors] = switches;
        let (full, suffix, common, collector, placement) = texts;
        let mut values = json!({
            "sales": services.0, "production": services.1, "restock": services.2, "frontend": services.3, "access": services.4,
            "entrances": { "shop": entrances.0, "factory": entrances.1, "operations": entrances.2, "console": entrances.5, "trustedProxies": entrances.3 },
            "postgresql": merged(&placement, &json!({ "bundled": bundled_db, "port": networks.2[0] })),
            "rabbitmq": merged(&placement, &json!({ "bundled": bundled_mq, "topology": { "enabled": topology } })),
            "jobs": placement,
            "tests": { "enabled": tests },
            "networkPolicy": { "factoryPorts": networks.2 },
            "telemetry": { "otlpEndpoint": if telemetry { format!("http://{collector}") } else { String::new() }, "podMonitor": { "enabled": monitors, "labels": common.clone() } },
            "tls": { "caSecret": { "name": if ca { "own-ca" } else { "" } } },
            "fullnameOverride": full.unwrap_or_default(), "nameOverride": suffix.unwrap_or_default(),
            "commonLabels": common,
        });
        values["entrances"]["factory"]["allowedSources"] = json!(entrances.4);
        for name in networks.0 {
            values["networkPolicy"]["peers"][name] = networks.1.clone();
        }
        // Values that some choices require.
        if secrets || !bundled_db || !bundled_mq {
            for service in ["sales", "production", "restock", "access", "frontend"] {
                values[service]["existingSecret"] = json!(format!("{service}-urls"));
            }
        }
        if operators {
            values["auth"] = json!({ "existingSecret": "operators", "operatorTokenSecret": "token" });
        }
        if !bundled_mq {
            values["rabbitmq"]["topology"]["existingSecret"] = json!("topology");
        }
        values["production"]["autoscaling"]["keda"]["existingSecret"] = json!("keda");
        if values["frontend"]["enabled"] == false {
            values["entrances"]["console"]["enabled"] = json!(false);
        }
        if values["entrances"]["factory"]["enabled"] == false {
            values["entrances"]["shop"]["enabled"] = json!(true);
            values["production"]["callbackBaseUrl"] = json!("https://factory.example.com:8443/jaego");
        }
        with_operators_pods(values)
    })
}

#[test]
fn random_values_render_and_are_valid() {
    let engine = RefCell::new(Engine::start());
    let config = Config { cases: 60, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let inputs = (values(), any::<bool>(), 1..1000_u32);
    let outcome = TestRunner::new(config).run(&inputs, |(values, upgrade, revision)| {
        let mut engine = engine.borrow_mut();
        let release = Release { revision, upgrade, ..INSTALL };
        let rendered = engine.try_render(&values, &release).map_err(TestCaseError::fail)?;
        prop_assert_eq!(engine.problems(rendered.all()), Vec::<String>::new());
        prop_assert_eq!(not_in_one_policy(&rendered), vec![]);
        prop_assert_eq!(one_sided(&rendered), BTreeSet::new());
        for service in ["sales", "production", "restock", "access", "frontend"] {
            if values[service]["enabled"] == false {
                continue;
            }
            let component = |one: &&Value| one["metadata"]["labels"]["app.kubernetes.io/component"] == service;
            let map = rendered.of_kind("ConfigMap").into_iter().find(component).expect("a ConfigMap");
            let config = engine.toml(map["data"]["config.toml"].as_str().expect("a text"));
            // The service reads exactly the settings that were given, to the last digit and letter.
            for (section, keys) in values[service]["settings"].as_object().expect("sections") {
                for (key, value) in keys.as_object().expect("keys") {
                    prop_assert_eq!(&config[section][key], value);
                }
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
