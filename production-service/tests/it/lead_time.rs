//! Measured lead times: from acceptance to the goods that complete a request.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use jaego_contracts::ids::RequestId;
use jaego_postbox::outbox::Outbox;
use production_service::commands::Context;
use production_service::commands::measure_lead_times::measure_lead_times;
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::sync::Notify;

use crate::harness::{FACTORY, SKU, SOON, Service, World, parse_event};
use crate::messages::received_at;

const PATH: &str = "/api/v1/factories/FF-500293";

impl World {
    /// Publishes the receipt of `units` of `sku` at this time.
    async fn receive(&self, id: RequestId, sku: &str, units: i64, at: DateTime<Utc>) {
        self.publish(received_at(id, sku, units, at)).await;
    }

    /// A request of 10 units that has just been accepted; returns the time of its acceptance.
    async fn accepted(&self, service: &Service, factory: &str) -> (RequestId, DateTime<Utc>) {
        let id = self.request(factory, 10).await;
        let shown = service.until(id, "accepted").await;
        let call = &shown["attempts"][0];
        let began: DateTime<Utc> = call["at"].as_str().unwrap().parse().unwrap();
        (id, began + Duration::milliseconds(call["duration_ms"].as_i64().unwrap()))
    }

    /// Requests with these lead times in seconds, completed in this order.
    async fn made(&self, service: &Service, factory: &str, seconds: &[i64]) {
        for seconds in seconds {
            let (id, accepted_at) = self.accepted(service, factory).await;
            self.receive(id, SKU, 10, accepted_at + Duration::seconds(*seconds)).await;
            service.until(id, "received").await;
        }
    }
}

impl Service {
    /// Waits until the measured figures of the factory are these.
    async fn measured(&self, factory: &str, p50_s: i64, p90_s: i64) -> Value {
        wait_until(&format!("{factory} {p50_s} {p90_s}"), SOON, async || {
            let body = self.get(&format!("/api/v1/factories/{factory}")).await.body;
            if figures(&body) == [&json!(p50_s), &json!(p90_s)] { Ok(body) } else { Err(body.to_string()) }
        })
        .await
    }
}

fn figures(factory: &Value) -> [&Value; 2] {
    [&factory["lead_time_p50_s"], &factory["lead_time_p90_s"]]
}

