//! Entrances from outside: each exposes exactly its paths, and leads to a port that serves nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    engine::Engine,
    objects::{Rendered, labels, list, selects},
    values::{at, evaluation, merged, with_operators_pods},
};

/// `host path -> component port` of every Ingress and HTTPRoute, with the port's name and number in the pod.
fn ways(rendered: &Rendered) -> BTreeSet<String> {
    let mut ways = BTreeSet::new();
    for ingress in rendered.of_kind("Ingress") {
        assert!(ingress["spec"]["defaultBackend"].is_null());
        for rule in list(&ingress["spec"]["rules"]) {
            let host = rule["host"].as_str().expect("a host: without one it would be every host");
            for path in list(&rule["http"]["paths"]) {
                let service = &path["backend"]["service"];
                let to = leads_to(rendered, service["name"].as_str().unwrap(), &service["port"]["name"]);
                assert_eq!(path["pathType"], "Prefix");
                ways.insert(format!("{host} {} -> {to}", path["path"].as_str().unwrap()));
            }
        }
    }
    for route in rendered.of_kind("HTTPRoute") {
        for host in list(&route["spec"]["hostnames"]) {
            for rule in list(&route["spec"]["rules"]) {
                for backend in list(&rule["backendRefs"]) {
                    let to = leads_to(rendered, backend["name"].as_str().unwrap(), &backend["port"]);
                    for matched in list(&rule["matches"]) {
                        assert_eq!(matched["path"]["type"], "PathPrefix");
                        let path = matched["path"]["value"].as_str().unwrap();
                        ways.insert(format!("{} {path} -> {to}", host.as_str().unwrap()));
                    }
                }
            }
        }
    }
    ways
}

/// The component behind a Service's port, with the name and number of the container's port.
fn leads_to(rendered: &Rendered, service: &str, port: &Value) -> String {
    let service = rendered.of_kind("Service").into_iter().find(|one| one["metadata"]["name"] == service).unwrap();
    let of_service = |one: &&Value| one["name"] == *port || one["port"] == *port;
    let port = list(&service["spec"]["ports"]).iter().find(of_service).expect("the Service has that port");
    let wanted = json!({ "matchLabels": service["spec"]["selector"] });
    let pods = rendered.pods();
    let behind: Vec<_> = pods.iter().filter(|pod| selects(&wanted, &labels(&pod.metadata["labels"]))).collect();
    assert_eq!(behind.len(), 1, "one kind of pod is behind a Service");
    let ports = list(&behind[0].containers()[0]["ports"]);
    let port = ports.iter().find(|one| one["name"] == port["targetPort"]).expect("the container has that port");
    format!("{} {} {}", behind[0].component, port["name"].as_str().unwrap(), port["containerPort"])
}

fn set<const N: usize>(ways: [&str; N]) -> BTreeSet<String> {
    ways.into_iter().map(str::to_owned).collect()
}

#[test]
fn two_entrances_show_exactly_their_paths() {
    let mut engine = Engine::start();
    assert_eq!(
        ways(&engine.render(&evaluation())),
        set([
            "shop.jaego.local /api/v1/products -> sales public 8081",
            "shop.jaego.local /api/v1/orders -> sales public 8081",
            "shop.jaego.local / -> frontend public 8481",
            "factory.jaego.local / -> restock public 8281",
        ])
    );
    let production = engine.values("values-production.yaml");
    let rendered = engine.render(&production);
    assert_eq!(
        ways(&rendered),
        set([
            "shop.example.com /api/v1/products -> sales public 8081",
            "shop.example.com /api/v1/orders -> sales public 8081",
            "shop.example.com / -> frontend public 8481",
            "factory.example.com / -> restock public 8281",
        ])
    );
    assert!(rendered.of_kind("Ingress").is_empty());
}

