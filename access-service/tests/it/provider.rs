//! People who sign in at an identity provider.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::identity_provider::{IdentityProvider, Signature};
use testkit::service::OPERATOR_TOKEN;
use testkit::wait_until;

use crate::harness::{Asking, Response, SOON, Service, World};

/// Starts access-service with a provider at which kim is an operator and lee a viewer.
async fn start(changed: &[(&str, &str)]) -> (Service, IdentityProvider) {
    let provider = IdentityProvider::start().await;
    provider.put("kim-1", "kim", &["operators", "others"]);
    provider.put("lee-1", "lee", &["viewers"]);
    let service = start_with(World::new().await, &provider, changed).await;
    (service, provider)
}

async fn start_with(world: World, provider: &IdentityProvider, changed: &[(&str, &str)]) -> Service {
    let settings = provider.settings();
    let mut all: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    all.extend(changed);
    world.start(&all).await
}

impl Service {
    async fn begin(&self) -> (String, String) {
        let begun = self.internal("sign-ins/begin", Value::Null).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        (begun.body["attempt"].as_str().unwrap().to_owned(), begun.body["url"].as_str().unwrap().to_owned())
    }

    async fn finish(&self, attempt: &str, state: &str, code: &str) -> Response {
        let answer = json!({
            "attempt": attempt, "state": state, "code": code, "error": null, "iss": null, "source": "192.0.2.7",
        });
        self.internal("sign-ins/finish", answer).await
    }

    /// The whole sign-in of a person.
    async fn sign_in_as(&self, provider: &IdentityProvider, subject: &str) -> Response {
        let (attempt, url) = self.begin().await;
        let (state, code) = provider.sign_in(subject, &url);
        self.finish(&attempt, &state, &code).await
    }

    /// The credential of a new session of a person.
    async fn session_of(&self, provider: &IdentityProvider, subject: &str) -> String {
        let end = self.sign_in_as(provider, subject).await;
        assert!(end.body["begun"].is_object(), "{end:?}");
        end.body["begun"]["session"].as_str().unwrap().to_owned()
    }

