//! `smoke-test`, as it is run against an installation.

use std::{fs, process::Output};

use localstack::stack::Service;
use serde_json::Value;
use testkit::servers::choose_ports;
use tokio::process::Command;

use e2e::{World, programs_dir};

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_on_a_working_stack_and_names_faults_of_a_broken_one() {
    let mut world = World::shared(Vec::new()).await;
    let token = world.stack.operator_token().to_owned();

    // The callback takes another route than its URL says.
    let restock = world.stack.urls(Service::Restock).public.replace("127.0.0.1", "localhost");
    let passed = smoke_test(&world, &token, &["--callback-via", &restock]).await;
    let said = text(&passed.stdout);
    assert!(passed.status.success(), "{said}{}", text(&passed.stderr));
    for step in
        ["then one refused", "asked to produce 5", &restock, "5 on hand", "has received 5", "cleaned up", "works"]
    {
        assert!(said.contains(step), "{step} in {said}");
    }
    assert_is_tidy(&world).await;

    let refused = smoke_test(&world, "somebody-else", &[]).await;
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.starts_with("smoke-test: sales-service does not allow") && said.contains("401"), "{said}");

    // Nothing listens for the callback. The test cleans up all the same.
    let [nobody] = choose_ports([0]).unwrap();
    let lost = smoke_test(&world, &token, &["--callback-via", &format!("http://127.0.0.1:{nobody}")]).await;
    let said = text(&lost.stderr);
    assert_eq!(lost.status.code(), Some(1), "{said}");
    assert!(said.contains("got no answer") && said.contains("refused") && !said.contains("/restocks/"), "{said}");
    assert_is_tidy(&world).await;

    world.stack.stop_service(Service::Production).await.unwrap();
    let failed = smoke_test(&world, &token, &["--timeout-s", "3"]).await;
    let said = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.starts_with("smoke-test: not within 3 s: production-service answers"), "{said}");
    world.stop().await;
}

/// Asserts that nothing can be bought, nothing is on order, and no factory is enabled.
async fn assert_is_tidy(world: &World) {
    let is_of_a_run = |id: &Value| id.as_str().is_some_and(|id| id.starts_with("SMOKE-"));
    let (sales, production) = (world.api(Service::Sales), world.api(Service::Production));
    let products = world.items(&sales, "/api/v1/products").await;
    assert!(!products.iter().any(|product| is_of_a_run(&product["sku"])), "{products:?}");
    let stock = world.items(&sales, "/api/v1/stock").await;
    let own: Vec<&Value> = stock.iter().filter(|stock| is_of_a_run(&stock["sku"])).collect();
    assert!(!own.is_empty() && own.iter().all(|stock| stock["on_order"] == 0), "{own:?}");
    let factories = world.items(&production, "/api/v1/factories").await;
    let own: Vec<&Value> = factories.iter().filter(|factory| is_of_a_run(&factory["id"])).collect();
    assert!(!own.is_empty() && own.iter().all(|factory| factory["enabled"] == false), "{own:?}");
}

async fn smoke_test(world: &World, token: &str, args: &[&str]) -> Output {
    let token_file = world.stack.dir().join("smoke-test-token");
    fs::write(&token_file, token).unwrap();
    let [port] = choose_ports([0]).unwrap();
    let mut command = Command::new(programs_dir().join("smoke-test"));
    for service in Service::MESSAGING {
        command.env(format!("{}_URL", service.name().to_uppercase()), world.stack.urls(service).api);
    }
    command.env("OPERATOR_TOKEN_FILE", token_file).env_remove("OPERATOR_TOKEN").kill_on_drop(true);
    command.args(["--listen", &format!("127.0.0.1:{port}"), "--stage-ms", "100"]).args(args);
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
