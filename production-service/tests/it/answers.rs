//! Consequences of each kind of answer: the classification, row by row, `Retry-After`, and the fallback factory.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use factory_simulator::FactorySimulator;
use factory_simulator::{DropConnection, Faults};
use serde_json::{Value, json};

use crate::harness::{FACTORY, Service, World};

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
        (503, "unknown"),
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
        assert!(first["answer"].as_str().unwrap().contains("as configured"), "the factory's words are kept: {first}");
    }
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsent_calls_are_distinguished_from_unanswered_ones() {
    let world = World::new("0.05").await;
    let service = world.start().await;
    // A port without a listener, and a listener that does not speak TLS.
    let plain = world.factory.url().replace("http://", "https://");
    for (url, words) in [("http://127.0.0.1:9", "onnect"), (&plain, "InvalidContentType")] {
        service.put_factory(FACTORY, json!({"base_url": url})).await;
        let id = world.request(FACTORY, 10).await;
        let shown = service.until(id, "dead_lettered").await;
        assert_eq!(outcomes(&shown), ["retry", "retry"], "{url}");
        assert!(shown["attempts"][0]["error"].as_str().unwrap().contains(words), "{shown}");
    }
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
    world.set("DELIVERY__RETRY_AFTER_MAX_S", "900");
    let service = world.start_with_factory().await;
    let refuse_once = |retry_after: &str| {
        let faults = Faults { retry_after: Some(retry_after.to_owned()), ..refuse(429, Some(1)) };
        world.factory.set_faults(faults).unwrap();
    };
    refuse_once("2");
    let id = world.request(FACTORY, 10).await;
    service.until(id, "accepted").await;
    let asked = world.factory.requests();
    let waited = (asked[1].at - asked[0].at).num_milliseconds();
    assert!(waited >= 2000, "{waited} ms");

    // Long delays are compared as stored: how late a short one ends depends on the machine. Each has a factory of its
    // own that receives no other request.
    let in_ten_minutes = (Utc::now() + Duration::from_secs(600)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (factory, retry_after, seconds) in
        [("FF-3", "600", 600), ("FF-4", in_ten_minutes.as_str(), 600), ("FF-5", "86400", 900)]
    {
        service.put_factory(factory, json!({"base_url": world.factory.url()})).await;
        refuse_once(retry_after);
        let wait = TimeDelta::seconds(seconds);
        let earliest = if retry_after == in_ten_minutes {
            DateTime::parse_from_rfc2822(&in_ten_minutes).unwrap().to_utc()
        } else {
            Utc::now() + wait
        };
        let id = world.request(factory, 10).await;
        let shown = service.until(id, "retrying").await;
        let latest = Utc::now() + wait;
        let due = DateTime::parse_from_rfc3339(shown["next_attempt_at"].as_str().unwrap()).unwrap().to_utc();
        // Delays are stored in whole milliseconds.
        let earliest = earliest - TimeDelta::milliseconds(1);
        assert!((earliest..=latest).contains(&due), "{retry_after}: {due}, not within {earliest} and {latest}");
    }
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_without_time_is_left_alone_as_a_whole_and_nothing_is_given_up() {
    // With a schedule of one retry, two answers that count would end a request.
    let world = World::new("0.05").await;
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": world.factory.url(), "max_in_flight": 4})).await;
    let no_time = |times: u64| Faults { retry_after: Some("1".to_owned()), ..refuse(429, Some(times)) };
    world.factory.set_faults(no_time(12)).unwrap();
    let ids = futures::future::join_all((0..20).map(|_| world.request(FACTORY, 10))).await;
    for id in ids {
        service.until(id, "accepted").await;
    }
    let asked = world.factory.requests();
    assert_eq!(asked.len(), 32, "twelve of the calls were answered 429");
    // The calls in flight were answered; after the last of these answers the factory was not called for a second.
    let mut times: Vec<DateTime<Utc>> = asked.iter().map(|call| call.at).collect();
    times.sort_unstable();
    let pauses = times.windows(2).filter(|pair| pair[1] - pair[0] >= TimeDelta::milliseconds(900)).count();
    assert!(pauses >= 3, "four at a time at the most: {times:?}");
    world.outcomes(20).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_that_is_disabled_is_none() {
    let world = World::new("0.05").await;
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = with_fallback(&world, &other).await;
    service.put_factory(OTHER, json!({"base_url": other.url(), "enabled": false})).await;
    world.factory.set_faults(refuse(422, None)).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "refused").await;
    assert_eq!((&shown["factory_id"], &shown["fallback_from"]), (&json!(FACTORY), &Value::Null));
    assert!(other.requests().is_empty());
    world.outcomes(1).await;
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
    let events = world.outcomes(1).await;
    assert_eq!((events[0].0.as_str(), &events[0].1["factory_id"]), ("jaego.production.accepted.v1", &json!(OTHER)));

    // `refused` is published once, after both factories have refused.
    other.set_faults(refuse(400, None)).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "refused").await;
    assert_eq!(outcomes(&shown), ["refused", "refused"]);
    let events = world.outcomes(2).await;
    assert_eq!((events[1].0.as_str(), &events[1].1["factory_id"]), ("jaego.production.refused.v1", &json!(OTHER)));
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_is_never_asked_when_the_first_factory_may_have_taken_the_request() {
    // No retry is due during the test: the factory's next answer is set first, however slow this machine is.
    let world = World::new("3600").await;
    let other = FactorySimulator::start_local(3_600_000).unwrap();
    let service = with_fallback(&world, &other).await;
    let cut = Faults { drop_connection: Some(DropConnection::AfterAccepting), for_next: Some(1), ..Faults::default() };
    // A factory that fails may have booked the request before it failed.
    for faults in [cut, refuse(500, Some(1))] {
        world.factory.set_faults(faults).unwrap();
        let id = world.request(FACTORY, 10).await;
        service.until(id, "retrying").await;
        world.factory.set_faults(refuse(422, None)).unwrap();
        let answer = service.post(&format!("/api/v1/production-requests/{id}/retry"), None).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        let shown = service.until(id, "dead_lettered").await;
        assert_eq!((outcomes(&shown), &shown["factory_id"]), (vec!["unknown", "refused"], &json!(FACTORY)));
        assert_eq!(shown["outcome_reason"], "refused-after-unknown-outcome", "a person must ask the factory");
        // The factory answers that it already has the request.
        world.factory.set_faults(refuse(409, None)).unwrap();
        service.post(&format!("/api/v1/production-requests/{id}/retry"), None).await;
        let shown = service.until(id, "accepted").await;
        assert_eq!((outcomes(&shown).last(), &shown["factory_id"]), (Some(&"refused"), &json!(FACTORY)));
    }
    assert!(other.requests().is_empty());
    let events: Vec<String> = world.outcomes(4).await.into_iter().map(|(kind, _)| kind).collect();
    let pair = ["jaego.production.dead_lettered.v1", "jaego.production.accepted.v1"];
    assert_eq!(events, [pair, pair].concat());
    world.finish(service).await;
}
