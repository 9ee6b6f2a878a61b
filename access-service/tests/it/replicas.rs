//! A credential that is ended on one replica is refused on all of them, and by every service.

use reqwest::Method;
use serde_json::json;
use testkit::service::{OPERATOR_TOKEN, PROGRAM_CREDENTIAL};

use crate::harness::{Asking, Service};

// Control: revocation.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_by_services_on_both_replicas() {
    let service = Service::start(&[]).await;
    let other = service.world.replica(&[]).await;
    let (one, two) = (Asking::start(&service.api).await, Asking::start(&other.api).await);
    let (token, id) = service.token("laptop", "viewer").await;
    for asking in [&one, &two] {
        assert_eq!(asking.read_as(&token).await.status, 200);
        assert_eq!(asking.change_as(&token).await.problem(), "forbidden", "a viewer's token");
    }
    let revoked = service.post(&format!("/api/v1/tokens/{id}/revoke"), json!({"reason": "lost"})).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    for asking in [&one, &two] {
        asking.becomes(&token, 401).await;
        asking.serves_configured_tokens().await;
    }
    one.stop().await;
    two.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_on_one_replica_is_refused_through_the_other() {
    let service = Service::start(&[]).await;
    let other = service.world.replica(&[]).await;
    let asking = Asking::start(&other.api).await;
    let session = service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    // An operator's session may change things, in the operator's own name.
    assert_eq!(asking.change_as(&session).await.status, 404, "no such request");
    let ended = service.post("/api/v1/sessions/end", json!({"person": "kim"})).await;
    assert_eq!((ended.status.as_u16(), &ended.body), (200, &json!({"ended": 1})));
    asking.becomes(&session, 401).await;
    asking.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_asks_for_the_digest_and_never_sends_the_token() {
    let service = Service::start(&[]).await;
    let (token, _) = service.token("laptop", "viewer").await;
    let refused =
        service.send_as(Some(PROGRAM_CREDENTIAL), Method::POST, "/internal/introspect", Some(json!({"token": token})));
    assert_eq!(refused.await.status, 422);
    service.stop().await;
}