    async fn becomes(&self, credential: &str, status: u16) {
        wait_until(&format!("status {status}"), SOON, async || {
            let seen = self.status_as(credential).await;
            if seen == status { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Moves the provider's last answers into the past.
    async fn age(&self, seconds: u32) {
        let statement = format!("UPDATE people SET checked_at = now() - interval '{seconds} s'");
        self.world.database.batch_execute(&statement).await.unwrap();
    }

    async fn make_token(&self, session: &str, role: &str) -> String {
        let body = json!({"name": role, "role": role, "expires_in_days": 1});
        let made = self.send_as(Some(session), Method::POST, "/api/v1/tokens", Some(body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["token"].as_str().unwrap().to_owned()
    }
}

// Control: groups-to-roles.
#[tokio::test(flavor = "multi_thread")]
async fn people_have_the_role_of_their_groups_and_the_audit_log_names_them() {
    let (service, provider) = start(&[]).await;
    let end = service.sign_in_as(&provider, "kim-1").await;
    let begun = &end.body["begun"];
    assert_eq!((&begun["principal"]["name"], &begun["principal"]["role"]), (&json!("oidc:kim"), &json!("operator")));
    let kim = begun["session"].as_str().unwrap().to_owned();
    let lee = service.session_of(&provider, "lee-1").await;
    let end_all = |person: &str| Some(json!({ "person": person }));
    let refused = service.send_as(Some(&lee), Method::POST, "/api/v1/sessions/end", end_all("oidc:kim")).await;
    assert_eq!(refused.problem(), "forbidden", "a viewer");
    assert_eq!(
        service.world.recorded("session.begin").await,
        ["kim", "lee"]
            .map(|name| { (format!("oidc:{name}"), json!({"with": "identity provider", "source": "192.0.2.7"})) })
    );
    let ended = service.send_as(Some(&kim), Method::POST, "/api/v1/sessions/end", end_all("oidc:lee")).await;
    assert_eq!(ended.body, json!({ "ended": 1 }));
    assert_eq!((service.status_as(&lee).await, service.status_as(&kim).await), (401, 200));
    service.stop().await;
}

// Control: no-group-no-role.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_no_group_or_has_no_name_gets_no_session() {
    let (service, provider) = start(&[]).await;
    provider.put("park-1", "park", &["Operators", "others"]);
    provider.put("choi-1", " ", &["operators"]);
    for (subject, refusal) in [("park-1", "no-role"), ("choi-1", "not-accepted")] {
        let end = service.sign_in_as(&provider, subject).await;
        assert_eq!(end.body, json!({ "refused": refusal }));
        let (actor, detail) = service.world.recorded("session.refuse").await.pop().unwrap();
        assert_eq!((actor.as_str(), detail), ("-", json!({"source": "192.0.2.7", "because": refusal})));
    }
    assert_eq!(service.world.count("SELECT count(*) FROM sessions").await, 0);
    service.stop().await;
}

// Control: id-token-checks.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_in_any_way_begins_no_session() {
    let (service, provider) = start(&[]).await;
    let later = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
    for wrong in [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"exp": 1_700_000_000}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"aud": ["console", "another"]}),
        json!({"aud": ["console", "another"], "azp": "another"}),
        json!({"iss": "http://127.0.0.1/another"}),
        json!({"iss": [provider.issuer(), "http://127.0.0.1/another"]}),
        json!({"iss": null}),
        json!({"iat": later}),
        json!({"iat": null}),
        json!({"nbf": later}),
        json!({"sub": ""}),
        json!({"sub": null}),
    ] {
        provider.patch(wrong.clone());
        let end = service.sign_in_as(&provider, "kim-1").await;
        assert_eq!(end.body, json!({ "refused": "not-accepted" }), "{wrong}");
    }
    provider.patch(json!({}));
    for signature in [Signature::Forged, Signature::None] {
        provider.sign_as(signature);
        let end = service.sign_in_as(&provider, "kim-1").await;
        assert_eq!(end.body, json!({ "refused": "not-accepted" }), "{signature:?}");
    }
    assert_eq!(service.world.count("SELECT count(*) FROM sessions").await, 0);
    provider.sign_as(Signature::Own);
    service.session_of(&provider, "kim-1").await;
    service.stop().await;
}

// Control: provider-key-rotation.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_and_an_old_one_is_not_accepted_for_ever() {
    let (service, provider) = start(&[]).await;
    service.session_of(&provider, "kim-1").await;
    provider.rotate_key();
    // Unknown keys do not make the service fetch for each of them.
    wait_until("the new key is known", SOON, async || {
        let end = service.sign_in_as(&provider, "kim-1").await;
        if end.body["begun"].is_object() { Ok(()) } else { Err(end.body) }
    })
    .await;
    service.stop().await;
}

// Control: bound-sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_that_began_a_sign_in_finishes_it_and_once() {
    let (service, provider) = start(&[]).await;
    let (own, url) = service.begin().await;
    let (foreign, _) = service.begin().await;
    let (state, code) = provider.sign_in("kim-1", &url);
    for (attempt, state) in [(foreign.as_str(), state.as_str()), ("", &state), (&own, ""), (&own, &foreign)] {
        let end = service.finish(attempt, state, &code).await;
        assert_eq!(end.body, json!({ "refused": "not-begun" }));
    }
    // A code of another sign-in has another challenge.
    let (_, other_url) = service.begin().await;
    let (_, injected) = provider.sign_in("lee-1", &other_url);
    assert_eq!(service.finish(&own, &state, &injected).await.body, json!({ "refused": "not-accepted" }));
    assert!(service.finish(&own, &state, &code).await.body["begun"].is_object());
    assert_eq!(service.finish(&own, &state, &code).await.body, json!({ "refused": "not-accepted" }));
    // Not even another code begins a second session.
    let (_, again) = provider.sign_in("kim-1", &url);
    assert_eq!(service.finish(&own, &state, &again).await.body, json!({ "refused": "not-begun" }));
    assert_eq!(service.world.count("SELECT count(*) FROM sessions").await, 1);
    for path in ["sign-ins/begin", "sign-ins/finish"] {
        let path = format!("/internal/{path}");
        let refused = service.send_as(Some(OPERATOR_TOKEN), Method::POST, &path, Some(Value::Null)).await;
        assert!([401, 422].contains(&refused.status.as_u16()), "{refused:?}");
    }
    service.stop().await;
}

