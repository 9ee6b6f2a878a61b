//! `status` and `topology`, which need a broker of their own.

use std::path::Path;

use localstack::stack::Service;
use serde_json::{Value, json};
use testkit::{provision::Broker, wait_until};

use crate::program::run;
use e2e::{SOON, World};

/// Environment of a shell after `source target/dev/env`.
fn sourced(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

struct Shell(Vec<(String, String)>);

impl Shell {
    fn of(world: &World) -> Self {
        world.stack.write_env_file().unwrap();
        Self(sourced(&world.stack.env_file()))
    }

    fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{name} is in the file")).1
    }

    async fn does(&self, args: &[&str]) -> crate::program::Ran {
        let env: Vec<(&str, String)> = self.0.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let ran = run(args, &env).await;
        for secret in ["OPERATOR_TOKEN", "RABBITMQ_ADMIN_PASSWORD"] {
            assert!(!format!("{ran:?}").contains(self.get(secret)), "{secret} is shown: {ran:?}");
        }
        ran
    }

    fn broker(&self) -> Broker {
        let [url, user, password] =
            ["RABBITMQ_MANAGEMENT_URL", "RABBITMQ_ADMIN_USER", "RABBITMQ_ADMIN_PASSWORD"].map(|name| self.get(name));
        Broker::new(url, user, password)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_and_the_services_are_seen_as_they_are() {
    let mut world = World::private().await;
    let shell = Shell::of(&world);
    status(&mut world, &shell).await;
    topology(&shell).await;
    world.stop().await;
}

async fn status(world: &mut World, shell: &Shell) {
    // The broker reports consumers seconds later.
    let ran = wait_until("everything well", SOON, || async {
        let ran = shell.does(&["status"]).await;
        if ran.code == 0 { Ok(ran) } else { Err(ran) }
    })
    .await;
    for expected in ["sales-service", "ready", "rules hold", "empty", "production.requests", "9 queues", "is well."] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }

    // A queue and its dead letters have no consumer, and a message waits in both.
    world.stack.stop_service(Service::Restock).await.unwrap();
    let properties = json!({"message_id": "1", "delivery_mode": 2});
    let broker = shell.broker();
    for exchange in ["jaego.redrive", "jaego.dead-letters"] {
        assert!(broker.publish("jaego", exchange, "restock.factories", &properties, b"{}").await.unwrap());
    }
    let document = wait_until("what is not well", SOON, || async {
        let ran = shell.does(&["--json", "status"]).await;
        let document = ran.json();
        let queues = document["queues"].as_array().cloned().unwrap_or_default();
        let queue = queues.into_iter().find(|queue| queue["queue"] == "restock.factories").unwrap_or_default();
        let seen = (&queue["consumers"], &queue["messages"], &queue["dead_letters"]);
        if ran.code == 5 && seen == (&json!(0), &json!(1), &json!(1)) { Ok(document.clone()) } else { Err(ran) }
    })
    .await;
    assert_eq!(document["services"][2]["state"], Value::Null, "{document}");
    let ran = shell.does(&["status"]).await.ends_with(5);
    for expected in ["no answer", "restock.factories has no consumer", "Dead letters wait", "Not all is well."] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    assert_eq!(ran.stderr.matches("restock-service does not answer").count(), 2, "api and admin: {}", ran.stderr);
    for queue in ["restock.factories", "restock.factories.dlq"] {
        broker.purge("jaego", queue).await.unwrap();
    }
}

async fn topology(shell: &Shell) {
    // The topology that `up` made matches the table.
    let ran = shell.does(&["topology", "diff"]).await.ends_with(0);
    assert!(ran.stdout.contains("As in the topology"), "{}", ran.stdout);
    let ran = shell.does(&["topology", "apply"]).await.ends_with(0);
    assert!(ran.stdout.contains("Nothing to do"), "{}", ran.stdout);

    // Starts without a virtual host.
    let elsewhere = ["--vhost", "elsewhere"];
    let does = async |args: &[&str]| shell.does(&[args, &elsewhere].concat()).await;
    let ran = does(&["topology", "diff"]).await.ends_with(4);
    assert!(ran.stderr.contains("no virtual host elsewhere"), "{}", ran.stderr);
    let ran = does(&["topology", "apply", "--yes"]).await.ends_with(4);
    assert!(ran.stderr.contains("--create-vhost"), "{}", ran.stderr);
    does(&["topology", "apply", "--create-vhost"]).await.ends_with(6);
    does(&["topology", "diff"]).await.ends_with(4);
    does(&["topology", "apply", "--create-vhost", "--yes"]).await.ends_with(0);
    does(&["topology", "diff"]).await.ends_with(0);

    // A queue with other arguments, a missing queue, too wide rights, a missing user.
    let broker = shell.broker();
    broker.delete_vhost("elsewhere").await.unwrap();
    broker.create_vhost("elsewhere").await.unwrap();
    let mut part = jaego_contracts::topology::definitions();
    let queues = part["queues"].as_array_mut().unwrap();
    queues.retain(|queue| queue["name"] != "sales.factories");
    let changed = queues.iter_mut().find(|queue| queue["name"] == "production.requests").unwrap();
    changed["arguments"]["x-delivery-limit"] = json!(3);
    part["bindings"].as_array_mut().unwrap().retain(|binding| binding["destination"] != "sales.factories");
    broker.import_definitions("elsewhere", &part).await.unwrap();
    broker.set_permissions("elsewhere", "sales", ".*", ".*", ".*").await.unwrap();
    broker.delete_user("restock").await.unwrap();
    let ran = does(&["topology", "diff"]).await.ends_with(5);
    for expected in [
        "missing: queue sales.factories",
        "different: queue production.requests: arguments is {\"x-delivery-limit\":3}, should be {\"x-delivery-limit\":20}",
        "different: rights of sales: configure is \".*\", should be \"^$\"",
        "missing: rights of restock",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = does(&["topology", "apply"]).await.ends_with(6);
    assert!(ran.stderr.contains("--yes") && ran.stderr.contains("missing: queue sales.factories"), "{}", ran.stderr);
    let ran = does(&["topology", "apply", "--yes"]).await.ends_with(5);
    assert!(
        ran.stdout.contains("set: queue sales.factories") && ran.stdout.contains("set: rights of sales"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("by hand") && ran.stderr.contains("rabbitmqctl add_user"), "{}", ran.stderr);
    let ran = shell.does(&["--json", "topology", "diff", "--vhost", "elsewhere"]).await.ends_with(5);
    let left: Vec<String> = ran.json()["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left[0], "queue production.requests");
    assert!(left[1..].iter().all(|what| what.starts_with("rights of restock")), "{left:?}");

    let mut stranger = Shell(shell.0.clone());
    stranger.0.retain(|(name, _)| name != "RABBITMQ_ADMIN_PASSWORD");
    stranger.0.push(("RABBITMQ_ADMIN_PASSWORD".to_owned(), "wrong-password".to_owned()));
    let ran = stranger.does(&["topology", "diff"]).await.ends_with(4);
    assert!(ran.stderr.contains("Check RABBITMQ_ADMIN_USER"), "{}", ran.stderr);
}
