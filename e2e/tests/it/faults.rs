//! Faults of the broker and of the links to it, while orders come in: nothing is lost, and nothing needs manual help.

use std::time::Duration;

use jaego_contracts::topology;
use localstack::stack::{Service, Want};
use testkit::{LinkCutter, wait_until};
use tokio::time::sleep;

use crate::{
    lost::impatient,
    traffic::{Proof, Traffic, report},
};
use e2e::{SOON, World};

/// Number of further orders that must be answered during each fault.
const MEANWHILE: usize = 60;

/// Without these queues, some events have no queue at all, and others have one of two.
const DELETED: [&str; 4] =
    ["production.requests", "restock.production-requests", "sales.stock-received", "sales.production-outcomes"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_the_broker_does() {
    let mut world = World::private_with(impatient()).await;

    // Queues are deleted while they are empty, because their messages would be lost.
    delete_queues(&world).await;
    let traffic = Traffic::start(&world);
    report(&format!("queues deleted: all say so after {:?}", world.all_say("degraded").await));
    traffic.goes_on(MEANWHILE).await;
    wait_until("an event that waits for its queue", SOON, || async {
        let held = "SELECT count(*) FROM outbox WHERE last_error = 'no queue is bound for it'";
        let held: i64 = world.sql(Service::Sales, held).await;
        if held > 0 { Ok(()) } else { Err(held) }
    })
    .await;
    apply_topology(&world).await;
    report(&format!("queues back: well again after {:?}", world.all_say("ready").await));

    // An administrator restarts the broker.
    traffic.goes_on(MEANWHILE).await;
    world.stack.rabbit().unwrap().stop_node().await.unwrap();
    report(&format!("broker stopped: all say so after {:?}", world.all_say("degraded").await));
    traffic.goes_on(MEANWHILE).await;
    world.stack.rabbit().unwrap().start_node().await.unwrap();
    report(&format!("broker back: well again after {:?}", world.all_say("ready").await));

    // The broker crashes.
    traffic.goes_on(MEANWHILE).await;
    world.stack.rabbit().unwrap().process().kill9().unwrap();
    report(&format!("broker killed: all say so after {:?}", world.all_say("degraded").await));
    traffic.goes_on(MEANWHILE).await;
    world.stack.rabbit().unwrap().start_node().await.unwrap();
    report(&format!("broker back: well again after {:?}", world.all_say("ready").await));

    // An administrator closes all connections.
    traffic.goes_on(MEANWHILE).await;
    world.stack.rabbit().unwrap().ctl(&["close_all_connections", "maintenance"]).await.unwrap();
    traffic.goes_on(MEANWHILE).await;
    report(&format!("connections closed: well again after {:?}", world.all_say("ready").await));

    // Short of memory, the broker blocks all publishers.
    world.stack.rabbit().unwrap().ctl(&["set_vm_memory_high_watermark", "0.0001"]).await.unwrap();
    let blocked = |body: &str| body.contains("accepts no messages");
    wait_until("sales-service to say that the broker is blocked", SOON, || async {
        let (code, body) = world.readiness(Service::Sales).await;
        if code == 200 && blocked(&body.to_string()) { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    traffic.goes_on(MEANWHILE).await;
    world.stack.rabbit().unwrap().ctl(&["set_vm_memory_high_watermark", "0.4"]).await.unwrap();
    report(&format!("alarm over: well again after {:?}", world.all_say("ready").await));

    traffic.end(&world, Proof::GoodsAndOutcomes).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_the_links_do() {
    let mut world = World::shared(Vec::new()).await;
    let link = put_a_link_between(&mut world).await;
    link.delay_ms(10, 10);
    let traffic = Traffic::start(&world);
    traffic.goes_on(MEANWHILE).await;

    link.cut();
    report(&format!("unreachable: all say so after {:?}", world.all_say("degraded").await));
    // As long as an outage, so that backoff reaches its maximum.
    sleep(Duration::from_secs(30)).await;
    traffic.goes_on(MEANWHILE).await;
    link.pass();
    report(&format!("reachable: well again after {:?}", world.all_say("ready").await));

    traffic.goes_on(MEANWHILE).await;
    for _ in 0..3 {
        link.cut_once();
        traffic.goes_on(MEANWHILE / 4).await;
    }
    report(&format!("cut again and again: well again after {:?}", world.all_say("ready").await));

    link.blackhole();
    report(&format!("half-open: all say so after {:?}", world.all_say("degraded").await));
    wait_until("the consumers to notice it, too", SOON, || async {
        let (_, body) = world.readiness(Service::Restock).await;
        if body["checks"]["broker-consumers"] == "ok" { Err(body.to_string()) } else { Ok(()) }
    })
    .await;
    traffic.goes_on(MEANWHILE).await;
    link.pass();
    report(&format!("whole: well again after {:?}", world.all_say("ready").await));

    traffic.end(&world, Proof::GoodsAndOutcomes).await;
    world.stop().await;
}

async fn delete_queues(world: &World) {
    world.wait_queues_empty().await;
    let (broker, vhost) = world.stack.broker().unwrap();
    for queue in DELETED {
        broker.delete_queue(vhost, queue).await.unwrap();
    }
}

async fn apply_topology(world: &World) {
    let (broker, vhost) = world.stack.broker().unwrap();
    broker.import_definitions(vhost, &topology::definitions()).await.unwrap();
}

/// Puts a link that can be cut between all services and the broker.
async fn put_a_link_between(world: &mut World) -> LinkCutter {
    let direct = world.stack.broker_url(Service::Sales).unwrap();
    let target = direct.rsplit('@').next().and_then(|rest| rest.split('/').next()).expect("host and port");
    let link = LinkCutter::start(target).await.unwrap();
    for service in Service::MESSAGING {
        let through = link.url(&world.stack.broker_url(service).unwrap()).unwrap();
        world.stack.stop_service(service).await.unwrap();
        world.stack.start_service(service, &[("AMQP__URL", through)], Want::Ready).await.unwrap();
    }
    link
}
