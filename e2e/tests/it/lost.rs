//! Whatever the broker loses comes back by itself, and whatever an operator closes is closed in every service.

use localstack::demo::FIRST_SKU;
use localstack::stack::{Service, Want};
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::process::Command;

use crate::traffic::{Proof, Traffic, report};
use e2e::{SOON, World, programs_dir};

/// Number of further orders that must be answered at each step.
const MEANWHILE: usize = 60;

/// Settings with intervals of seconds instead of minutes.
pub(crate) fn impatient() -> Vec<(Service, &'static str, String)> {
    [
        (Service::Sales, "REPLENISHMENT__SWEEP_EVERY_S", "2"),
        (Service::Sales, "REPLENISHMENT__ASK_AGAIN_S", "3"),
        (Service::Production, "LEAD_TIME__ANNOUNCE_EVERY_S", "5"),
    ]
    .map(|(service, key, value)| (service, key, value.to_owned()))
    .into()
}

/// Runs `jaegoctl` as an operator would. Returns whether it succeeded, and its output.
async fn jaegoctl(world: &mut World, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(programs_dir().join("jaegoctl"));
    command.args(args).env_clear().env("OPERATOR_TOKEN", world.stack.operator_token());
    for service in Service::MESSAGING {
        let name = service.name().to_uppercase();
        command.env(format!("{name}_URL"), world.stack.urls(service).api);
        command.env(format!("{name}_AMQP_URL"), world.stack.broker_url(service).unwrap());
    }
    command.env("FRONTEND_AMQP_URL", world.stack.broker_url_of("frontend").unwrap());
    let rabbit = world.stack.rabbit().unwrap();
    let (user, password) = rabbit.admin();
    command.env("RABBITMQ_MANAGEMENT_URL", rabbit.management_url());
    command.env("RABBITMQ_ADMIN_USER", user).env("RABBITMQ_ADMIN_PASSWORD", password);
    let output = command.output().await.expect("jaegoctl runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_has_forgotten_everything_costs_nothing_that_was_ordered() {
    let mut world = World::private_with(impatient()).await;
    let traffic = Traffic::start(&world);
    traffic.goes_on(MEANWHILE).await;
    let rabbit = world.stack.rabbit().unwrap();
    for step in ["stop_app", "reset", "start_app"] {
        rabbit.ctl(&[step]).await.unwrap();
    }
    report(&format!("broker wiped: all say so after {:?}", world.all_say("degraded").await));
    traffic.goes_on(MEANWHILE).await;

    let (is_well, said) =
        jaegoctl(&mut world, &["topology", "apply", "--create-vhost", "--make-users", "--yes", "--wait-s", "90"]).await;
    assert!(is_well, "{said}");
    report(&format!("topology applied: well again after {:?}", world.all_say("ready").await));
    traffic.goes_on(MEANWHILE).await;
    // Outcomes are not compared: for a request that was complete before its outcome arrived, the outcome is not
    // needed.
    traffic.end(&world, Proof::Goods).await;
    let (is_well, said) = jaegoctl(&mut world, &["audit", "--wait", "30s"]).await;
    assert!(is_well && said.contains("agree on what is on order"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_gone_is_named_by_the_audit_and_made_in_the_end() {
    let mut world = World::private_with(vec![
        (Service::Sales, "REPLENISHMENT__SWEEP_EVERY_S", "1".to_owned()),
        (Service::Sales, "REPLENISHMENT__ASK_AGAIN_S", "3600".to_owned()),
    ])
    .await;
    // The queue is purged while it has no consumer.
    world.stack.stop_service(Service::Production).await.unwrap();
    world.sell_out().await;
    wait_until("the request in the queue", SOON, async || {
        let depth = world.stack.depth("production.requests").await.unwrap();
        if depth == 1 { Ok(()) } else { Err(depth) }
    })
    .await;
    let (broker, vhost) = world.stack.broker().unwrap();
    broker.purge(vhost, "production.requests").await.unwrap();
    world.stack.start_service(Service::Production, &[], Want::Ready).await.unwrap();

    let id: String = world.sql(Service::Sales, "SELECT id::text FROM replenishments").await;
    let (is_well, said) = jaegoctl(&mut world, &["audit", "--wait", "1s"]).await;
    assert!(!is_well, "{said}");
    let named =
        format!("request {id} (10 of {FIRST_SKU}): on order in sales-service, not in progress in production-service");
    assert!(said.contains(&named), "{said}");

    // Simulates that more than an hour has passed.
    let later = "WITH aged AS (UPDATE replenishments SET heard_at = now() - interval '2 hours' RETURNING 1) \
                 SELECT count(*) FROM aged";
    assert_eq!(world.sql::<i64>(Service::Sales, later).await, 1);
    world.wait_on_hand(10).await;
    let (is_well, said) = jaegoctl(&mut world, &["audit", "--wait", "30s"]).await;
    assert!(is_well, "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_replenishment_is_cancelled_in_production_and_its_goods_wait_for_a_person() {
    let world = World::shared(Vec::new()).await;
    let slow = json!({"stage_ms": 2_000});
    world.factory().put("/sim/faults", &slow).await.unwrap().ok("slow the factory down").unwrap();
    world.sell_out().await;
    let request = world.wait_production_request("accepted").await;
    let id = request["id"].as_str().unwrap();
    let close = format!("/api/v1/replenishments/{id}/close");
    let reason = json!({"reason": "the season is over"});
    let closed = world.api(Service::Sales).post(&close, &[], &reason).await.unwrap();
    assert_eq!((closed.status.as_u16(), &closed.body["status"]), (200, &json!("closed_short")), "{}", closed.body);
    world.wait_production_request("cancelled").await;
    // The factory makes the goods nevertheless.
    let callback = world.wait_callback(0).await;
    assert_eq!(callback["status"], 202, "{callback}");
    let entries = world.items(&world.api(Service::Restock), "/api/v1/quarantine").await;
    let entry: Vec<(&Value, &Value)> = entries.iter().map(|entry| (&entry["request_id"], &entry["reason"])).collect();
    assert_eq!(entry, [(&json!(id), &json!("cancelled"))], "{entries:?}");
    assert_eq!(world.on_hand().await, 0);
    world.stop().await;
}
