//! Values that cannot work are refused before anything is installed, with a message that names the value and says
//! what to do.

use serde_json::{Value, json};

use super::{
    engine::{Engine, INSTALL, NAMESPACE, Release},
    values::{at, evaluation, merged},
};

#[track_caller]
fn refused(engine: &mut Engine, values: &Value, words: &[&str]) {
    let refusal = engine.try_render(values, &INSTALL).err().unwrap_or_else(|| panic!("nobody refused {values}"));
    for word in words {
        assert!(refusal.contains(word), "{word:?} is not said of {values}: {refusal}");
    }
}

#[test]
fn wrong_types_and_nonsense() {
    let mut engine = Engine::start();
    for (path, value, words) in [
        ("sales.replicas", json!("two"), ["/sales/replicas", "got string, want integer"]),
        ("sales.replicas", json!(0), ["/sales/replicas", "minimum"]),
        ("sales.replicas", json!(1.5), ["/sales/replicas", "integer"]),
        ("postgresql.bundled", json!("no"), ["/postgresql/bundled", "got string, want boolean"]),
        ("entrances.shop.kind", json!("Route"), ["/entrances/shop/kind", "'Ingress', 'HTTPRoute'"]),
        ("entrances.shop.host", json!("shop.example.com/x"), ["/entrances/shop/host", "does not match"]),
        (
            "entrances.factory.allowedSources",
            json!(["10.0.0.1"]),
            ["/entrances/factory/allowedSources/0", "does not match"],
        ),
        ("entrances.trustedHops", json!(11), ["/entrances/trustedHops", "maximum"]),
        ("entrances.trustedProxies", json!("10.0.0.0/8"), ["/entrances/trustedProxies", "want array"]),
        ("sales.image.digest", json!("latest"), ["/sales/image/digest", "does not match"]),
        ("sales.image.pullPolicy", json!("Sometimes"), ["/sales/image/pullPolicy", "'Always'"]),
        (
            "sales.resources",
            json!({ "limits": { "memory": "much" } }),
            ["/sales/resources/limits/memory", "does not match"],
        ),
        ("telemetry.otlpEndpoint", json!("collector:4317"), ["/telemetry/otlpEndpoint", "does not match"]),
        ("networkPolicy.factoryPorts", json!([]), ["/networkPolicy/factoryPorts", "minItems"]),
        ("sales.existingSecret", json!("My Secret"), ["/sales/existingSecret", "does not match"]),
        ("restock.autoscaling.kind", json!("KEDA"), ["/restock/autoscaling/kind", "'HPA'"]),
        ("sales.settings.database.pool_size", json!("many"), ["/sales/settings/database/pool_size", "want integer"]),
    ] {
        refused(&mut engine, &at(path, value), &words);
    }
}

#[test]
fn unknown_keys() {
    let mut engine = Engine::start();
    for (path, key) in [
        ("saless", "saless"),
        ("sales.replica", "replica"),
        ("sales.image.tags", "tags"),
        ("entrances.shop.hosts", "hosts"),
        ("networkPolicy.peers.shop", "shop"),
        ("sales.settings.databse", "databse"),
        ("sales.settings.database.pool", "pool"),
        // The release sets these itself.
        ("sales.settings.database.url", "url"),
        ("sales.settings.http.port", "port"),
    ] {
        refused(&mut engine, &at(path, json!(1)), &["additional properties", &format!("'{key}' not allowed")]);
    }
}

