//! Requests that are forwarded to services, and their answers.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use testkit::wait_until;

use crate::harness::{Answer, Front, NOWHERE, SOON};
use crate::upstream::Upstream;

// Control: no-token-for-shoppers.
#[tokio::test]
async fn shoppers_reach_the_public_port_without_any_token() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let cookie = front.operator().await;
    for cookie in ["", cookie.as_str()] {
        let request = front
            .request(Method::POST, "/sales/api/v1/orders")
            .header("cookie", cookie)
            .header("idempotency-key", "key-1")
            .header("authorization", "Bearer mine")
            .header("accept-language", "ko")
            .header("x-forwarded-for", "1.2.3.4")
            .json(&json!({ "lines": [] }));
        let answer = Answer::of(request.send().await.expect("an answer")).await;
        assert_eq!((answer.status, answer.json()), (201, json!({ "lines": [] })));
        let seen = upstream.one();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/public/api/v1/orders"));
        assert_eq!(seen.body, br#"{"lines":[]}"#);
        assert_eq!(seen.header("idempotency-key"), Some("key-1"));
        assert_eq!(seen.header("accept-language"), Some("ko"));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert!(seen.header("traceparent").is_some());
        for name in ["cookie", "authorization", "x-forwarded-for", "sec-fetch-site", "origin"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
    front.stop().await;
}

#[tokio::test]
async fn operators_routes_carry_the_sessions_token() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let (operator, viewer) = (front.operator().await, front.viewer().await);
    let get = "/production/api/v1/production-requests?status=overdue&limit=2";
    for cookie in [&operator, &viewer] {
        let (_, token) = cookie.split_once('=').expect("a value");
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = front.request(Method::GET, get).header("cookie", cookie).header("traceparent", trace);
        assert_eq!(request.send().await.expect("an answer").status(), 201);
        let seen = upstream.one();
        assert_eq!(seen.path, "/api/api/v1/production-requests?status=overdue&limit=2");
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {token}").as_str()));
        assert_eq!(seen.header("cookie"), None);
        let sent = seen.header("traceparent").expect("a trace");
        assert!(sent.starts_with(&trace[..35]) && sent != trace, "the same trace, another hop: {sent}");
    }
    front.get(get).await.is_problem(401, "unauthorized");
    let act = async |cookie: &str| {
        let request = front.request(Method::POST, "/restock/api/v1/quarantine/0190-a/accept").header("cookie", cookie);
        Answer::of(request.json(&json!({ "reason": "x" })).send().await.expect("an answer")).await
    };
    act(&viewer).await.is_problem(403, "forbidden");
    act("jaego-session=nonsense").await.is_problem(401, "unauthorized");
    assert!(upstream.seen().is_empty(), "nothing went on");
    assert_eq!(act(&operator).await.status, 201);
    assert_eq!(upstream.one().path, "/api/api/v1/quarantine/0190-a/accept");
    front.stop().await;
}

// Control: listed-routes.
#[tokio::test]
async fn a_route_outside_the_table_is_not_found() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let operator = front.operator().await;
    for path in [
        "/sales/openapi.json",
        "/sales/docs",
        "/sales",
        "/sales/api/v1/nothing",
        "/sales/api/v1/factories",
        "/sales/api/v1/products/CP-1/adjustments",
        "/restock/callbacks/v1/restocks/token",
    ] {
        front.get_as(&operator, path).await.is_problem(404, "not-found");
    }
    let delete = front.request(Method::DELETE, "/sales/api/v1/products/CP-1").header("cookie", &operator);
    Answer::of(delete.send().await.expect("an answer")).await.is_problem(404, "not-found");
    // A client that sends arbitrary paths cannot escape the prefix.
    for path in
        ["products/%2e%2e/stock", "products/..%2fstock", "products/%2E%2E", "products/a%2Fb", "products/a%3Fb=c"]
    {
        let line = format!("GET /sales/api/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(&front.api, &line).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    // An id with needless escapes is accepted.
    let answer =
        raw(&front.api, "GET /sales/api/v1/products/CP%3A1?x=%20 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.await.starts_with("HTTP/1.1 201"));
    assert_eq!(upstream.one().path, "/public/api/v1/products/CP:1?x=%20");
    front.stop().await;
}

/// Sends these bytes and reads until the peer closes the connection.
async fn raw(url: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn only_the_headers_that_pages_need_are_passed_back() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let answer = front.get("/sales/api/v1/products/CP-1").await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("etag"), "\"7\"");
    assert_eq!(answer.header("idempotency-replayed"), "true");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=a.csv");
    assert_eq!(answer.header("cache-control"), "no-store");
    for name in ["set-cookie", "server", "access-control-allow-origin"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
    assert!(answer.header("content-security-policy").contains("default-src 'none'"), "ours, not theirs");
    let problem = front.get("/sales/api/v1/products/problem").await;
    assert_eq!((problem.status, problem.header("retry-after")), (409, "7"));
    assert_eq!(problem.json()["detail"], "theirs", "a service's own problem is not touched");
    // Redirects are not followed: they would lead to a URL outside the table.
    let redirect = front.get("/sales/api/v1/products/redirect").await;
    assert_eq!((redirect.status, redirect.header("location")), (302, ""));
    front.stop().await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let large = front.request(Method::POST, "/sales/api/v1/orders").body(vec![b'x'; 64 * 1024 + 1]);
    Answer::of(large.send().await.expect("an answer")).await.is_problem(413, "payload-too-large");
    assert!(upstream.seen().is_empty());
    let fits = front.request(Method::POST, "/sales/api/v1/orders").body(vec![b'x'; 64 * 1024]);
    assert_eq!(fits.send().await.expect("an answer").status(), 201);

    front.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let viewer = front.viewer().await;
    upstream.go_on();
    let parts = front.get("/sales/api/v1/products/parts").await;
    assert_eq!((parts.status, parts.text()), (200, "first,second".to_owned()));
    upstream.go_on();
    let problem = front.get("/sales/api/v1/products/broken").await.is_problem(503, "unavailable");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("may have been carried out")), "{problem}");
    // A large answer is passed on while it arrives.
    let request = front.request(Method::GET, "/sales/api/v1/stock/large-broken").header("cookie", viewer);
    let mut broken = request.send().await.expect("an answer");
    assert!(broken.chunk().await.expect("a part").is_some());
    upstream.go_on();
    while let Ok(part) = broken.chunk().await {
        assert!(part.is_some(), "it looks whole");
    }
    front.stop().await;
}

#[tokio::test]
async fn a_service_that_is_away_or_slow_is_named() {
    let upstream = Upstream::start();
    let changed = [("SERVICES__TIMEOUT_MS", "300"), ("SERVICES__PRODUCTION_URL", NOWHERE)];
    let front = Front::before(&upstream, &changed).await;
    let viewer = front.viewer().await;
    let away = front.get_as(&viewer, "/production/api/v1/factories").await;
    let problem = away.is_problem(503, "unavailable");
    assert_eq!((&problem["service"], away.header("retry-after")), (&json!("production-service"), "2"));
    assert!(!away.text().contains("127.0.0.1"), "no address: {}", away.text());
    let begun = Instant::now();
    let problem = front.get("/sales/api/v1/products/slow").await.is_problem(503, "unavailable");
    assert_eq!(problem["service"], "sales-service");
    // The service would answer in an hour, and the default timeout is 20 s.
    assert!(begun.elapsed() < Duration::from_secs(19));
    front.stop().await;
}

#[tokio::test]
async fn requests_on_their_way_are_bounded_for_each_service() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[("SERVICES__IN_FLIGHT_MAX", "1")]).await;
    let viewer = front.viewer().await;
    let held = tokio::spawn(front.request(Method::GET, "/sales/api/v1/products/held").send());
    wait_until("the first is on its way", SOON, async || (!upstream.seen().is_empty()).then_some(())).await;
    let refused = front.get("/sales/api/v1/products").await;
    let problem = refused.is_problem(503, "overloaded");
    assert_eq!((&problem["service"], refused.header("retry-after")), (&json!("sales-service"), "1"));
    assert_eq!(front.get_as(&viewer, "/restock/api/v1/receipts").await.status, 201, "another service has its own");
    upstream.go_on();
    assert_eq!(held.await.expect("no panic").expect("an answer").status(), 200);
    wait_until("there is room again", SOON, async || {
        let status = front.get("/sales/api/v1/products").await.status;
        if status == 201 { Ok(()) } else { Err(status) }
    })
    .await;
    front.stop().await;
}

