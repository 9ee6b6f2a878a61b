//! Refused callbacks: nothing is kept, and each reason is distinguishable.

use futures::{StreamExt as _, stream};
use jaego_contracts::callback::CallbackSigner;
use jaego_contracts::factory;
use jaego_contracts::ids::RequestId;
use jaego_contracts::trace::TraceContext;
use serde_json::json;
use testkit::wait_until;

use crate::consumers::factory_changed;
use crate::harness::{NO_BROKER, SOON, Service, World, claims, part};

// Control: no-valid-token-no-trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_valid_token_leaves_nothing() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);

    let long = "x".repeat(600);
    for malformed in ["x", "a.b.c", "not-a-token", long.as_str(), "%00", "eyJhbGciOiJub25lIn0.e30."] {
        let answer = service.call(malformed, &part("a", 1)).await;
        assert_eq!(answer.refusal(), (400, "malformed-request"), "{malformed}");
    }

    let stranger = CallbackSigner::from_pem(&testkit::keys::CallbackKeys::generate().unwrap().private_pem).unwrap();
    let unknown = stranger.sign(&claims(RequestId::generate(), 100)).unwrap();
    let other = world.token(1_000_000);
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(&token), parts(&other));
    let changed = [ours[0].as_str(), &theirs[1], &ours[2]].join(".");
    let cut = &token[..token.len() - 8];
    for forged in [unknown.as_str(), &changed, cut] {
        let answer = service.call(forged, &part("a", 1)).await;
        assert!(matches!(answer.status.as_u16(), 400 | 401), "{answer:?}");
        assert!(matches!(answer.problem(), "invalid-callback-token" | "malformed-request"), "{answer:?}");
        assert!(!answer.body.to_string().contains(&forged[10..]), "{answer:?}");
    }
    assert_eq!(service.call(&unknown, &part("a", 1)).await.problem(), "invalid-callback-token");
    assert_eq!(service.call(&changed, &part("a", 1)).await.problem(), "invalid-callback-token");

    assert_eq!(world.rows().await, [0, 0, 0]);
    assert_eq!(world.count("SELECT count(*) FROM production_requests").await, 0);
    service.stop().await;
}