#[tokio::test(flavor = "multi_thread")]
async fn lead_times_are_measured_and_announced_and_do_not_conflict_with_operators() {
    let mut world = World::new("1").await;
    world.set("LEAD_TIME__MEASURE_EVERY_MS", "20");
    let service = world.start_with_factory().await;
    let replica = world.start().await;
    let seen = service.get(PATH).await;
    assert_eq!((figures(&seen.body), seen.etag()), ([&Value::Null; 2], Some("\"1\"")));

    // Goods of another product, and goods that do not complete a request, are not measured.
    let (part, accepted_at) = world.accepted(&service, FACTORY).await;
    world.receive(part, "CP-other", 10, accepted_at + Duration::seconds(900)).await;
    world.receive(part, SKU, 9, accepted_at + Duration::seconds(900)).await;
    service.until(part, "partly_received").await;
    world.made(&service, FACTORY, &[70, 30, 60, 40]).await;
    // The lead time of a request ends with the goods that complete it.
    let (last, accepted_at) = world.accepted(&service, FACTORY).await;
    world.receive(last, SKU, 4, accepted_at + Duration::seconds(5)).await;
    world.receive(last, "CP-other", 6, accepted_at + Duration::seconds(900)).await;
    world.receive(last, SKU, 6, accepted_at + Duration::seconds(50)).await;
    service.until(last, "received").await;

    let shown = service.measured(FACTORY, 50, 70).await;
    assert_eq!((&shown["revision"], &shown["lead_time_s"]), (&json!(2), &json!(60)));
    assert_eq!(figures(&service.get("/api/v1/factories").await.body["items"][0]), figures(&shown));
    let events: Vec<Value> = world.messages("sales.factories", 2).await.iter().map(|one| parse_event(one).1).collect();
    assert_eq!((figures(&events[0]), &events[0]["revision"]), ([&Value::Null; 2], &json!(1)));
    assert_eq!((figures(&events[1]), &events[1]["revision"]), (figures(&shown), &json!(2)));
    for field in ["name", "enabled", "lead_time_s", "callback_sources"] {
        assert_eq!(events[1][field], events[0][field], "{field}");
    }

    // A change based on the version from before the measurement is still accepted.
    let body = json!({"name": "둘째", "base_url": world.factory.url()});
    let put = async || service.put_if_match(PATH, seen.etag().unwrap(), body.clone()).await;
    let changed = put().await;
    assert_eq!((changed.status.as_u16(), changed.etag()), (200, Some("\"2\"")), "{}", changed.body);
    assert_eq!((figures(&changed.body), &changed.body["revision"]), (figures(&shown), &json!(3)));
    assert_eq!(put().await.status.as_u16(), 412);
    let events = parse_event(&world.messages("sales.factories", 3).await[2]).1;
    assert_eq!((figures(&events), &events["revision"]), (figures(&shown), &json!(3)));
    world.messages("restock.factories", 3).await;
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_requests_count_and_figures_change_no_more_often_than_set() {
    let mut world = World::new("1").await;
    world.set("LEAD_TIME__MEASURE_EVERY_MS", "600000");
    world.set("LEAD_TIME__SAMPLES_MAX", "6");
    // The test itself triggers the measurements, in two replicas at once.
    let settings = world.settings();
    let replica = || Context {
        pool: jaego_pg::pool(&settings.common.database, "replica").unwrap(),
        outbox: Outbox::new(1),
        due: Arc::new(Notify::new()),
        retry_schedule: Arc::new([]),
        throttled_max: std::time::Duration::MAX,
        breaker: world.settings().breaker.rules(),
    };
    let (one, other) = (replica(), replica());
    let measure = async || {
        let round = |replica| measure_lead_times(replica, &settings.lead_time);
        tokio::try_join!(round(&one), round(&other)).unwrap();
    };
    let service = world.start_with_factory().await;
    world.made(&service, FACTORY, &[40; 4]).await;
    measure().await;
    assert_eq!(service.get(PATH).await.body["revision"], 1, "four say nothing");
    world.made(&service, FACTORY, &[40]).await;
    measure().await;
    let shown = service.get(PATH).await.body;
    assert_eq!((figures(&shown), &shown["revision"]), ([&json!(40); 2], &json!(2)));

    world.made(&service, FACTORY, &[80, 80, 80, 90]).await;
    service.put_factory("FF-2", json!({"base_url": world.factory.url()})).await;
    world.made(&service, "FF-2", &[10; 5]).await;
    measure().await;
    assert_eq!(service.get(PATH).await.body, shown, "it changed a moment ago");
    let second = service.get("/api/v1/factories/FF-2").await.body;
    assert_eq!(figures(&second), [&json!(10); 2], "each factory by itself");

    let hour_ago = "UPDATE factories SET measured_at = now() - interval '1 hour'";
    world.as_admin().await.batch_execute(hour_ago).await.unwrap();
    measure().await;
    measure().await;
    // Two of the six newest took 40 s.
    let shown = service.get(PATH).await.body;
    assert_eq!((figures(&shown), &shown["revision"]), ([&json!(80), &json!(90)], &json!(3)));
    world.messages("sales.factories", 5).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_are_quicker_than_the_acceptance_are_measured_too() {
    let world = World::new("1").await;
    let service = world.start_with_factory().await;
    world.factory.hold(1);
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (world.factory.requests().len() == 1).then_some(())).await;
    world.receive(id, SKU, 10, Utc::now()).await;
    let shown = service.until(id, "received").await;
    assert_eq!(shown["attempts"][0]["outcome"], Value::Null, "its answer is still to come");
    let both = "SELECT count(*) FROM production_requests \
        WHERE accepted_at > received_at AND accepted_by = 'FF-500293' AND received_at IS NOT NULL";
    world.factory.release();
    wait_until("the acceptance", SOON, async || (world.count(both).await == 1).then_some(())).await;
    world.finish(service).await;
}
