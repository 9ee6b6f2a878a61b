//! Installing, upgrading, changing and stopping.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    engine::{Engine, INSTALL, Release},
    objects::{Rendered, list, name, texts},
    values::{at, default_toml, evaluation, merged},
};

const SERVICES: [&str; 5] = ["sales", "production", "restock", "access", "frontend"];

#[test]
fn jobs_are_plain_on_install_and_come_first_on_upgrade() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let migrations = ["migrate-access", "migrate-production", "migrate-restock", "migrate-sales"];
    for (values, jobs) in [
        (evaluation(), [&["database"], &migrations[..], &["topology"]].concat()),
        (production, [&migrations[..], &["topology"]].concat()),
    ] {
        let installed = engine.render(&values);
        let wanted: Vec<String> = jobs.iter().map(|job| format!("Job jaego-{job}-1")).collect();
        let names = |rendered: &Rendered| -> Vec<String> {
            rendered.names().into_iter().filter(|name| name.starts_with("Job ")).collect()
        };
        assert_eq!(names(&installed), wanted);
        // A hook before the installation would wait for servers that are part of it.
        assert!(installed.of_kind("Job").iter().all(|job| job["metadata"]["annotations"].is_null()));

        let upgraded = engine.try_render(&values, &Release { revision: 4, upgrade: true, ..INSTALL }).unwrap();
        let wanted: Vec<String> = jobs.iter().map(|job| format!("Job jaego-{job}-upgrade")).collect();
        assert_eq!(names(&upgraded), wanted);
        let weight = |job: &str| -> i64 {
            let annotations = &upgraded.get("Job", &format!("{job}-upgrade"))["metadata"]["annotations"];
            assert_eq!(annotations["helm.sh/hook"], "pre-upgrade", "{job}");
            annotations["helm.sh/hook-weight"].as_str().unwrap().parse().unwrap()
        };
        let weights: Vec<i64> = jobs.iter().map(|job| weight(job)).collect();
        // The database Job runs before the Jobs that use its roles, and queues exist before their consumers.
        assert!(weight("topology") < weights.iter().copied().max().unwrap());
        assert!(!jobs.contains(&"database") || weight("database") < weight("topology"));
        for job in upgraded.of_kind("Job") {
            assert!(job["spec"]["activeDeadlineSeconds"].as_i64().unwrap() > 0, "{}", name(job));
            assert!(texts(&job["spec"]["template"]["spec"]["containers"][0]["args"]).contains(&"--wait-s"));
        }
    }
}