#[test]
fn a_secret_without_the_owner_of_the_database() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let metadata = json!({ "name": "jaego-sales-connections", "namespace": NAMESPACE });
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": { "database-url": "eA==" } });
    engine.cluster(&[secret]);
    let upgrade = Release { revision: 2, upgrade: true, in_cluster: true, ..INSTALL };
    let refused = engine.try_render(&production, &upgrade).err().unwrap();
    assert!(refused.contains("the Secret jaego-sales-connections has no key database-owner-url"), "{refused}");
    assert!(!refused.contains("production.existingSecret"), "a Secret that is not there yet is no problem: {refused}");
    let without = merged(&production, &at("jobs.schemaOwner", json!(false)));
    let rendered = engine.try_render(&without, &upgrade).unwrap();
    let job = rendered.get("Job", "migrate-sales-upgrade").to_string();
    assert!(job.contains("DATABASE__URL_FILE") && !job.contains("owner"), "{job}");
}

#[test]
fn missing_secrets() {
    let mut engine = Engine::start();
    refused(
        &mut engine,
        &at("postgresql.bundled", json!(false)),
        &[
            "postgresql.bundled is false: put sales-service's URLs into a Secret and name it in sales.existingSecret (keys: database-url, amqp-url)",
            "production.existingSecret (keys: database-url, amqp-url, callback-signing-key)",
            "restock.existingSecret (keys: database-url, amqp-url, callback-public-keys)",
        ],
    );
    refused(
        &mut engine,
        &at("rabbitmq.bundled", json!(false)),
        &[
            "rabbitmq.topology.existingSecret",
            "sales.existingSecret",
            "put the frontend's URL into a Secret and name it in frontend.existingSecret (keys: amqp-url)",
        ],
    );
    let production = engine.values("values-production.yaml");
    for (path, words) in [
        ("sales.existingSecret", ["put sales-service's URLs into a Secret", "sales.existingSecret"]),
        ("production.existingSecret", ["production.existingSecret", "callback-signing-key"]),
        ("restock.existingSecret", ["restock.existingSecret", "callback-public-keys"]),
        ("access.existingSecret", ["access.existingSecret", "keys: database-url)"]),
        ("frontend.existingSecret", ["frontend.existingSecret", "keys: amqp-url)"]),
        (
            "rabbitmq.topology.existingSecret",
            ["rabbitmq.topology.existingSecret", "management-url, username, password"],
        ),
        ("production.autoscaling.keda.existingSecret", ["production.autoscaling.keda.existingSecret", "rabbitmq-host"]),
    ] {
        refused(&mut engine, &merged(&production, &at(path, json!(""))), &words);
    }
    refused(
        &mut engine,
        &merged(&production, &at("tests.enabled", json!(true))),
        &["auth.operatorTokenSecret", "or set tests.enabled to false"],
    );
    refused(
        &mut engine,
        &at("production.existingSecret", json!("only-one")),
        &["production.existingSecret and restock.existingSecret go together"],
    );
}

#[test]
fn an_identity_provider_without_its_secrets() {
    let mut engine = Engine::start();
    let issuer = at("access.settings.oidc.issuer", json!("https://login.example"));
    refused(&mut engine, &issuer, &["access.identityProviderSecret (keys: client-secret, sealing-key)"]);
    for secret in ["client_secret", "sealing_key"] {
        let value = at(&format!("access.settings.oidc.{secret}"), json!("secret"));
        refused(&mut engine, &value, &["additional properties", &format!("'{secret}' not allowed")]);
    }
}

#[test]
fn amounts_that_a_program_cannot_read() {
    let mut engine = Engine::start();
    let limit = at("rabbitmq.resources.limits.memory", json!("1.5Gi"));
    refused(&mut engine, &limit, &["rabbitmq.resources.limits.memory", "write 1536Mi instead of 1.5Gi"]);
}

