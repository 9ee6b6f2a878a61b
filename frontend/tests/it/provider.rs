//! Signing in at an identity provider.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::identity_provider::IdentityProvider;
use testkit::service::Surroundings;

use crate::harness::{Access, Answer, Front, site};

/// A frontend with a provider at which kim is an operator.
async fn open(changed: &[(&str, &str)]) -> (Front, IdentityProvider) {
    let provider = IdentityProvider::start().await;
    provider.put("kim-1", "kim", &["operators"]);
    let surroundings = Surroundings::new().await;
    let settings = provider.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let access = Access::start_with(&surroundings, &settings).await;
    let env = surroundings.frontend().await;
    let all = [&[("SESSION__PROVIDER", "Example")], changed].concat();
    (Front::open_knowing(surroundings, access, env, site(), &all).await, provider)
}

impl Front {
    /// Begins a sign-in; returns the address of the provider, and the browser's cookie.
    async fn begin(&self) -> (String, String) {
        let answer = self.request(Method::POST, "/session/provider").send().await.expect("an answer");
        let answer = Answer::of(answer).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.text());
        let cookie = answer.header("set-cookie").to_owned();
        for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap_or_default().to_owned();
        assert!(
            !answer.text().contains(pair.split('=').nth(1).unwrap_or_default()),
            "the secret is in the cookie only"
        );
        (answer.json()["url"].as_str().expect("an address").to_owned(), pair)
    }

    /// The browser comes back from the provider.
    async fn come_back(&self, cookie: &str, query: &str) -> Answer {
        let url = format!("{}/session/provider/return?{query}", self.api);
        let request = self.client.get(url).header("sec-fetch-site", "cross-site").header("cookie", cookie);
        let answer = Answer::of(request.send().await.expect("an answer")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (303, "no-store"), "{}", answer.text());
        answer
    }
}

fn cookies(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text")).collect()
}

// Control: provider-sign-in.
#[tokio::test]
async fn a_person_signs_in_at_the_provider_and_the_console_knows_them() {
    let (front, provider) = open(&[]).await;
    assert_eq!(front.get("/settings.json").await.json()["provider"], "Example");
    let (address, own) = front.begin().await;
    let (state, code) = provider.sign_in("kim-1", &address);
    let answer = front.come_back(&own, &format!("state={state}&code={code}&session_state=more")).await;
    assert_eq!(answer.header("location"), "/console");
    let [forgotten, kept] = cookies(&answer)[..] else { panic!("{:?}", answer.headers) };
    assert!(forgotten.starts_with("jaego-sign-in=;") && forgotten.contains("Max-Age=0"), "{forgotten}");
    assert!(kept.contains("HttpOnly; SameSite=Strict; Max-Age=28800"), "{kept}");
    let session = kept.split(';').next().unwrap_or_default();
    let operator = front.get_as(session, "/session").await.json()["operator"].clone();
    assert_eq!(operator, json!({ "name": "oidc:kim", "role": "operator" }));
    // Their session ends on the server when they sign out.
    let out = front.request(Method::DELETE, "/session").header("cookie", session).send().await.expect("an answer");
    assert_eq!(out.status(), 204);
    assert_eq!(front.get_as(session, "/session").await.json()["operator"], Value::Null);
    front.stop().await;
}

// Control: no-forced-sign-in.
#[tokio::test]
async fn nobody_is_signed_in_by_a_link_of_someone_else() {
    let (front, provider) = open(&[]).await;
    // An attacker begins a sign-in, and gets the victim to follow the link with the attacker's code.
    let (address, _) = front.begin().await;
    let (state, code) = provider.sign_in("kim-1", &address);
    let (_, of_victim) = front.begin().await;
    for cookie in ["", "jaego-sign-in=x", of_victim.as_str()] {
        let answer = front.come_back(cookie, &format!("state={state}&code={code}")).await;
        assert_eq!((answer.header("location"), cookies(&answer)), ("/console?sign-in=not-begun", vec![]));
    }
    // Nor can another site begin one in the victim's browser.
    let request = front.client.post(format!("{}/session/provider", front.api)).header("sec-fetch-site", "cross-site");
    Answer::of(request.send().await.expect("an answer")).await.is_problem(403, "forbidden");
    front.stop().await;
}

#[tokio::test]
async fn the_console_is_told_why_nobody_is_signed_in() {
    let (front, provider) = open(&[("HTTP__UNLIMITED_NETWORKS", ""), ("SESSION__ATTEMPTS_PER_MINUTE_MAX", "3")]).await;
    provider.put("park-1", "park", &[]);
    let (address, own) = front.begin().await;
    let (state, code) = provider.sign_in("park-1", &address);
    for (query, reason) in [
        (format!("state={state}&error=access_denied&error_description=%3Cb%3E"), "denied"),
        (format!("state={state}&error=%3Cscript%3E"), "provider-error"),
        (format!("state={state}&code={code}"), "no-role"),
        (format!("state={state}&code={code}"), "too-many-attempts"),
    ] {
        let answer = front.come_back(&own, &query).await;
        assert_eq!(answer.header("location"), format!("/console?sign-in={reason}"));
        assert!(cookies(&answer).iter().all(|cookie| cookie.starts_with("jaego-sign-in=;")), "{:?}", answer.headers);
    }
    front.stop().await;
}

#[tokio::test]
async fn while_the_provider_is_away_the_sign_in_says_so() {
    let (front, provider) = open(&[]).await;
    provider.be_away(true);
    let begun = front.request(Method::POST, "/session/provider").send().await.expect("an answer");
    Answer::of(begun).await.is_problem(503, "unavailable");
    provider.be_away(false);
    let (address, own) = front.begin().await;
    let (state, code) = provider.sign_in("kim-1", &address);
    provider.be_away(true);
    let query = format!("state={state}&code={code}");
    assert_eq!(front.come_back(&own, &query).await.header("location"), "/console?sign-in=unavailable");
    provider.be_away(false);
    // The code is still good, and so is the browser's secret.
    assert_eq!(front.come_back(&own, &query).await.header("location"), "/console");
    front.stop().await;
}

#[tokio::test]
async fn without_a_provider_and_in_the_shop_there_is_no_such_sign_in() {
    let front = Front::open(&[]).await;
    assert_eq!(front.get("/settings.json").await.json()["provider"], Value::Null);
    let begun = front.request(Method::POST, "/session/provider").send().await.expect("an answer");
    Answer::of(begun).await.is_problem(404, "not-found");
    front.get("/session/provider/return?state=x&code=y").await.is_problem(404, "not-found");
    front.stop().await;
    let (front, _provider) = open(&[]).await;
    let url = format!("{}/session/provider", front.public);
    let begun = front.client.post(url).header("sec-fetch-site", "same-origin").send().await.expect("an answer");
    Answer::of(begun).await.is_problem(404, "not-found");
    front.stop().await;
}
