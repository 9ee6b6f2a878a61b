//! Signing in and out.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::service::{OPERATOR_TOKEN, VIEWER_TOKEN};

use testkit::wait_until;

use crate::harness::{Answer, Front, SOON, Stream};

// Control: unreadable-cookie.
#[tokio::test]
async fn an_operator_signs_in_and_scripts_cannot_read_the_token() {
    let front = Front::open(&[]).await;
    let nobody = front.get("/session").await;
    assert_eq!((nobody.status, nobody.json()), (200, json!({ "operator": null })));
    assert_eq!(nobody.header("cache-control"), "no-store");

    let answer = front.sign_in(&format!(" {OPERATOR_TOKEN}\n")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "operator": { "name": "kim", "role": "operator" } })));
    let cookie = answer.header("set-cookie").to_owned();
    assert!(!cookie.contains(OPERATOR_TOKEN) && !answer.text().contains(OPERATOR_TOKEN));
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800", "jaego-session=jaego_ses_"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap_or_default();
    assert_eq!(front.get_as(pair, "/session").await.json()["operator"]["name"], "kim");
    let viewer = front.viewer().await;
    assert_eq!(front.get_as(&viewer, "/session").await.json()["operator"]["role"], "viewer");

    let out = front.request(Method::DELETE, "/session").header("cookie", pair);
    let out = Answer::of(out.send().await.expect("an answer")).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{:?}", out.headers);

    // The cookie itself is worth nothing any more, not only gone from the browser.
    assert_eq!(front.get_as(pair, "/session").await.json()["operator"], Value::Null);
    front.get_as(pair, "/access/api/v1/sessions").await.is_problem(401, "unauthorized");
    let garbled = format!("{}x", &pair[..pair.len() - 1]);
    assert_eq!(front.get_as(&garbled, "/session").await.json()["operator"], Value::Null);
    front.stop().await;
}

// Control: server-ended-sessions.
#[tokio::test]
async fn a_session_that_is_ended_from_the_server_ends_everywhere_with_its_live_events() {
    let front = Front::open(&[]).await;
    let (own, other) = (front.operator().await, front.operator().await);
    let mut stream = Stream::open(front.request(Method::GET, "/live/console").header("cookie", &other)).await;
    let sessions = front.get_as(&own, "/access/api/v1/sessions").await.json();
    let newest = &sessions["items"][0];
    assert_eq!((&newest["person"], &newest["source"]), (&json!("kim"), &json!("127.0.0.1")));
    let path = format!("/access/api/v1/sessions/{}/end", newest["id"].as_str().expect("an id"));
    let request = front.request(Method::POST, &path).header("cookie", &own).json(&json!({ "reason": "left open" }));
    assert_eq!(Answer::of(request.send().await.expect("an answer")).await.status, 200);
    wait_until("the session is refused", SOON, async || {
        let operator = front.get_as(&other, "/session").await.json()["operator"].clone();
        if operator == Value::Null { Ok(()) } else { Err(operator) }
    })
    .await;
    // Its stream of events ends, too.
    while stream.next().await.is_some() {}
    assert_eq!(front.get_as(&own, "/session").await.json()["operator"]["name"], "kim");
    front.stop().await;
}

// Control: true-sign-out.
#[tokio::test]
async fn without_access_service_sign_in_and_sign_out_do_not_claim_success() {
    let mut front = Front::open(&[]).await;
    let cookie = front.operator().await;
    front.stop_access().await;
    front.sign_in(OPERATOR_TOKEN).await.is_problem(503, "unavailable");
    let out = front.request(Method::DELETE, "/session").header("cookie", &cookie);
    let out = Answer::of(out.send().await.expect("an answer")).await;
    out.is_problem(503, "unavailable");
    assert_eq!(out.header("set-cookie"), "", "the browser keeps the cookie, to try again");
    wait_until("the session cannot be checked", SOON, async || {
        let answer = front.get_as(&cookie, "/session").await;
        if answer.status == 503 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    // The shop does not need it.
    assert_eq!(front.get("/settings.json").await.status, 200);
    front.stop().await;
}

#[tokio::test]
async fn a_secure_cookie_is_bound_to_its_host() {
    let front = Front::open(&[("SESSION__SECURE", "true")]).await;
    let cookie = front.sign_in(VIEWER_TOKEN).await.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-jaego-session=") && cookie.contains("; Secure"), "{cookie}");
    assert!(!cookie.contains("Domain"), "{cookie}");
    front.stop().await;
}

#[tokio::test]
async fn wrong_tokens_are_refused_and_soon_not_even_looked_at() {
    let front = Front::open(&[("HTTP__UNLIMITED_NETWORKS", ""), ("SESSION__ATTEMPTS_PER_MINUTE_MAX", "2")]).await;
    for _ in 0..2 {
        let answer = front.sign_in("wrong").await;
        answer.is_problem(401, "unauthorized");
        assert_eq!(answer.header("set-cookie"), "");
    }
    let answer = front.sign_in(OPERATOR_TOKEN).await;
    answer.is_problem(429, "too-many-attempts");
    let seconds: u32 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    front.stop().await;
}

#[tokio::test]
async fn a_malformed_sign_in_is_answered_with_the_reason() {
    let front = Front::open(&[]).await;
    let send = async |request: reqwest::RequestBuilder| Answer::of(request.send().await.expect("an answer")).await;
    let post = || front.request(Method::POST, "/session");
    send(post().json(&json!({ "token": "x", "more": 1 }))).await.is_problem(422, "invalid-request");
    send(post().body("token=x")).await.is_problem(415, "unsupported-media-type");
    send(post().header("content-type", "application/json").body("{")).await.is_problem(400, "malformed-request");
    let put = send(front.request(Method::PUT, "/session")).await;
    put.is_problem(405, "method-not-allowed");
    assert_eq!(put.header("allow"), "GET, POST, DELETE");
    front.stop().await;
}

#[tokio::test]
async fn other_sites_cannot_change_anything() {
    let front = Front::open(&[]).await;
    let url = |path: &str| format!("{}{path}", front.api);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("x-nothing", ""),
    ] {
        for (method, path) in
            [(Method::POST, "/session"), (Method::DELETE, "/session"), (Method::POST, "/sales/api/v1/orders")]
        {
            let request = front.client.request(method, url(path)).header(name, value).json(&json!({ "token": "x" }));
            let answer = Answer::of(request.send().await.expect("an answer")).await;
            answer.is_problem(403, "forbidden");
            assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        }
    }
    // An older browser, which sends `Origin` but not `Sec-Fetch-Site`.
    let request = front.client.post(url("/session")).header("origin", &front.api);
    let answer = request.json(&json!({ "token": VIEWER_TOKEN })).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    front.stop().await;
}