#[test]
fn entrances_that_lead_nowhere() {
    let mut engine = Engine::start();
    refused(
        &mut engine,
        &json!({ "entrances": { "shop": { "enabled": false }, "factory": { "enabled": false } } }),
        &["entrances.shop.enabled and entrances.factory.enabled are both false", "Enable at least one"],
    );
    refused(
        &mut engine,
        &json!({ "entrances": { "trustedHops": 0, "factory": { "allowedSources": ["192.0.2.0/24"] } } }),
        &["entrances.factory.allowedSources is set, but entrances.trustedHops is 0", "Set the number of proxies"],
    );
    refused(
        &mut engine,
        &at("entrances.factory.enabled", json!(false)),
        &["entrances.factory.enabled is false: set production.callbackBaseUrl"],
    );
    refused(
        &mut engine,
        &at("entrances.factory.host", json!("shop.jaego.local")),
        &["entrances.factory.host must differ from entrances.shop.host"],
    );
    let console = at("entrances.console.enabled", json!(true));
    for (values, reason) in [
        (at("frontend.enabled", json!(false)), "frontend.enabled is false"),
        (at("frontend.settings.console.enabled", json!(false)), "frontend.settings.console.enabled is false"),
        (at("entrances.console.host", json!("shop.jaego.local")), "entrances.console.host must differ"),
    ] {
        refused(&mut engine, &merged(&console, &values), &[reason]);
    }
    for entrance in ["shop", "factory", "operations", "console"] {
        let with = |values: Value| {
            merged(
                &at(&format!("entrances.{entrance}.enabled"), json!(true)),
                &at(&format!("entrances.{entrance}"), values),
            )
        };
        let refs = format!("entrances.{entrance}.httpRoute.parentRefs");
        refused(&mut engine, &with(json!({ "kind": "HTTPRoute" })), &["name the Gateway", &refs]);
        let name = format!("entrances.{entrance}.tls.secretName");
        refused(&mut engine, &with(json!({ "tls": { "enabled": true } })), &["name the certificate's Secret", &name]);
    }
}

#[test]
fn numbers_that_contradict_each_other() {
    let mut engine = Engine::start();
    for service in ["sales", "production", "restock", "access", "frontend"] {
        let of = |values: Value| at(service, values);
        let budget = format!("{service}.podDisruptionBudget.minAvailable must be below the number of replicas (3)");
        refused(&mut engine, &of(json!({ "replicas": 3, "podDisruptionBudget": { "minAvailable": 3 } })), &[&budget]);
        let scaled =
            json!({ "autoscaling": { "kind": "HPA", "minReplicas": 3 }, "podDisruptionBudget": { "minAvailable": 4 } });
        refused(&mut engine, &of(scaled), &[&budget]);
        let one = format!("{service}.podDisruptionBudget.minAvailable must be 0 with one replica");
        refused(&mut engine, &of(json!({ "podDisruptionBudget": { "minAvailable": 1 } })), &[&one, "Or run 2."]);
        let most = format!("{service}.autoscaling.maxReplicas is below {service}.autoscaling.minReplicas");
        let upside_down = json!({ "autoscaling": { "kind": "HPA", "minReplicas": 5, "maxReplicas": 4 } });
        refused(&mut engine, &of(upside_down), &[&most, "raise the one or lower the other"]);
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut engine = Engine::start();
    let values = json!({
        "postgresql": { "bundled": false },
        "entrances": { "shop": { "enabled": false }, "factory": { "enabled": false } },
        "sales": { "podDisruptionBudget": { "minAvailable": 1 } },
    });
    let refusal = engine.try_render(&values, &INSTALL).err().unwrap();
    assert_eq!(refusal.matches("\n  - ").count(), 7, "{refusal}");
    assert!(engine.try_render(&evaluation(), &INSTALL).is_ok());
}

// Control: named-operators.
#[test]
fn entrances_of_operators_that_are_open_to_anybody() {
    let mut engine = Engine::start();
    for name in ["console", "operations"] {
        let open = at(&format!("entrances.{name}.enabled"), json!(true));
        refused(
            &mut engine,
            &open,
            &[&format!("networkPolicy.peers.{name}Entrance"), "An empty list would let anybody"],
        );
        let elsewhere = merged(&open, &at("networkPolicy.enabled", json!(false)));
        assert!(engine.try_render(&elsewhere, &INSTALL).is_ok());
    }
}
