//! The endpoints of Jaego's own programs.

use reqwest::Method;
use serde_json::json;
use testkit::service::{OPERATOR_TOKEN, PROGRAM_CREDENTIAL};

use crate::harness::Service;

// Control: programs-only.
#[tokio::test(flavor = "multi_thread")]
async fn only_programs_may_ask_and_not_on_the_public_listener() {
    let service = Service::start(&[]).await;
    let body = || Some(json!({"kind": "token", "digest": "00".repeat(32)}));
    for path in ["introspect", "sessions", "sessions/end"] {
        let path = format!("/internal/{path}");
        for credential in [None, Some("wrong"), Some(OPERATOR_TOKEN)] {
            assert_eq!(
                service.send_as(credential, Method::POST, &path, body()).await.status,
                if path.ends_with("introspect") { 401 } else { 422 }
            );
        }
        let public = format!("{}{path}", service.public);
        let outside = service.send_as(Some(PROGRAM_CREDENTIAL), Method::POST, &public, body()).await;
        assert_eq!(outside.problem(), "not-found", "{path}");
    }
    let answer = service.internal("introspect", json!({"kind": "token", "digest": "00".repeat(32)})).await;
    assert_eq!(answer.body, json!({"principal": null}));
    // A program's credential is nobody's token.
    assert_eq!(service.status_as(PROGRAM_CREDENTIAL).await, 401);
    service.stop().await;
}

// Control: believed-source.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_believed_only_with_the_credential_of_a_program() {
    let service = Service::start(&[]).await;
    for (number, program, source) in [(0, "wrong", "127.0.0.1"), (1, PROGRAM_CREDENTIAL, "192.0.2.7")] {
        let body = json!({"name": format!("token {number}"), "role": "viewer", "expires_in_days": 1});
        let request = service
            .request(Method::POST, "/api/v1/tokens")
            .bearer_auth(OPERATOR_TOKEN)
            .header("jaego-program", program)
            .header("jaego-source", "192.0.2.7");
        assert_eq!(request.json(&body).send().await.unwrap().status(), 201);
        assert_eq!(service.world.recorded("token.create").await[number].1["source"], source);
    }
    service.stop().await;
}