// Control: key-rotation.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_old_and_a_new_key_are_taken() {
    let world = World::new().await;
    let old = testkit::keys::CallbackKeys::generate().unwrap();
    let both = format!("{},{}", old.public_pem, world.surroundings.keys.public_pem);
    let service = world.start(&[("CALLBACK__PUBLIC_KEYS", &both)]).await;
    let signer = CallbackSigner::from_pem(&old.private_pem).unwrap();
    let token = signer.sign(&claims(RequestId::generate(), 5)).unwrap();
    assert_eq!(service.call(&token, &part("a", 5)).await.received(), ("received", 5));
    let token = service.world.token(5);
    assert_eq!(service.call(&token, &part("a", 5)).await.received(), ("received", 5));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_on_the_list_is_refused() {
    let service = Service::start(&[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let world = &service.world;
    let token = world.token(100);
    world.publish(&factory::CHANGED, TraceContext::new_root(), &factory_changed(1, &["192.0.2.0/24", "::1"])).await;
    world.wait_for_count("SELECT count(*) FROM factories", 1).await;
    let from = async |address: &str| {
        service.call_with(&token, &[("x-forwarded-for", address)], part("a", 100).to_string()).await
    };
    for elsewhere in ["198.51.100.7", "192.0.2.1, 198.51.100.7", "192.0.2.1, nonsense", "::2"] {
        let answer = from(elsewhere).await;
        assert_eq!(answer.refusal(), (403, "source-not-allowed"), "{elsewhere}");
    }
    let answer = service.call(&token, &part("a", 100)).await;
    assert_eq!(answer.refusal(), (403, "source-not-allowed"));
    // The address is checked before the body.
    let answer = service.call_with(&token, &[], "nonsense").await;
    assert_eq!(answer.status.as_u16(), 403);
    assert_eq!(world.rows().await, [0, 0, 0]);
    assert_eq!(from("203.0.113.9, 192.0.2.1, 127.0.0.9").await.received(), ("received", 100));
    assert_eq!(from("::1").await.received(), ("duplicate", 100));

    world.publish(&factory::CHANGED, TraceContext::new_root(), &factory_changed(2, &[])).await;
    world.wait_for_count("SELECT revision FROM factories", 2).await;
    assert_eq!(service.call(&token, &part("a", 100)).await.received(), ("duplicate", 100));
    service.stop().await;
}

// Control: callback-sources.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_must_be_allowed_by_the_installation_and_by_its_factory() {
    let service = Service::start(&[
        ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
        ("CALLBACK__ALLOWED_SOURCES", "192.0.2.0/24,2001:db8::/32"),
    ])
    .await;
    let world = &service.world;
    let token = world.token(100);
    let from = async |address: &str| {
        service.call_with(&token, &[("x-forwarded-for", address)], part("a", 100).to_string()).await
    };
    let refused = async |address: &str| {
        let answer = from(address).await;
        assert_eq!(answer.refusal(), (403, "source-not-allowed"), "{address}");
    };
    // The factory is unknown here, and so has no list.
    for elsewhere in ["198.51.100.7", "192.0.2.1, 198.51.100.7", "nonsense", "2001:db9::1"] {
        refused(elsewhere).await;
    }
    assert_eq!(service.call(&token, &part("a", 100)).await.status, 403, "from a proxy that names nobody");
    assert_eq!(world.rows().await, [0, 0, 0]);
    assert_eq!(from("2001:db8::7").await.received(), ("received", 100));

    // The factory's own list narrows the general one and does not widen it.
    let own = factory_changed(1, &["192.0.2.8/29", "198.51.100.0/24"]);
    world.publish(&factory::CHANGED, TraceContext::new_root(), &own).await;
    world.wait_for_count("SELECT count(*) FROM factories", 1).await;
    assert_eq!(from("192.0.2.9").await.received(), ("duplicate", 100));
    for elsewhere in ["192.0.2.1", "198.51.100.7", "2001:db8::7"] {
        refused(elsewhere).await;
    }
    service.stop().await;
}

// Control: bounded-quarantine.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_entries_for_a_token_and_no_more() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let token = world.token(100);
    for index in 0..20 {
        let answer = service.call(&token, &json!({"MessageAttributeProductCnt": -1 - index})).await;
        assert_eq!(answer.problem(), "invalid-count");
    }
    for body in [json!({"MessageAttributeProductCnt": 0}), part("a", 101)] {
        let answer = service.call(&token, &body).await;
        assert_eq!(answer.refusal(), (429, "too-many-quarantined"));
        assert!(answer.retry_after().is_some());
    }
    assert_eq!(world.rows().await, [0, 0, 20]);
    assert_eq!(service.call(&token, &json!({"MessageAttributeProductCnt": -1})).await.problem(), "invalid-count");
    assert_eq!(service.call(&token, &part("a", 100)).await.received(), ("received", 100));
    // Other tokens have their own bound.
    assert_eq!(service.call(&world.token(1), &json!({})).await.problem(), "invalid-count");
    assert_eq!(world.rows().await, [1, 1, 21]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresponsive_store_is_answered_503_with_retry_after() {
    let nowhere = ("DATABASE__URL", "postgres://nobody:x@127.0.0.1:1/x?sslmode=disable");
    let service = Service::start(&[nowhere, ("CALLBACK__HOLD_MS", "300")]).await;
    let answer = service.call(&service.world.token(1), &part("a", 1)).await;
    assert_eq!(answer.refusal(), (503, "unavailable"));
    assert!(answer.retry_after().is_some());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_outboxs_bound_callbacks_wait_and_are_then_answered_503() {
    let bounds = [NO_BROKER, ("OUTBOX__PENDING_MAX", "1"), ("CALLBACK__HOLD_MS", "8000")];
    let service = Service::start(&bounds).await;
    let world = &service.world;
    assert_eq!(service.call(&world.token(1), &part("a", 1)).await.received(), ("received", 1));
    let answer = wait_until("503", SOON, async || {
        let answer = service.call(&world.token(1), &part("a", 1)).await;
        if answer.status == 503 { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert_eq!(answer.problem(), "unavailable");
    assert!(answer.retry_after().is_some());
    service.stop().await;
}

// Control: callbacks-not-limited.
#[tokio::test(flavor = "multi_thread")]
async fn a_factory_that_calls_very_often_is_never_refused() {
    let service = Service::start(&[("HTTP__TRUSTED_HOPS", "1")]).await;
    let token = service.world.token(100);
    let calls = (0..1_500).map(|_| {
        let token = &token;
        let service = &service;
        async move {
            let answer =
                service.call_with(token, &[("x-forwarded-for", "192.0.2.7")], part("a", 100).to_string()).await;
            answer.status.as_u16()
        }
    });
    let statuses: Vec<u16> = stream::iter(calls).buffer_unordered(64).collect().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    service.stop().await;
}
