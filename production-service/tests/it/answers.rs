//! What each kind of answer leads to: the classification, row by row, `Retry-After`, and the fallback factory.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::FactorySimulator;
use testkit::factory::{DropConnection, Faults};

use crate::world::{FACTORY, Service, World};

const OTHER: &str = "FF-2";

fn refuse(status: u16, times: Option<u64>) -> Faults {
    Faults { refuse_status: Some(status), for_next: times, ..Faults::default() }
}

fn outcomes(shown: &Value) -> Vec<&str> {
    shown["attempts"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_classification() {
    let world = World::new("0.05").await;
    let service = world.start_with_factory().await;
    for (status, outcome) in [
        (408, "retry"),
        (425, "retry"),
        (429, "retry"),
        (500, "unknown"),
        (502, "unknown"),
        (503, "retry"),
        (504, "unknown"),
        (599, "unknown"),
    ] {
        world.factory.set_faults(refuse(status, Some(1))).unwrap();
        let id = world.request(FACTORY, 10).await;
        let shown = service.until(id, "accepted").await;
        assert_eq!(outcomes(&shown), [outcome, "accepted"], "{status}");
        assert_eq!(shown["attempts"][0]["status"], status);
    }
    for status in [400, 401, 403, 404, 409, 410, 422, 300, 301, 302, 307, 308] {
        world.factory.set_faults(refuse(status, Some(1))).unwrap();
        let id = world.request(FACTORY, 10).await;
        let shown = service.until(id, "refused").await;
        assert_eq!(outcomes(&shown), ["refused"], "{status}");
        let first = &shown["attempts"][0];
        assert!(
            first["answer"].as_str().unwrap().contains("as it was told to"),
            "the factory's words are kept: {first}"
        );
    }
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_told_from_what_was_never_answered() {
    let world = World::new("0.05").await;
    let service = world.start().await;
    // Nobody listens; a listener that speaks no TLS.
    let plain = world.factory.url().replace("http://", "https://");
    for (url, words) in [("http://127.0.0.1:9", "onnect"), (&plain, "InvalidContentType")] {
        service.put_factory(FACTORY, json!({"base_url": url})).await;
        let id = world.request(FACTORY, 10).await;
        let shown = service.until(id, "dead_lettered").await;
        assert_eq!(outcomes(&shown), ["retry", "retry"], "{url}");
        assert!(shown["attempts"][0]["error"].as_str().unwrap().contains(words), "{shown}");
    }
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "timeout_ms": 1_000})).await;
    world.factory.set_faults(Faults { delay_ms: 5_000, for_next: Some(1), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "accepted").await;
    assert_eq!(outcomes(&shown), ["unknown", "accepted"]);
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_that_accepts_and_cuts_the_line_is_asked_again_under_the_same_key() {
    let world = World::new("0.05").await;
    let service = world.start_with_factory().await;
    let faults =
        Faults { drop_connection: Some(DropConnection::AfterAccepting), for_next: Some(1), ..Faults::default() };
    world.factory.set_faults(faults).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "accepted").await;
    assert_eq!(outcomes(&shown), ["unknown", "accepted"]);
    let asked = world.factory.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].idempotency_key, asked[1].idempotency_key);
    assert_ne!(asked[0].body, asked[1].body, "a callback token of its own");
    world.outcomes(1).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_waited_for_in_both_forms_up_to_its_bound() {
    let mut world = World::new("0.05").await;
    world.set("DELIVERY__RETRY_AFTER_MAX_S", "3");
    let service = world.start_with_factory().await;
    // An HTTP date has no fraction of a second.
    let in_three_seconds = || {
        let then = chrono::Utc::now() + Duration::from_secs(3);
        then.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let mut asked_before = 0;
    let forms: [(&dyn Fn() -> String, i64); 3] =
        [(&|| "2".to_owned(), 2000), (&in_three_seconds, 1900), (&|| "86400".to_owned(), 3000)];
    for (retry_after, at_least_ms) in forms {
        let retry_after = retry_after();
        let faults = Faults { retry_after: Some(retry_after.clone()), ..refuse(429, Some(1)) };
        world.factory.set_faults(faults).unwrap();
        let id = world.request(FACTORY, 10).await;
        service.until(id, "accepted").await;
        let asked = world.factory.requests().split_off(asked_before);
        asked_before += asked.len();
        let waited = (asked[1].at - asked[0].at).num_milliseconds();
        // Far below the day that the last one asks for, whatever else this machine does.
        assert!((at_least_ms..60_000).contains(&waited), "{retry_after}: {waited} ms");
    }
    world.finish(service).await;
}

async fn with_fallback(world: &World, other: &FactorySimulator) -> Service {
    let service = world.start().await;
    service.put_factory(OTHER, json!({"base_url": other.url()})).await;
    let fields = json!({"base_url": world.factory.url(), "fallback_factory_id": OTHER});
    service.put_factory(FACTORY, fields).await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_is_asked_after_a_proven_no() {
    let world = World::new("0.05").await;
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = with_fallback(&world, &other).await;
    world.factory.set_faults(refuse(422, None)).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "accepted").await;
    assert_eq!((&shown["factory_id"], &shown["fallback_from"]), (&json!(OTHER), &json!(FACTORY)));
    assert_eq!(outcomes(&shown), ["refused", "accepted"]);
    assert_eq!(shown["attempts"][0]["factory_id"], FACTORY);
    assert_eq!(shown["attempts"][1]["factory_id"], OTHER);
    let body: Value = serde_json::from_str(&other.requests()[0].body).unwrap();
    assert_eq!(body["MessageAttributeFactoryId"], OTHER);
    let told = world.outcomes(1).await;
    assert_eq!((told[0].0.as_str(), &told[0].1["factory_id"]), ("jaego.production.accepted.v1", &json!(OTHER)));

    // `refused` is told once, after both have said no.
    other.set_faults(refuse(400, None)).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "refused").await;
    assert_eq!(outcomes(&shown), ["refused", "refused"]);
    let told = world.outcomes(2).await;
    assert_eq!((told[1].0.as_str(), &told[1].1["factory_id"]), ("jaego.production.refused.v1", &json!(OTHER)));
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_is_never_asked_when_the_first_factory_may_have_taken_the_request() {
    let world = World::new("0.2").await;
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = with_fallback(&world, &other).await;
    let cut = Faults { drop_connection: Some(DropConnection::AfterAccepting), for_next: Some(1), ..Faults::default() };
    // A factory that fails may have booked the request before it did.
    for faults in [cut, refuse(500, Some(1))] {
        world.factory.set_faults(faults).unwrap();
        let id = world.request(FACTORY, 10).await;
        service.until(id, "retrying").await;
        world.factory.set_faults(refuse(409, None)).unwrap();
        let shown = service.until(id, "refused").await;
        assert_eq!((outcomes(&shown), &shown["factory_id"]), (vec!["unknown", "refused"], &json!(FACTORY)));
    }
    assert!(other.requests().is_empty());
    world.outcomes(2).await;
    world.finish(service).await;
}