// Control: out-within-a-minute.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_at_the_provider_is_out_with_all_sessions_and_tokens() {
    let (service, provider) = start(&[]).await;
    let asking = Asking::start(&service.api).await;
    let session = service.session_of(&provider, "kim-1").await;
    let token = service.make_token(&session, "operator").await;
    asking.becomes(&session, 200).await;
    asking.becomes(&token, 200).await;
    // In the group of viewers now.
    provider.put("kim-1", "kim", &["viewers"]);
    service.age(21).await;
    for credential in [&session, &token] {
        wait_until("a viewer", SOON, async || {
            let refused = asking.change_as(credential).await;
            if refused.status == 403 { Ok(()) } else { Err(refused.status) }
        })
        .await;
        assert_eq!(asking.read_as(credential).await.status, 200);
    }
    // In no group now.
    provider.put("kim-1", "kim", &[]);
    service.age(21).await;
    for credential in [&session, &token] {
        asking.becomes(credential, 401).await;
    }
    let removed = service.world.recorded("person.remove").await;
    assert_eq!(removed, [("-".to_owned(), json!({"because": "no group of the person gives a role"}))]);
    assert_eq!(service.world.recorded("session.end").await.len(), 1);
    // The token is valid again when its holder has signed in again, the session is not.
    provider.put("kim-1", "kim", &["viewers"]);
    let second = service.session_of(&provider, "kim-1").await;
    service.becomes(&token, 200).await;
    assert_eq!(service.status_as(&session).await, 401);
    // The account is deleted.
    provider.delete("kim-1");
    service.age(21).await;
    service.becomes(&second, 401).await;
    asking.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_old_is_not_relied_on() {
    let (service, provider) = start(&[]).await;
    let session = service.session_of(&provider, "kim-1").await;
    provider.delete("kim-1");
    service.age(3600).await;
    // The first request waits for the provider, and is never answered from what was known an hour ago.
    let status = service.status_as(&session).await;
    assert!([401, 503].contains(&status), "{status}");
    service.becomes(&session, 401).await;
    service.stop().await;
}

