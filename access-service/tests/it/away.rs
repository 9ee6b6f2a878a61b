//! access-service is away, or its database is.

use serde_json::json;
use testkit::service::OPERATOR_TOKEN;

use crate::harness::{Asking, Service};

// Control: fail-closed.
#[tokio::test(flavor = "multi_thread")]
async fn without_access_service_its_tokens_get_503_and_configured_ones_go_on() {
    let service = Service::start(&[]).await;
    let asking = Asking::start(&service.api).await;
    let (token, _) = service.token("laptop", "viewer").await;
    let session = service.sign_in(OPERATOR_TOKEN, "192.0.2.7").await;
    asking.becomes(&token, 200).await;
    asking.becomes(&session, 200).await;
    let world = service.stop().await;
    for credential in [&token, &session] {
        asking.becomes(credential, 503).await;
        let refused = asking.read_as(credential).await;
        assert_eq!(refused.problem(), "unavailable");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    }
    asking.serves_configured_tokens().await;
    assert_eq!(asking.read_as("neither issued nor configured").await.status, 401, "nobody was asked");
    asking.stop().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_it_claims_nothing() {
    let service = Service::start(&[]).await;
    let asking = Asking::start(&service.api).await;
    let (token, id) = service.token("laptop", "viewer").await;
    asking.becomes(&token, 200).await;
    let outage = service.world.begin_outage().await;
    asking.becomes(&token, 503).await;
    asking.serves_configured_tokens().await;
    let revoked = service.post(&format!("/api/v1/tokens/{id}/revoke"), json!({"reason": "lost"})).await;
    assert_eq!(revoked.problem(), "unavailable", "it is not claimed to be revoked");
    let signed_in = service.internal("sessions", json!({"token": OPERATOR_TOKEN, "source": "::1"})).await;
    assert_eq!(signed_in.problem(), "unavailable");
    outage.end().await;
    asking.becomes(&token, 200).await;
    asking.stop().await;
    service.stop().await;
}
