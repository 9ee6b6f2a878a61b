//! Secrets are generated only once. There is no API server here: after an installation, a small HTTP server in
//! `helm/checks/engine.py` answers `lookup` with the objects that the installation rendered.

use std::collections::BTreeMap;

use ed25519_dalek::{
    Signer as _, SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, DecodePublicKey as _},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    engine::{Engine, INSTALL, Release},
    objects::{Rendered, decoded, labels},
    values::{at, evaluation, merged},
};

const UPGRADE: Release<'static> = Release { revision: 2, upgrade: true, in_cluster: true, ..INSTALL };

/// Content of every Secret, by name.
fn secrets(rendered: &Rendered) -> BTreeMap<String, BTreeMap<String, String>> {
    let of = |one: &&Value| (one["metadata"]["name"].as_str().unwrap().to_owned(), decoded(one));
    rendered.of_kind("Secret").iter().map(of).collect()
}

fn checksums(rendered: &Rendered) -> Vec<Value> {
    let of = |one: &&Value| one["spec"]["template"]["metadata"]["annotations"]["checksum/secrets"].clone();
    rendered.of_kind("Deployment").iter().map(of).collect()
}

#[test]
fn secrets_stay_across_upgrades() {
    let mut engine = Engine::start();
    engine.cluster(&[]);
    let installed = engine.try_render(&evaluation(), &Release { in_cluster: true, ..INSTALL }).unwrap();
    let kept = secrets(&installed);
    assert_eq!(
        kept.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "access",
            "auth",
            "frontend",
            "operator-token",
            "owners",
            "postgresql",
            "production",
            "rabbitmq",
            "restock",
            "sales",
        ]
        .map(|name| format!("jaego-{name}"))
    );
    engine.cluster(installed.all());
    for changes in [json!({}), at("sales.replicas", json!(3)), at("tests.enabled", json!(false))] {
        let upgraded = engine.try_render(&changes, &UPGRADE).unwrap();
        assert!(secrets(&upgraded) == kept, "a secret has changed");
        assert_eq!(checksums(&upgraded), checksums(&installed));
        // Once more, with the objects after the upgrade.
        engine.cluster(upgraded.all());
    }
}

#[test]
fn leftovers_of_a_release_are_adopted() {
    let mut engine = Engine::start();
    let first = engine.render(&evaluation());
    engine.cluster(first.all());
    // A new installation: the volumes still exist, with their passwords.
    let again = engine.try_render(&evaluation(), &Release { in_cluster: true, ..INSTALL }).unwrap();
    assert!(secrets(&again) == secrets(&first));
    // One Secret was lost: the others stay the same.
    let without: Vec<Value> =
        first.all().iter().filter(|one| one["metadata"]["name"] != "jaego-sales").cloned().collect();
    engine.cluster(&without);
    let (before, after) = (secrets(&first), secrets(&engine.try_render(&evaluation(), &UPGRADE).unwrap()));
    for (name, secret) in &before {
        assert_eq!(after[name] == *secret, name != "jaego-sales", "{name}");
    }
}

#[test]
fn two_releases_share_no_secret() {
    let mut engine = Engine::start();
    let (one, other) = (secrets(&engine.render(&evaluation())), secrets(&engine.render(&evaluation())));
    for (name, secret) in &one {
        for (key, value) in secret {
            let is_name = ["username", "management-url"].contains(&key.as_str());
            assert_eq!(other[name][key] == *value, is_name, "{name} {key}");
        }
    }
}

#[test]
fn the_public_key_belongs_to_the_private_key() {
    let mut engine = Engine::start();
    for _ in 0..5 {
        let secrets = secrets(&engine.render(&evaluation()));
        let private = SigningKey::from_pkcs8_pem(&secrets["jaego-production"]["callback-signing-key"]).unwrap();
        let public = VerifyingKey::from_public_key_pem(&secrets["jaego-restock"]["callback-public-keys"]).unwrap();
        public.verify_strict(b"a callback", &private.sign(b"a callback")).unwrap();
    }
}

