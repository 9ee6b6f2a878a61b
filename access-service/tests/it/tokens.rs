//! Personal access tokens.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, VIEWER_TOKEN, token_entries};

use crate::harness::Service;

fn wanted(name: &str, role: &str, days: i64) -> Value {
    json!({"name": name, "role": role, "expires_in_days": days})
}

// Control: digests-only.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_kept_as_a_digest() {
    let service = Service::start(&[]).await;
    let (token, id) = service.token("nightly report", "viewer").await;
    assert!(token.starts_with("jaego_pat_"), "{token}");
    assert_eq!(service.status_as(&token).await, 200);
    let world = &service.world;
    let kept =
        "SELECT (SELECT string_agg(t::text, '') FROM tokens t) || (SELECT string_agg(a::text, '') FROM audit_log a)";
    let kept: String = world.sql_one(kept, &[]).await.get(0);
    assert!(kept.contains(&id) && !kept.contains(&token["jaego_pat_".len()..]), "{kept}");
    let list = service.list("/api/v1/tokens").await;
    let entry = &list["items"][0];
    assert_eq!(
        (&entry["person"], &entry["name"], &entry["role"]),
        (&json!("kim"), &json!("nightly report"), &json!("viewer"))
    );
    assert!(entry["last_used_at"].is_string() && entry["revoked_at"].is_null(), "{entry}");
    assert!(!list.to_string().contains(&token));
    let [(actor, detail)] = &world.recorded("token.create").await[..] else { panic!("one entry") };
    assert_eq!(
        (actor.as_str(), &detail["name"], &detail["source"]),
        ("kim", &json!("nightly report"), &json!("127.0.0.1"))
    );
    service.stop().await;
}

// Control: expiry.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused() {
    let service = Service::start(&[]).await;
    let (token, _) = service.token("laptop", "operator").await;
    assert_eq!(service.status_as(&token).await, 200);
    service.world.database.batch_execute("UPDATE tokens SET expires_at = now()").await.unwrap();
    assert_eq!(service.status_as(&token).await, 401);
    service.stop().await;
}

// Control: no-more-than-the-holder.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_no_more_rights_than_its_holder_now_has() {
    let service = Service::start(&[]).await;
    let (token, _) = service.token("laptop", "operator").await;
    let world = service.stop().await;
    // `kim` has become a viewer.
    let demoted = token_entries(VIEWER_TOKEN, OPERATOR_TOKEN).replace("kim:operator", "kim:viewer");
    let service = world.start(&[("AUTH__TOKENS", &demoted)]).await;
    assert_eq!(service.status_as(&token).await, 200);
    let refused =
        service.send_as(Some(&token), Method::POST, "/api/v1/sessions/end", Some(json!({"person": "lee"}))).await;
    assert_eq!(refused.problem(), "forbidden");
    let world = service.stop().await;
    // `kim` has left.
    let service = world.start(&[("AUTH__TOKENS", &demoted.replace("kim:", "park:"))]).await;
    assert_eq!(service.status_as(&token).await, 401);
    service.stop().await;
}

// Control: no-token-from-a-token.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_cannot_make_another_one() {
    let service = Service::start(&[]).await;
    let (token, _) = service.token("laptop", "operator").await;
    let refused =
        service.send_as(Some(&token), Method::POST, "/api/v1/tokens", Some(wanted("second", "viewer", 1))).await;
    assert_eq!(refused.problem(), "forbidden");
    // A session can.
    let session = service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    let made =
        service.send_as(Some(&session), Method::POST, "/api/v1/tokens", Some(wanted("second", "viewer", 1))).await;
    assert_eq!(made.status, 201, "{made:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_tokens_and_their_lifetime_are_limited() {
    let service = Service::start(&[("TOKENS__PER_PERSON_MAX", "2"), ("TOKENS__LIFETIME_DAYS_MAX", "10")]).await;
    for (body, field) in [
        (wanted("a", "viewer", 11), "expires_in_days"),
        (wanted("a", "viewer", 0), "expires_in_days"),
        (wanted(" ", "viewer", 1), "name"),
        (wanted("a\u{0}", "viewer", 1), "name"),
    ] {
        let refused = service.post("/api/v1/tokens", body).await;
        assert_eq!((refused.problem(), &refused.body["field"]), ("invalid-request", &json!(field)));
    }
    let path = "/api/v1/tokens";
    let first = service.post(path, wanted("a", "viewer", 10)).await;
    assert_eq!(service.post(path, wanted("a", "viewer", 10)).await.problem(), "conflict", "the name is taken");
    // Of requests that are made at once, no more than allowed succeed.
    let many = ["b", "c", "d", "e"].map(|name| service.post(path, wanted(name, "viewer", 10)));
    let made = futures::future::join_all(many).await.into_iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    let revoke = format!("{path}/{}/revoke", first.body["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(service.post(&revoke, Value::Null).await.body["revoked_by"], "kim");
    }
    assert_eq!(service.world.recorded("token.revoke").await.len(), 1, "the second time changed nothing");
    assert_eq!(service.post(path, wanted("a", "viewer", 10)).await.status, 201, "the name is free again");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_nothing_of_others_and_changes_nothing() {
    let service = Service::start(&[]).await;
    let (_, id) = service.token("laptop", "viewer").await;
    service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    for path in ["/api/v1/tokens", "/api/v1/sessions"] {
        let list = service.send_as(Some(VIEWER_TOKEN), Method::GET, path, None).await;
        assert_eq!(list.body["items"], json!([]), "{path}");
        assert_eq!(service.list(path).await["items"].as_array().unwrap().len(), 1, "{path}");
    }
    let revoke = format!("/api/v1/tokens/{id}/revoke");
    assert_eq!(service.send_as(Some(VIEWER_TOKEN), Method::POST, &revoke, None).await.problem(), "forbidden");
    assert_eq!(service.send_as(None, Method::GET, "/api/v1/tokens", None).await.problem(), "unauthorized");
    service.stop().await;
}