#[tokio::test]
async fn the_simulators_controls_are_there_for_operators_where_there_is_one() {
    let upstream = Upstream::start();
    let factory = upstream.url("factory");
    let front = Front::before(&upstream, &[("DEMO__FACTORY_URL", &factory)]).await;
    let (operator, viewer) = (front.operator().await, front.viewer().await);
    front.get("/demo/faults").await.is_problem(401, "unauthorized");
    front.get_as(&viewer, "/demo/faults").await.is_problem(403, "forbidden");
    for (method, path, wanted) in [
        (Method::GET, "/demo/faults", "/factory/sim/faults"),
        (Method::PUT, "/demo/faults", "/factory/sim/faults"),
        (Method::DELETE, "/demo/faults", "/factory/sim/faults"),
        (Method::GET, "/demo/requests", "/factory/sim/requests"),
        (Method::GET, "/demo/callbacks", "/factory/sim/callbacks"),
        (Method::POST, "/demo/callbacks/2/repeat", "/factory/sim/callbacks/2/repeat"),
    ] {
        let request = front.request(method, path).header("cookie", &operator);
        assert_eq!(request.send().await.expect("an answer").status(), 201, "{path}");
        let seen = upstream.one();
        assert_eq!((seen.path.as_str(), seen.header("authorization")), (wanted, None));
    }
    front.get_as(&operator, "/demo/history").await.is_problem(404, "not-found");
    front.stop().await;

    let front = Front::before(&upstream, &[]).await;
    let operator = front.operator().await;
    front.get_as(&operator, "/demo/faults").await.is_problem(404, "not-found");
    front.stop().await;
}