#[test]
fn an_address_and_its_parts_agree() {
    let mut engine = Engine::start();
    let rendered = engine.render(&at("rabbitmq.vhost", json!("other")));
    let secrets = secrets(&rendered);
    for service in ["sales", "production", "restock"] {
        let secret = &secrets[&format!("jaego-{service}")];
        let database = Url::parse(&secret["database-url"]).unwrap();
        assert_eq!(database.username(), format!("jaego_{service}"));
        assert_eq!(database.path(), format!("/jaego_{service}"));
        let amqp = Url::parse(&secret["amqp-url"]).unwrap();
        assert_eq!((amqp.username(), amqp.path()), (service, "/other"));
        let passwords = [database.password().unwrap(), amqp.password().unwrap()];
        assert!(passwords.iter().all(|password| password.len() >= 32) && passwords[0] != passwords[1]);
        let owner = Url::parse(&secrets["jaego-owners"][&format!("{service}-url")]).unwrap();
        assert_eq!(owner.username(), format!("jaego_{service}_owner"));
        assert_eq!((owner.host(), owner.path()), (database.host(), database.path()));
        assert!(owner.password().unwrap().len() >= 32 && !passwords.contains(&owner.password().unwrap()));
    }
    let frontend = &secrets["jaego-frontend"];
    let amqp = Url::parse(&frontend["amqp-url"]).unwrap();
    assert_eq!((amqp.username(), amqp.path()), ("frontend", "/other"));
    assert_eq!(amqp.password(), Some(frontend["amqp-password"].as_str()));
    let access = Url::parse(&secrets["jaego-access"]["database-url"]).unwrap();
    assert_eq!((access.username(), access.path()), ("jaego_access", "/jaego_access"));
    let owner = Url::parse(&secrets["jaego-owners"]["access-url"]).unwrap();
    assert_eq!((owner.username(), owner.path()), ("jaego_access_owner", "/jaego_access"));
    assert!(owner.password() != access.password());
    let auth = &secrets["jaego-auth"];
    assert!(auth["program-credential"].len() >= 32);
    assert_eq!(auth["program-credential"], auth["program-credentials"]);
    let token = &secrets["jaego-operator-token"]["token"];
    let digest = <sha2::Sha256 as sha2::Digest>::digest(token.as_bytes());
    assert_eq!(secrets["jaego-auth"]["tokens"], format!("operator:operator:{}", hex::encode(digest)));
    let configuration = &secrets["jaego-rabbitmq"]["default-user.conf"];
    assert!(configuration.contains(&format!("default_pass = {}\n", secrets["jaego-rabbitmq"]["password"])));
}

#[test]
fn a_secret_that_somebody_else_changes_renews_the_pods() {
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    let secret = |name: &str, data: Value| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": super::engine::NAMESPACE }, "data": data });
    let with = |engine: &mut Engine, url: &str| {
        engine.cluster(&[secret(
            "jaego-sales-connections",
            json!({ "database-url": url, "database-owner-url": "eA==" }),
        )]);
        let rendered = engine.try_render(&production, &UPGRADE).unwrap();
        let of = |service: &str| {
            let deployment = rendered.get("Deployment", service);
            labels(&deployment["spec"]["template"]["metadata"]["annotations"])["checksum/secrets"].clone()
        };
        (of("sales"), of("restock"))
    };
    let (before, after) = (with(&mut engine, "b25l"), with(&mut engine, "b3RoZXI="));
    assert_ne!(before.0, after.0, "sales-service reads what has changed");
    assert_eq!(before.1, after.1, "restock-service does not");
}

#[test]
fn a_secret_that_exists_is_not_made() {
    let mut engine = Engine::start();
    let given = json!({
        "production": { "existingSecret": "mine-production" },
        "restock": { "existingSecret": "mine-restock" },
    });
    let names = |rendered: &Rendered| secrets(rendered).into_keys().collect::<Vec<_>>();
    let rendered = engine.render(&given);
    let made = ["access", "auth", "frontend", "operator-token", "owners", "postgresql", "rabbitmq", "sales"]
        .map(|name| format!("jaego-{name}"));
    assert_eq!(names(&rendered), made);
    let owners = secrets(&rendered)["jaego-owners"].keys().cloned().collect::<Vec<_>>();
    assert_eq!(owners, ["access-password", "access-url", "sales-password", "sales-url"]);
    let volumes = &rendered.get("Deployment", "production")["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[1]["secret"]["secretName"], "mine-production");
    let operators = json!({ "auth": { "existingSecret": "mine", "operatorTokenSecret": "token" } });
    let rendered = engine.render(&merged(&given, &operators));
    assert_eq!(
        names(&rendered),
        ["access", "frontend", "owners", "postgresql", "rabbitmq", "sales"].map(|name| format!("jaego-{name}"))
    );
}
