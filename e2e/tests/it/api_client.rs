//! Clients generated from the services' documents, as for a frontend, call every operation.

use std::{collections::BTreeSet, fs};

use localstack::stack::Service;
use serde_json::json;
use tasks::node::{API_CLIENT, Node, package_dir};
use tempfile::TempDir;
use testkit::wait_until;

use e2e::{SOON, World};

const SERVICES: [(&str, Service); 4] = [
    ("sales", Service::Sales),
    ("production", Service::Production),
    ("restock", Service::Restock),
    ("access", Service::Access),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_its_generated_client() {
    // Before anything is started, so that a run of this test alone reports what is missing.
    let node = Node::ready(API_CLIENT).unwrap_or_else(|missing| panic!("{missing}"));
    let package = Package::copy();
    let world = World::shared(Vec::new()).await;

    // `build` fails because of a dead route or a renamed field.
    for script in ["generate", "build"] {
        package.run(&node, &world, script).await;
    }
    publish_unreadable(&world).await;
    begin_sessions(&world).await;
    let said = package.run(&node, &world, "start").await;
    let answered = said.lines().filter_map(|line| line.strip_prefix("answered "));
    let answered: BTreeSet<String> = answered.map(|line| first_words(line, 3)).collect();
    assert_eq!(answered, operations(&world).await, "{said}");
    world.stop().await;
}

/// Produces dead letters with two causes for each service.
pub async fn publish_unreadable(world: &World) {
    let (broker, vhost) = world.stack.broker().unwrap();
    for queue in ["sales.factories", "production.replenishments-closed", "restock.factories"] {
        for (number, body) in ["no event", "no event at all", "{}", "{ }"].into_iter().enumerate() {
            let properties = json!({ "delivery_mode": 2, "message_id": format!("e2e-{number}") });
            // The default exchange routes to the queue with this name.
            assert!(broker.publish(vhost, "amq.default", queue, &properties, body.as_bytes()).await.unwrap());
        }
        let reader = queue.split('.').next().unwrap();
        let (_, service) = SERVICES.into_iter().find(|(name, _)| *name == reader).unwrap();
        wait_until(&format!("four letters of {queue}"), SOON, || async {
            let count: i64 = world.sql(service, "SELECT count(*) FROM dead_letters WHERE status = 'waiting'").await;
            if count == 4 { Ok(()) } else { Err(count) }
        })
        .await;
    }
}

/// Begins two sessions, as the frontend does when an operator signs in.
pub async fn begin_sessions(world: &World) {
    let url = format!("{}/internal/sessions", world.stack.urls(Service::Access).api);
    let sign_in = json!({ "token": world.stack.operator_token(), "source": "192.0.2.7" });
    for _ in 0..2 {
        let request = testkit::http::client(SOON).post(&url).bearer_auth(world.stack.program_credential());
        assert_eq!(request.json(&sign_in).send().await.unwrap().status(), 200);
    }
}

/// A copy of the package in a folder of its own, because documents, types and programs are written next to it.
struct Package {
    dir: TempDir,
}

impl Package {
    fn copy() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["package.json", "generate.js", "tsconfig.json"] {
            fs::copy(package_dir(API_CLIENT).join(name), dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("src")).unwrap();
        for entry in fs::read_dir(package_dir(API_CLIENT).join("src")).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, dir.path().join("src").join(from.file_name().unwrap())).unwrap();
        }
        std::os::unix::fs::symlink(package_dir(API_CLIENT).join("node_modules"), dir.path().join("node_modules"))
            .unwrap();
        Self { dir }
    }

    /// Runs a script with the stack's addresses in the environment. Returns its output.
    async fn run(&self, node: &Node, world: &World, script: &str) -> String {
        let mut npm = node.npm(self.dir.path());
        npm.args(["run", script]);
        for (name, service) in SERVICES {
            npm.env(format!("{}_URL", name.to_uppercase()), &world.stack.urls(service).api);
        }
        npm.env("FACTORY_URL", world.stack.factory_url()).env("OPERATOR_TOKEN", world.stack.operator_token());
        let output = npm.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm run {script}\n{said}\n{complaint}");
        said
    }
}

/// All operations in the services' documents, such as `sales GET /api/v1/stock`.
async fn operations(world: &World) -> BTreeSet<String> {
    let mut operations = BTreeSet::new();
    for (name, service) in SERVICES {
        let document = world.api(service).get("/openapi.json").await.unwrap().ok("read the document").unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            operations.extend(
                item.as_object().unwrap().keys().map(|method| format!("{name} {} {path}", method.to_uppercase())),
            );
        }
    }
    operations
}

fn first_words(line: &str, count: usize) -> String {
    line.split(' ').take(count).collect::<Vec<_>>().join(" ")
}
