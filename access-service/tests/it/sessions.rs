//! Sessions.

use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, VIEWER_TOKEN, token_entries};
use testkit::wait_until;

use crate::harness::{SOON, Service};

// Control: sign-ins-logged.
#[tokio::test(flavor = "multi_thread")]
async fn sign_in_refusal_and_sign_out_are_in_the_audit_log_with_their_source() {
    let service = Service::start(&[]).await;
    let refused = service.internal("sessions", json!({"token": "guess", "source": "203.0.113.9"})).await;
    assert_eq!((refused.status.as_u16(), &refused.body), (200, &Value::Null));
    let session = service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    assert_eq!(service.status_as(&session).await, 200);
    let issued = json!({"kind": "session", "digest": digest_of(&session)});
    let out = service.internal("sessions/end", json!({"session": issued, "source": "192.0.2.8"})).await;
    assert_eq!(out.status, 200);
    assert_eq!(service.status_as(&session).await, 401);
    let world = &service.world;
    for (action, actor, source) in [
        ("session.refuse", "-", "203.0.113.9"),
        ("session.begin", "kim", "192.0.2.7"),
        ("session.end", "kim", "192.0.2.8"),
    ] {
        let recorded = world.recorded(action).await;
        let [(by, detail)] = &recorded[..] else { panic!("{action}: {recorded:?}") };
        assert_eq!((by.as_str(), detail["source"].as_str()), (actor, Some(source)), "{action}");
        assert!(!detail.to_string().contains("guess"), "{detail}");
    }
    let log = service.get("/api/v1/audit-log").await.body;
    assert_eq!(log["items"].as_array().unwrap().len(), 3);
    service.stop().await;
}

fn digest_of(text: &str) -> Value {
    let issued = jaego_contracts::issued::Issued::of_text(text).unwrap();
    serde_json::to_value(issued).unwrap()["digest"].clone()
}

// Control: bounded-refusals.
#[tokio::test(flavor = "multi_thread")]
async fn refused_sign_ins_cannot_fill_the_audit_log() {
    let service = Service::start(&[]).await;
    for _ in 0..70 {
        service.internal("sessions", json!({"token": "guess", "source": "203.0.113.9"})).await;
    }
    assert_eq!(service.world.recorded("session.refuse").await.len(), 60);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_time_is_over_or_its_token_is_taken_away() {
    let service = Service::start(&[]).await;
    let (late, early) = (service.sign_in(OPERATOR_TOKEN, "::1").await, service.sign_in(VIEWER_TOKEN, "::1").await);
    service.world.database.batch_execute("UPDATE sessions SET expires_at = now() WHERE person = 'lee'").await.unwrap();
    assert_eq!((service.status_as(&late).await, service.status_as(&early).await), (200, 401));
    let world = service.stop().await;
    let service = world.start(&[("AUTH__TOKENS", &token_entries("another token of kim", VIEWER_TOKEN))]).await;
    assert_eq!(service.status_as(&late).await, 401);
    service.stop().await;
}

// No such person can be in the database, whose type text does not hold NUL.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_nul_is_refused() {
    let service = Service::start(&[]).await;
    let answer = service.post("/api/v1/sessions/end", json!({"person": "k\0im"})).await;
    assert_eq!((answer.status.as_u16(), &answer.body["field"]), (422, &json!("person")), "{:?}", answer.body);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_too_many_ends_the_oldest() {
    let service = Service::start(&[("SESSIONS__PER_PERSON_MAX", "2")]).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await);
    }
    let mut seen = Vec::new();
    for session in &sessions {
        seen.push(service.status_as(session).await);
    }
    assert_eq!(seen, [401, 200, 200]);
    let ended = service.world.recorded("session.end").await;
    assert!(ended.len() == 1 && ended[0].1["because"] == "sessions.per_person_max", "{ended:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_long_ago_is_deleted_and_the_audit_log_stays() {
    let service = Service::start(&[]).await;
    service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    service.token("laptop", "viewer").await;
    let world = service.stop().await;
    world.database.batch_execute("UPDATE sessions SET expires_at = now() - interval '91 days'; UPDATE tokens SET expires_at = now() - interval '91 days'").await.unwrap();
    let service = world.start(&[]).await;
    for table in ["sessions", "tokens"] {
        wait_until(&format!("no rows in {table}"), SOON, async || {
            let count = service.world.count(&format!("SELECT count(*) FROM {table}")).await;
            if count == 0 { Ok(()) } else { Err(count) }
        })
        .await;
    }
    assert_eq!(service.world.count("SELECT count(*) FROM audit_log").await, 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_session_delays_nobody() {
    let service = Service::start(&[]).await;
    let session = service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    let world = &service.world;
    world.database.batch_execute("UPDATE sessions SET last_seen_at = now() - interval '1 hour'").await.unwrap();
    let other = world.as_admin().await;
    other.batch_execute("BEGIN; SELECT 1 FROM sessions FOR UPDATE").await.unwrap();
    assert_eq!(service.status_as(&session).await, 200, "its use is only not noted");
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(service.status_as(&session).await, 200);
    let recent = "SELECT count(*) FROM sessions WHERE last_seen_at > now() - interval '10 minutes'";
    assert_eq!(world.count(recent).await, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_can_have_is_refused_before_it_reaches_the_database() {
    let service = Service::start(&[]).await;
    let refused = service.post("/api/v1/sessions/end", json!({ "person": "kim\0" })).await;
    assert_eq!((refused.problem(), &refused.body["field"]), ("invalid-request", &json!("person")));
    service.stop().await;
}