#[test]
fn a_hook_reads_nothing_that_the_upgrade_would_bring() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    for values in [evaluation(), production] {
        let upgraded = engine.try_render(&values, &Release { revision: 2, upgrade: true, ..INSTALL }).unwrap();
        for job in upgraded.of_kind("Job") {
            let volumes = list(&job["spec"]["template"]["spec"]["volumes"]);
            let owners = upgraded.of_kind("Secret").into_iter().find(|one| one["metadata"]["name"] == "jaego-owners");
            let first =
                owners.map_or("-99", |one| one["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().unwrap());
            let own = job["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().unwrap();
            assert!(first.parse::<i64>().unwrap() < own.parse().unwrap(), "{}", name(job));
            assert!(volumes.iter().all(|volume| volume["configMap"].is_null()), "{}", name(job));
        }
    }
}

#[test]
fn where_nothing_is_installed_by_helm_jobs_are_always_hooks() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let rendered = engine.render(&merged(&production, &at("jobs.hooks", json!("always"))));
    let jobs = rendered.of_kind("Job");
    assert!(jobs.len() >= 4);
    for job in jobs {
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade", "{}", name(job));
    }
    let refused = engine.try_render(&at("jobs.hooks", json!("always")), &INSTALL).err().unwrap();
    assert!(refused.contains("jobs.hooks is always") && refused.contains("postgresql.bundled"), "{refused}");
}

#[test]
fn nothing_else_is_a_hook() {
    let mut engine = Engine::start();
    let upgraded = engine.try_render(&evaluation(), &Release { revision: 2, upgrade: true, ..INSTALL }).unwrap();
    for one in upgraded.all() {
        let hook = one["metadata"]["annotations"]["helm.sh/hook"].as_str();
        let wanted = match (one["kind"].as_str().unwrap(), one["metadata"]["name"].as_str().unwrap()) {
            ("Job", _) => Some("pre-upgrade"),
            // The Jobs read it, also in the upgrade that brings it.
            ("Secret", "jaego-owners") => Some("pre-install,pre-upgrade"),
            (_, "jaego-test") if one["kind"] == "Pod" || one["kind"] == "Service" => Some("test"),
            _ => None,
        };
        assert_eq!(hook, wanted, "{}", name(one));
    }
}

/// Names of objects that differ.
fn changed(before: &Rendered, after: &Rendered) -> BTreeSet<String> {
    assert_eq!(before.names(), after.names());
    let pairs = before.all().iter().zip(after.all());
    pairs.filter(|(before, after)| before != after).map(|(before, _)| name(before)).collect()
}

#[test]
fn a_changed_setting_renews_the_pods_that_read_it_and_no_other() {
    let mut engine = Engine::start();
    let first = engine.render(&evaluation());
    engine.cluster(first.all());
    let again = Release { revision: 2, upgrade: true, in_cluster: true, ..INSTALL };
    let before = engine.try_render(&evaluation(), &again).unwrap();
    let unchanged = engine.try_render(&evaluation(), &again).unwrap();
    assert_eq!(changed(&before, &unchanged), BTreeSet::new());
    for (values, services) in [
        (at("sales.settings.database.pool_size", json!(7)), &["sales"][..]),
        (at("production.settings.telemetry.log", json!("debug")), &["production"]),
        (at("restock.settings.amqp.prefetch", json!(8)), &["restock"]),
        (at("access.settings.sessions.ttl_s", json!(600)), &["access"]),
        (at("frontend.settings.live.clients_max", json!(7)), &["frontend"]),
        (at("production.callbackBaseUrl", json!("https://f.example.com")), &["production"]),
        (at("entrances.factory.allowedSources", json!(["192.0.2.0/24"])), &["restock"]),
    ] {
        let after = engine.try_render(&values, &again).unwrap();
        let wanted: BTreeSet<String> = services
            .iter()
            .flat_map(|service| [format!("ConfigMap jaego-{service}"), format!("Deployment jaego-{service}")])
            .collect();
        assert_eq!(changed(&before, &after), wanted, "{values}");
        for service in services {
            let of = |rendered: &Rendered| {
                rendered.get("Deployment", service)["spec"]["template"]["metadata"]["annotations"].clone()
            };
            assert_ne!(of(&before)["checksum/config"], of(&after)["checksum/config"]);
            assert_eq!(of(&before)["checksum/secrets"], of(&after)["checksum/secrets"]);
        }
    }
}

#[test]
fn pods_have_time_to_stop() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let slow = json!({ "shutdown": { "pre_stop_ms": 7000, "drain_ms": 61_500 } });
    let all = |settings: &Value| json!({ "sales": { "settings": settings }, "production": { "settings": settings }, "restock": { "settings": settings }, "access": { "settings": settings }, "frontend": { "settings": settings } });
    let by_default = json!({ "shutdown": null });
    for values in [evaluation(), production.clone(), all(&slow), merged(&production, &all(&slow)), all(&by_default)] {
        let rendered = engine.render(&values);
        for service in SERVICES {
            let defaults = engine.read_one(&default_toml(service));
            let config = rendered.get("ConfigMap", service)["data"]["config.toml"].as_str().unwrap();
            let config = merged(&defaults, &engine.toml(config));
            let ms = |key: &str| config["shutdown"][key].as_i64().unwrap();
            let grace =
                &rendered.get("Deployment", service)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
            // Listeners, work in flight, relay: at most drain_ms for each (shared/process/src/process.rs).
            let needed = ms("pre_stop_ms") + 3 * ms("drain_ms");
            assert!(grace.as_i64().unwrap() * 1000 > needed, "{service}: {grace} s for {needed} ms");
        }
    }
}