// Control: provider-away.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_provider_is_away_people_work_on_for_a_bounded_time() {
    let (service, provider) = start(&[("OIDC__GRACE_S", "300")]).await;
    let session = service.session_of(&provider, "kim-1").await;
    provider.be_away(true);
    service.age(100).await;
    service.becomes(&session, 200).await;
    service.age(301).await;
    let refused = service.send_as(Some(&session), Method::GET, "/api/v1/tokens", None).await;
    assert_eq!(refused.problem(), "unavailable");
    let (attempt, url) = service.begin().await;
    let (state, code) = provider.sign_in("kim-1", &url);
    assert_eq!(service.finish(&attempt, &state, &code).await.problem(), "unavailable");
    assert_eq!(service.status_as(OPERATOR_TOKEN).await, 200, "configured tokens need no provider");
    provider.be_away(false);
    service.becomes(&session, 200).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_use_a_refresh_token_once() {
    let (service, provider) = start(&[]).await;
    let settings = provider.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let other = service.world.replica(&settings).await;
    let (one, two) = (Asking::start(&service.api).await, Asking::start(&other.api).await);
    let session = service.session_of(&provider, "kim-1").await;
    for round in 1..=3 {
        service.age(60).await;
        // This provider ends everything when a refresh token is used twice.
        let (first, second) = tokio::join!(one.read_as(&session), two.read_as(&session));
        assert!(first.status != 401 && second.status != 401, "{first:?} {second:?}");
        wait_until("a check", SOON, async || {
            service.status_as(&session).await;
            let seen = provider.refreshes();
            if seen >= round { Ok(()) } else { Err(seen) }
        })
        .await;
        assert_eq!(provider.refreshes(), round);
    }
    one.becomes(&session, 200).await;
    two.becomes(&session, 200).await;
    one.stop().await;
    two.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_refresh_tokens_the_userinfo_is_asked() {
    let (service, provider) = start(&[]).await;
    provider.give_refresh_tokens(false);
    provider.tell_groups_in_userinfo();
    let session = service.session_of(&provider, "lee-1").await;
    service.age(21).await;
    service.becomes(&session, 200).await;
    wait_until("a check", SOON, async || {
        service.status_as(&session).await;
        let age = "SELECT count(*) FROM people WHERE checked_at > now() - interval '15 s'";
        let seen = service.world.count(age).await;
        if seen == 1 { Ok(()) } else { Err(seen) }
    })
    .await;
    provider.put("lee-1", "lee", &[]);
    service.age(21).await;
    service.becomes(&session, 401).await;
    service.stop().await;
}

// Control: names-apart.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_over_the_name_of_someone_else() {
    let (service, provider) = start(&[]).await;
    let (configured, _) = service.token("laptop", "operator").await;
    let kim = service.session_of(&provider, "kim-1").await;
    let token = service.make_token(&kim, "operator").await;
    // The configured kim and the provider's kim are two people; a viewer sees nothing of the other.
    provider.put("kim-2", "kim", &["viewers"]);
    assert_eq!(service.sign_in_as(&provider, "kim-2").await.body, json!({ "refused": "name-taken" }));
    provider.put("lee-1", "kim", &["viewers"]);
    assert_eq!(service.sign_in_as(&provider, "lee-1").await.body, json!({ "refused": "name-taken" }));
    assert_eq!((service.status_as(&kim).await, service.status_as(&token).await), (200, 200));
    // The first one leaves, and the provider gives the name to the second one.
    provider.delete("kim-1");
    let successor = service.session_of(&provider, "kim-2").await;
    service.becomes(&kim, 401).await;
    service.becomes(&token, 401).await;
    let list = service.send_as(Some(&successor), Method::GET, "/api/v1/tokens", None).await;
    assert_eq!(list.body["items"], json!([]), "the tokens of the first one");
    assert_eq!(service.status_as(&configured).await, 200);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_tokens_are_sealed_and_no_longer_accepted_with_another_key_or_issuer() {
    let (service, provider) = start(&[]).await;
    let session = service.session_of(&provider, "kim-1").await;
    let row = service.world.sql_one("SELECT sealed_grant FROM people", &[]).await;
    let sealed: Vec<u8> = row.get(0);
    assert!(!String::from_utf8_lossy(&sealed).contains("refresh"));
    let world = service.stop().await;
    let elsewhere = IdentityProvider::start().await;
    let service = start_with(world, &elsewhere, &[]).await;
    assert_eq!(service.status_as(&session).await, 401, "a person of another provider");
    let world = service.stop().await;
    let other_key = "a5".repeat(32);
    let service = start_with(world, &provider, &[("OIDC__SEALING_KEY", &other_key)]).await;
    service.age(21).await;
    service.becomes(&session, 401).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_signs_in_by_its_own_registration() {
    let (service, provider) = start(&[]).await;
    let post = async |path: &str, body: Value| service.send_as(None, Method::POST, path, Some(body)).await;
    let begun = post("/login/begin", json!({"port": 40_123})).await;
    let (attempt, url) = (begun.body["attempt"].as_str().unwrap(), begun.body["url"].as_str().unwrap());
    assert!(url.contains("client_id=cli&redirect_uri=http%3A%2F%2F127.0.0.1%3A40123%2Freturn"), "{url}");
    let (state, code) = provider.sign_in("kim-1", url);
    let answer = json!({"port": 40_123, "attempt": attempt, "state": state, "code": code, "error": null, "iss": null});
    let end = post("/login/finish", answer).await;
    let session = end.body["begun"]["session"].as_str().unwrap();
    assert_eq!(service.status_as(session).await, 200);
    assert_eq!(service.world.recorded("session.begin").await[0].1["source"], "127.0.0.1");
    service.age(21).await;
    provider.delete("kim-1");
    service.becomes(session, 401).await;
    assert_eq!(post("/login/begin", json!({"port": 80})).await.problem(), "invalid-request");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_nothing_of_it_is_there() {
    let service = Service::start(&[]).await;
    assert_eq!(service.internal("sign-ins/begin", Value::Null).await.problem(), "not-found");
    let begun = service.send_as(None, Method::POST, "/login/begin", Some(json!({"port": 40_123}))).await;
    assert_eq!(begun.problem(), "not-found");
    service.stop().await;
}
