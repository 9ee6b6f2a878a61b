//! Correct tokens in a bad URL: the goods are booked, because the known factory calls once and ignores the answer.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Service, echo};

/// Paths with the token in place of TOKEN, or with its characters percent-encoded in place of ENCODED.
pub(crate) const FORMS: [&str; 30] = [
    "/callbacks/v1/restocks/TOKEN",
    "/callbacks/v1/restocks/TOKEN/",
    "/callbacks/v1/restocks/TOKEN///",
    "//callbacks/v1/restocks/TOKEN",
    "/callbacks//v1///restocks//TOKEN",
    "/callbacks/v1/restocks/TOKEN%20",
    "/callbacks/v1/restocks/%20TOKEN%0D%0A",
    "/callbacks/v1/restocks/TOKEN%09/%20",
    "/callbacks/v1/restocks/TOKEN%00",
    "/callbacks/v1/restocks/TOKEN+",
    "/callbacks/v1/restocks/ENCODED",
    "/callbacks/v1/restocks/ENCODED%2F",
    "/callbacks%2Fv1%2frestocks%2FTOKEN",
    "/%63allbacks/v1/restocks/%2520TOKEN%2520",
    "/callbacks/v1/restocks/TOKEN?",
    "/callbacks/v1/restocks/TOKEN/?source=factory&n=1",
    "/callbacks/v1/restocks/TOKEN%3Fsource=factory",
    "/callbacks/v1/restocks/%22TOKEN%22",
    "/callbacks/v1/restocks/%3CTOKEN%3E.",
    "/callbacks/v1/restocks/TOKEN;jsessionid=1",
    "/callbacks/v1/restocks/TOKEN%EC%9E%AC%FF",
    "/factory/callbacks/v1/restocks/TOKEN/done",
    "/Callbacks/V1/Restocks/TOKEN",
    "/callbacks/v1/restocks/%2E/TOKEN",
    "/callbacks/v1/restocks?token=TOKEN",
    "/callbacks/v1/restocks/?token=TOKEN",
    "/callbacks/v1/restocks/token=TOKEN",
    "/callbacks/v1/restocks/callbacks/v1/restocks/TOKEN",
    "/callbacks/v1/restocks/https%3A%2F%2Frestock.example%2Fcallbacks/v1/restocks/TOKEN",
    "/callbacks/v1/restocks%25252FTOKEN",
];

pub(crate) fn write(form: &str, token: &str) -> String {
    let encoded = token.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
    form.replace("TOKEN", token).replace("ENCODED", &encoded)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_callback_counts_whatever_the_form_of_its_url() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let mut refused = Vec::new();
    for listener in [&service.public, &service.api] {
        for form in FORMS {
            let token = world.token(100);
            let url = format!("{listener}{}", write(form, &token));
            let answer = world.send(&service, Method::POST, &url, &echo("100", &token)).await;
            if answer.status == 200 {
                assert_eq!(answer.received(), ("received", 100), "{form}");
                let again = service.call(&token, &echo("100", &token)).await;
                assert_eq!(again.received(), ("duplicate", 100), "{form}");
            } else {
                refused.push(format!("{form}: {}", answer.status));
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    let booked = 2 * i64::try_from(FORMS.len()).unwrap();
    assert_eq!(world.rows().await, [booked, booked, 0]);
    // All of them are one route in the metrics.
    let metrics = service.metrics().await;
    let measured = metrics.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count{"));
    let routes: Vec<&str> = measured.filter(|line| line.contains("method=\"POST\"")).collect();
    assert!(routes.iter().all(|line| line.contains("\"/callbacks/v1/restocks/{token}\"")), "{routes:#?}");
    service.stop().await;
}

// Control: url-forms.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_stays_wrong_in_every_form() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let (token, other) = (world.token(100), world.token(7));
    let forged = [token.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1].join(".");
    let long = "x".repeat(8_000);
    for wrong in ["not-a-token", "a.b.c", forged.as_str(), long.as_str(), &format!("{long}/{token}")] {
        for form in FORMS {
            let url = format!("{}{}", service.public, write(form, wrong));
            // A longer head than a server has to take is not even read.
            if url.len() > 12_000 {
                continue;
            }
            let answer = world.send(&service, Method::POST, &url, &echo("100", &token)).await;
            let is_right = match answer.status.as_u16() {
                400 => answer.problem() == "malformed-request",
                401 => answer.problem() == "invalid-callback-token",
                404 => wrong.len() > 1_000,
                _ => false,
            };
            assert!(is_right, "{form}: {} {}", answer.status, answer.body["detail"]);
        }
    }
    for nothing in ["/callbacks/v1/restocks", "/callbacks/v1/restocks/", "/callbacks/v1/", "//", "/v1/restocks/x"] {
        let answer = world.send(&service, Method::POST, &format!("{}{nothing}", service.public), &json!({})).await;
        assert_eq!(answer.refusal(), (404, "not-found"), "{nothing}");
    }
    assert_eq!(world.rows().await, [0, 0, 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_refused_and_with_an_authentic_token_an_operator_hears_of_it() {
    let service = Service::start(&[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let world = &service.world;
    let token = world.token(100);
    let methods = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    for (method, form) in methods.iter().cycle().zip(FORMS) {
        let url = format!("{}{}", service.public, write(form, &token));
        let answer = world.send(&service, method.clone(), &url, &echo("100", &token)).await;
        assert_eq!(answer.status, 405, "{method} {form}");
        assert_eq!(answer.headers["allow"], "POST", "{method} {form}");
        assert!(*method == Method::HEAD || answer.problem() == "method-not-allowed", "{answer:?}");
        assert!(!answer.body.to_string().contains(&token), "{answer:?}");
    }
    assert_eq!(world.rows().await, [0, 0, 1], "one entry for all of them");
    let kept =
        "SELECT count(*) FROM quarantine WHERE reason = 'unreadable-body' AND body = '' AND length(body_bytes) = 0";
    assert_eq!(world.count(kept).await, 1);
    let times = "SELECT times_received FROM quarantine";
    assert_eq!(world.count(times).await, i64::try_from(FORMS.len()).unwrap());
    // Its goods are still to come.
    assert_eq!(service.call(&token, &echo("100", &token)).await.received(), ("received", 100));
    // A stranger leaves nothing.
    for method in methods {
        let url = format!("{}/callbacks/v1/restocks/not-a-token/", service.public);
        let answer = world.send(&service, method, &url, &json!({})).await;
        assert_eq!((answer.status.as_u16(), &answer.headers["allow"]), (405, &"POST".parse().unwrap()));
    }
    assert_eq!(world.rows().await, [1, 1, 1]);
    service.stop().await;
}
