//! Clients that do not read, do not send, or do neither, next to one that does.

use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use frontend::site::Site;
use futures::StreamExt as _;
use reqwest::Method;
use testkit::service::Surroundings;
use testkit::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, Front, SOON};
use crate::upstream::{LARGE_BYTES, Upstream};

/// No request is waited for longer than this.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Requests that one client sends at once. The kernel's buffers hold the answers to some of them only.
const PIPELINED: usize = 16;

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://")).await.expect("connected")
}

fn asks(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")
}

/// Clients that ask for much and read nothing.
async fn non_readers(url: &str, path: &str, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut client = connect(url).await;
        client.write_all(asks(path).repeat(PIPELINED).as_bytes()).await.expect("sent");
        all.push(client);
    }
    all
}

/// Reads until the connection ends, however it ends.
async fn read_to_end(client: &mut TcpStream) -> usize {
    let (mut read, mut buffer) = (0, vec![0; 64 * 1024]);
    while let Ok(count @ 1..) = client.read(&mut buffer).await {
        read += count;
    }
    read
}

/// Resident memory of this process, MiB. Each test is a process of its own.
fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("KiB") / 1024
}

#[tokio::test]
async fn pages_that_nobody_reads_keep_nobody_else_from_theirs() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[("SERVICES__IN_FLIGHT_MAX", "4")]).await;
    let rude = non_readers(&front.public, "/sales/api/v1/orders/large", 12).await;
    wait_until("all of them have been asked for", SOON, async || {
        let seen = upstream.seen().len();
        if seen >= 4 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    wait_until("someone else gets an answer", HEAD_DEADLINE, async || {
        let answer = front.get_public("/sales/api/v1/products").await;
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    drop(rude);
    front.stop().await;
}

#[tokio::test]
async fn the_shop_and_the_console_do_not_share_their_places() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[("SERVICES__IN_FLIGHT_MAX", "1")]).await;
    let operator = front.operator().await;
    let mut held = connect(&front.public).await;
    held.write_all(asks("/sales/api/v1/products/held").as_bytes()).await.expect("sent");
    wait_until("it waits for sales-service", SOON, async || upstream.seen().pop()).await;
    front.get_public("/sales/api/v1/products").await.is_problem(503, "overloaded");
    assert_eq!(front.get_as(&operator, "/sales/api/v1/stock").await.status, 201);
    upstream.go_on();
    front.stop().await;
}

#[tokio::test]
async fn a_file_that_nobody_reads_takes_no_memory_for_each_client() {
    const CLIENTS: usize = 200;
    let surroundings = Surroundings::new().await;
    let file = |path: &str, bytes: Vec<u8>| (path.to_owned(), Bytes::from(bytes));
    let site = Site::of([file("index.html", b"shop".to_vec()), file("assets/large.js", vec![b' '; 4 << 20])]);
    let front = Front::open_with(surroundings, site, &[]).await;
    let before = memory_mib();
    let rude = non_readers(&front.public, "/assets/large.js", CLIENTS).await;
    // When the last of them has got its first bytes, all others have been served as far as they go.
    for client in &rude {
        client.readable().await.expect("an answer");
    }
    assert_eq!(front.get_public("/").await.status, 200);
    let taken = memory_mib().saturating_sub(before);
    // A copy for each would be 800 MiB.
    assert!(taken < 100, "{taken} MiB for {CLIENTS} clients");
    drop(rude);
    front.stop().await;
}

#[tokio::test]
async fn unread_pages_take_bounded_memory() {
    const CLIENTS: usize = 150;
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let before = memory_mib();
    let mut rude = Vec::new();
    for _ in 0..CLIENTS {
        rude.extend(non_readers(&front.public, "/sales/api/v1/orders/large", 1).await);
        rude.last().expect("a client").readable().await.expect("an answer");
    }
    let taken = memory_mib().saturating_sub(before);
    assert!(taken < 100, "{taken} MiB for {CLIENTS} unread answers of {LARGE_BYTES} bytes");
    assert_eq!(front.get_public("/sales/api/v1/products").await.status, 201);
    // Whoever has not read for long had to make room.
    let first = rude.first_mut().expect("a client");
    let read = tokio::time::timeout(SOON, read_to_end(first)).await.expect("it was closed");
    assert!(read < PIPELINED * LARGE_BYTES, "{read}");
    front.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_ends() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let mut rude = non_readers(&front.public, "/sales/api/v1/orders/large", 1).await;
    let client = rude.first_mut().expect("a client");
    let closed = "jaego_http_connections_closed_total{reason=\"write\"";
    wait_until("the connection was given up", SOON, async || {
        let metrics = front.client.get(format!("{}/metrics", front.admin)).send().await.map_err(|e| e.to_string())?;
        let text = metrics.text().await.map_err(|error| error.to_string())?;
        if text.contains(closed) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let read = read_to_end(client).await;
    assert!(read < PIPELINED * LARGE_BYTES, "{read}");
    front.stop().await;
}

/// Sends a byte now and then until the connection ends.
async fn trickle(mut client: TcpStream, part: &'static str) -> String {
    let (mut reader, mut writer) = client.split();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let ended = async {
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..count]);
        }
    };
    let sent = async {
        while writer.write_all(part.as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! { () = ended => {}, () = sent => {} }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_never_ends_ends_the_connection() {
    let front = Front::open(&[]).await;
    let own = "sec-fetch-site: same-origin\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let counted = "content-length: 60000\r\n";
    let mut clients = Vec::new();
    for (path, headers, part, status) in [
        ("/sales/api/v1/orders", format!("{own}{counted}"), "x", "400"),
        ("/sales/api/v1/orders", format!("{own}{chunked}"), "1\r\nx\r\n", "400"),
        // These are answered before the body.
        ("/sales/nowhere", format!("{own}{chunked}"), "1\r\nx\r\n", "4"),
        ("/demo", format!("{own}{chunked}"), "1\r\nx\r\n", "404"),
        ("/sales/api/v1/orders", chunked.to_owned(), "1\r\nx\r\n", "403"),
        ("/sales/api/v1/orders", counted.to_owned(), "x", "403"),
    ] {
        let mut client = connect(&front.api).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: shop.example\r\n{headers}\r\n");
        client.write_all(head.as_bytes()).await.expect("sent");
        let name = format!("{path} {headers}");
        clients.push(async move {
            let ended = tokio::time::timeout(Duration::from_secs(40), trickle(client, part)).await;
            let answer = ended.unwrap_or_else(|_| panic!("{name}: still open"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
        });
    }
    futures::future::join_all(clients).await;
    front.stop().await;
}

#[tokio::test]
async fn half_a_head_ends_the_connection_even_after_a_request() {
    let front = Front::open(&[]).await;
    let mut client = connect(&front.public).await;
    client.write_all(asks("/settings.json").as_bytes()).await.expect("sent");
    client.write_all(b"GET /settings.json HTTP/1.1\r\n").await.expect("sent");
    let ended = tokio::time::timeout(Duration::from_secs(40), trickle(client, "x: y\r\n")).await;
    let answer = ended.expect("the connection ended");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    front.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_ends_the_connection() {
    let front = Front::open(&[]).await;
    let mut client = connect(&front.public).await;
    let head = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(64 * 1024));
    // The connection may end while it is being sent.
    client.write_all(head.as_bytes()).await.ok();
    let ended = tokio::time::timeout(HEAD_DEADLINE / 2, read_to_end(&mut client)).await;
    assert!(ended.is_ok(), "still open");
    front.stop().await;
}

/// Deadlines alone would let everyone else wait until they pass.
#[tokio::test]
async fn clients_that_send_nothing_give_way_to_one_that_does() {
    let front = Front::open(&[("HTTP__CONNECTIONS_MAX", "20")]).await;
    let begun = Instant::now();
    let mut rude = futures::stream::FuturesUnordered::new();
    for _ in 0..100 {
        let mut client = connect(&front.public).await;
        rude.push(async move { read_to_end(&mut client).await });
    }
    for _ in 0..80 {
        assert_eq!(rude.next().await, Some(0), "closed without an answer");
    }
    assert_eq!(front.get_public("/").await.status, 200);
    let taken = begun.elapsed();
    assert!(taken < HEAD_DEADLINE / 2, "it had to wait for a deadline: {taken:?}");
    drop(rude);
    front.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_for_the_shop_is_refused_and_the_console_gets_it() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let operator = front.operator().await;
    front.get_public("/sales/api/v1/orders/huge").await.is_problem(503, "unavailable");
    let request = front.request(Method::GET, "/sales/api/v1/stock/huge/movements").header("cookie", &operator);
    let answer = Answer::of(request.send().await.expect("an answer")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 4 * LARGE_BYTES));
    front.stop().await;
}