#[test]
fn each_entrance_may_be_off() {
    let mut engine = Engine::start();
    let without_shop = engine.render(&at("entrances.shop.enabled", json!(false)));
    assert_eq!(ways(&without_shop), set(["factory.jaego.local / -> restock public 8281"]));
    let elsewhere = merged(
        &at("entrances.factory.enabled", json!(false)),
        &at("production.callbackBaseUrl", json!("https://elsewhere.example.com")),
    );
    let hosts: BTreeSet<String> =
        ways(&engine.render(&elsewhere)).iter().map(|way| way.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(hosts, set(["shop.jaego.local"]));
}

#[test]
fn without_the_frontend_the_shop_is_products_and_orders() {
    let mut engine = Engine::start();
    for kind in ["Ingress", "HTTPRoute"] {
        let shop = json!({ "kind": kind, "httpRoute": { "parentRefs": [{ "name": "outside" }] } });
        let rendered = engine.render(&merged(&at("frontend.enabled", json!(false)), &at("entrances.shop", shop)));
        assert_eq!(
            ways(&rendered),
            set([
                "shop.jaego.local /api/v1/products -> sales public 8081",
                "shop.jaego.local /api/v1/orders -> sales public 8081",
                "factory.jaego.local / -> restock public 8281",
            ])
        );
        assert!(rendered.names().iter().all(|name| !name.contains("frontend") || name.starts_with("Secret ")));
    }
}

#[test]
fn the_console_has_an_entrance_only_when_it_is_wanted() {
    let mut engine = Engine::start();
    for kind in ["Ingress", "HTTPRoute"] {
        for (tls, secure) in [(json!({}), false), (json!({ "enabled": true, "endsBefore": true }), true)] {
            let console = json!({
                "enabled": true, "kind": kind, "tls": tls, "httpRoute": { "parentRefs": [{ "name": "inside" }] },
            });
            let rendered = engine.render(&with_operators_pods(at("entrances.console", console)));
            let more: BTreeSet<String> =
                ways(&rendered).difference(&ways(&engine.render(&evaluation()))).cloned().collect();
            assert_eq!(more, set(["console.jaego.local / -> frontend api 8480"]));
            // A browser would not send a secure cookie back over http.
            let config = rendered.get("ConfigMap", "frontend")["data"]["config.toml"].as_str().unwrap();
            assert_eq!(engine.toml(config)["session"]["secure"], secure);
        }
    }
    let rendered = engine.render(&evaluation());
    let config = rendered.get("ConfigMap", "frontend")["data"]["config.toml"].as_str().unwrap();
    assert_eq!(engine.toml(config)["session"]["secure"], true);
}

#[test]
fn operators_have_an_entrance_only_when_they_want_one() {
    let mut engine = Engine::start();
    for kind in ["Ingress", "HTTPRoute"] {
        let wanted = at(
            "entrances.operations",
            json!({ "enabled": true, "kind": kind, "httpRoute": { "parentRefs": [{ "name": "inside" }] } }),
        );
        let wanted = with_operators_pods(wanted);
        let more: BTreeSet<String> =
            ways(&engine.render(&wanted)).difference(&ways(&engine.render(&evaluation()))).cloned().collect();
        assert_eq!(
            more,
            set([
                "sales.jaego.local / -> sales api 8080",
                "production.jaego.local / -> production api 8180",
                "restock.jaego.local / -> restock api 8280",
                "access.jaego.local / -> access api 8380",
            ])
        );
    }
}

#[test]
fn certificates_and_gateways_are_those_of_the_values() {
    let mut engine = Engine::start();
    let with_tls = json!({ "entrances": { "factory": { "tls": { "enabled": true, "secretName": "certificate" } } } });
    let rendered = engine.render(&with_tls);
    let tls = &rendered.get("Ingress", "factory")["spec"]["tls"];
    assert_eq!(*tls, json!([{ "hosts": ["factory.jaego.local"], "secretName": "certificate" }]));
    // The address that production-service gives to factories changes with it.
    let config = rendered.get("ConfigMap", "production")["data"]["config.toml"].as_str().unwrap();
    assert!(config.contains(r#"base_url = "https://factory.jaego.local""#), "{config}");

    let production = engine.values("values-production.yaml");
    let route = engine.render(&production).get("HTTPRoute", "factory").clone();
    assert_eq!(route["spec"]["parentRefs"], production["entrances"]["factory"]["httpRoute"]["parentRefs"]);
}

#[test]
fn programs_know_the_proxies_in_front() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    for (values, hops, networks) in [
        (evaluation(), 1, json!([])),
        (production, 1, json!([])),
        (at("entrances.trustedHops", json!(2)), 2, json!([])),
        (at("entrances.trustedProxies", json!(["10.1.2.0/24"])), 0, json!(["10.1.2.0/24"])),
    ] {
        let rendered = engine.render(&values);
        for component in ["sales", "production", "restock", "access", "frontend"] {
            let config = rendered.get("ConfigMap", component)["data"]["config.toml"].as_str().unwrap();
            let http = &engine.toml(config)["http"];
            assert_eq!((&http["trusted_hops"], &http["trusted_proxies"]), (&json!(hops), &networks), "{component}");
        }
    }
}

// Control: https-only.
#[test]
fn an_entrance_with_tls_is_for_https_only() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let hsts = |rendered: &Rendered, route: &str| {
        let rules = list(&rendered.get("HTTPRoute", route)["spec"]["rules"]).to_vec();
        let sent = rules.iter().map(|rule| rule["filters"][0]["responseHeaderModifier"]["set"][0].clone());
        sent.collect::<Vec<_>>()
    };
    let max_age = |engine: &mut Engine, rendered: &Rendered| {
        let config = rendered.get("ConfigMap", "frontend")["data"]["config.toml"].as_str().unwrap();
        engine.toml(config)["pages"]["hsts_max_age_s"].clone()
    };
    let rendered = engine.render(&production);
    for route in ["shop", "factory"] {
        for header in hsts(&rendered, route) {
            assert_eq!(header, json!({ "name": "Strict-Transport-Security", "value": "max-age=31536000" }), "{route}");
        }
    }
    assert_eq!(max_age(&mut engine, &rendered), 31_536_000);
    let without = engine.render(&merged(&production, &at("entrances.hstsMaxAgeSeconds", json!(0))));
    assert!(hsts(&without, "shop").iter().all(Value::is_null));
    assert_eq!(max_age(&mut engine, &without), 0);
    let plain = engine.render(&evaluation());
    assert_eq!(max_age(&mut engine, &plain), 0, "no entrance is reached over https");
}

#[test]
fn envoy_gateway_bounds_the_shop_and_never_refuses_a_callback() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    assert!(engine.render(&production).of_kind("BackendTrafficPolicy").is_empty());
    let rendered = engine.render(&merged(&production, &at("entrances.envoyGateway.enabled", json!(true))));
    let policies = rendered.of_kind("BackendTrafficPolicy");
    assert_eq!(policies.len(), 2);
    for policy in policies {
        let target = &policy["spec"]["targetRefs"][0];
        assert_eq!((&target["kind"], &target["name"]), (&json!("HTTPRoute"), &policy["metadata"]["name"]));
    }
    let shop = &rendered.get("BackendTrafficPolicy", "shop")["spec"];
    let rules = list(&shop["rateLimit"]["local"]["rules"]);
    let networks: Vec<&Value> = rules.iter().map(|rule| &rule["clientSelectors"][0]["sourceCIDR"]).collect();
    let each = |network: &str| json!({ "type": "Distinct", "value": network });
    assert_eq!(networks, [&each("0.0.0.0/0"), &each("::/0")]);
    assert_eq!(shop["timeout"]["http"]["requestTimeout"], "0s", "live events go on");
    let factory = &rendered.get("BackendTrafficPolicy", "factory")["spec"];
    assert!(factory["rateLimit"].is_null());
    // It waits longer than restock-service holds a callback.
    assert_eq!(factory["timeout"]["http"]["requestTimeout"], "45s");
}
