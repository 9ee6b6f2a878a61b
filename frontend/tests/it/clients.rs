//! Bounds of each client, whose address is named by the proxy in front.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use testkit::service::OPERATOR_TOKEN;
use testkit::wait_until;

use crate::harness::{Answer, Front, SOON, Stream};

const ONE_PROXY: (&str, &str) = ("HTTP__TRUSTED_HOPS", "1");

async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.expect("an answer")).await
}

/// Asks for a page, with this value of `X-Forwarded-For`.
async fn page(front: &Front, url: &str, forwarded: &str) -> Answer {
    send(front.client.get(format!("{url}/")).header("x-forwarded-for", forwarded)).await
}

// Control: client-rate.
#[tokio::test]
async fn a_client_that_asks_too_often_is_refused_and_no_other() {
    let limits = [ONE_PROXY, ("HTTP__CLIENT_RATE_PER_S", "1"), ("HTTP__CLIENT_BURST", "3")];
    let front = Front::open(&limits).await;
    let refused = wait_until("it is refused", SOON, async || {
        // The element that the caller has chosen makes no other client of it.
        let chosen = format!("{}, 192.0.2.7", uuid::Uuid::now_v7());
        let answer = page(&front, &front.public, &chosen).await;
        if answer.status == 429 { Ok(answer) } else { Err(answer.status) }
    })
    .await;
    refused.is_problem(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(!refused.header("content-security-policy").is_empty());
    assert_eq!(page(&front, &front.public, "198.51.100.1").await.status, 200);
    // Operators are not limited, nor are addresses that many clients may be behind.
    for _ in 0..10 {
        assert_eq!(page(&front, &front.api, "192.0.2.7").await.status, 200);
        assert_eq!(page(&front, &front.public, "10.0.0.5").await.status, 200);
        assert_eq!(front.get_public("/").await.status, 200);
    }
    front.stop().await;
}

// Control: own-lockout.
#[tokio::test]
async fn wrong_sign_ins_of_anybody_lock_out_nobody_else() {
    let front = Front::open(&[ONE_PROXY]).await;
    let sign_in = async |token: &str, address: &str| {
        // While access-service is slow, the answer asks to try again, and nothing is counted.
        wait_until("a sign-in that is decided", SOON, async || {
            let request = front.request(Method::POST, "/session").header("x-forwarded-for", address);
            let answer = send(request.json(&json!({ "token": token }))).await;
            if answer.status == 503 { Err(answer.text()) } else { Ok(answer) }
        })
        .await
    };
    for _ in 0..20 {
        sign_in("wrong", "192.0.2.7").await.is_problem(401, "unauthorized");
    }
    sign_in(OPERATOR_TOKEN, "192.0.2.7").await.is_problem(429, "too-many-attempts");
    assert_eq!(sign_in(OPERATOR_TOKEN, "198.51.100.1").await.status, 200);
    // Behind a load balancer that hides addresses, all have the same one.
    for _ in 0..21 {
        sign_in("wrong", "10.0.0.5").await.is_problem(401, "unauthorized");
    }
    assert_eq!(sign_in(OPERATOR_TOKEN, "10.0.0.5").await.status, 200);
    front.stop().await;
}

// Control: live-events-per-client.
#[tokio::test]
async fn one_client_cannot_take_all_places_of_live_events() {
    let front = Front::open(&[ONE_PROXY, ("LIVE__PER_CLIENT_MAX", "2")]).await;
    let live = |address: &str| front.client.get(format!("{}/live", front.public)).header("x-forwarded-for", address);
    // Two addresses of one network.
    let first = Stream::open(live("2001:db8::1")).await;
    let second = Stream::open(live("2001:db8::2")).await;
    let refused = send(live("2001:db8::3")).await;
    refused.is_problem(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), "10");
    let other = Stream::open(live("2001:db8:1::1")).await;
    drop(first);
    let third = wait_until("a place is free", SOON, async || {
        let response = live("2001:db8::3").send().await.expect("an answer");
        if response.status() == 200 { Ok(response) } else { Err(response.status()) }
    })
    .await;
    drop((second, third, other));
    front.stop().await;
}