#[test]
fn probes_use_the_admin_port() {
    let rendered = Engine::start().render(&evaluation());
    for (service, admin) in SERVICES.into_iter().zip([9080, 9180, 9280, 9380, 9480]) {
        let container = &rendered.get("Deployment", service)["spec"]["template"]["spec"]["containers"][0];
        for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "admin" }), "{service} {probe}");
        }
        let port = list(&container["ports"]).iter().find(|port| port["name"] == "admin").unwrap();
        assert_eq!(port["containerPort"], admin);
        let ports = list(&rendered.get("Service", service)["spec"]["ports"]);
        assert!(ports.iter().all(|port| port["name"] != "admin"), "{service}: the admin port is behind no Service");
    }
}

#[test]
fn production_brings_no_server() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let rendered = engine.render(&production);
    let about_servers: Vec<String> = rendered
        .names()
        .into_iter()
        .filter(|name| name.contains("postgresql") || name.contains("rabbitmq") || name.contains("database"))
        .collect();
    assert_eq!(about_servers, [""; 0]);
    for kind in ["StatefulSet", "Secret", "PersistentVolumeClaim"] {
        assert!(rendered.of_kind(kind).is_empty(), "{kind}");
    }
    assert!(!rendered.notes.contains("EVALUATION"));
    let evaluation = engine.render(&evaluation());
    assert_eq!(evaluation.of_kind("StatefulSet").len(), 2);
    for server in evaluation.of_kind("StatefulSet") {
        let purpose = server["metadata"]["annotations"]["jaego.io/purpose"].as_str().unwrap();
        assert!(purpose.contains("not for production"), "{}", name(server));
    }
    assert!(evaluation.notes.contains("not for production"));
}

#[test]
fn every_image_has_its_own_place_and_one_registry_can_replace_all() {
    let mut engine = Engine::start();
    let images = |rendered: &Rendered| -> BTreeSet<String> {
        let pods = rendered.pods();
        let of_pods = pods
            .iter()
            .flat_map(|pod| pod.containers().into_iter().map(|one| one["image"].clone()).collect::<Vec<_>>());
        of_pods.map(|image| image.as_str().unwrap().to_owned()).collect()
    };
    let plain = images(&engine.render(&evaluation()));
    assert_eq!(plain.len(), 9, "{plain:?}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(plain.contains(&format!("ghcr.io/jaego/jaego-sales-service:{version}")), "{plain:?}");
    let mirrored = images(&engine.render(&at("global.imageRegistry", json!("mirror.example.com:5000"))));
    let moved: BTreeSet<String> =
        plain.iter().map(|image| format!("mirror.example.com:5000/{}", image.split_once('/').unwrap().1)).collect();
    assert_eq!(mirrored, moved);
    let digest = format!("sha256:{}", "a".repeat(64));
    for component in ["sales", "production", "restock", "access", "frontend", "postgresql", "rabbitmq", "jobs", "tests"]
    {
        let image = json!({ "registry": "r.example.com", "repository": "x/y", "tag": "9", "digest": digest, "pullPolicy": "Always", "pullSecrets": ["key"] });
        let rendered = engine.render(&at(&format!("{component}.image"), image));
        let own = format!("r.example.com/x/y@{digest}");
        let pods = rendered.pods();
        let pods: Vec<_> = pods.iter().filter(|pod| pod.containers()[0]["image"] == own.as_str()).collect();
        assert!(!pods.is_empty(), "{component}");
        for pod in pods {
            assert_eq!(pod.containers()[0]["imagePullPolicy"], "Always", "{component}");
            assert_eq!(pod.spec["imagePullSecrets"], json!([{ "name": "key" }]), "{component}");
        }
    }
}
