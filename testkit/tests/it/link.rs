//! The link cutter: which bytes pass, which are lost, and which side notices.

use std::time::{Duration, Instant};

use testkit::{LinkCutter, wait_until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Only a broken program takes this long.
const SOON: Duration = Duration::from_secs(120);
/// Long enough for any bytes to arrive.
const SILENCE: Duration = Duration::from_millis(150);

/// Starts a server that echoes what it receives, and returns its address.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    address
}

async fn connect(link: &LinkCutter) -> TcpStream {
    TcpStream::connect(link.address()).await.unwrap()
}

async fn says(stream: &mut TcpStream, word: &[u8]) {
    let mut answer = vec![0; word.len()];
    stream.write_all(word).await.unwrap();
    timeout(SOON, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(answer, word);
}

async fn is_silent(stream: &mut TcpStream) {
    stream.write_all(b"anybody?").await.unwrap();
    assert!(timeout(SILENCE, stream.read_u8()).await.is_err(), "nothing arrives, and neither side notices");
}

async fn is_closed(stream: &mut TcpStream) {
    let read = timeout(SOON, stream.read_u8()).await.expect("it notices");
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn bytes_pass_in_order_and_an_end_is_passed_on() {
    let link = LinkCutter::start(echo().await).await.unwrap();
    let mut stream = connect(&link).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut from, mut to) = stream.split();
    let mut received = Vec::new();
    let writing = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    tokio::join!(writing, async { from.read_to_end(&mut received).await.unwrap() });
    assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
    wait_until("the connection's end", SOON, || async { (link.connections() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_cut_link_closes_both_sides_until_it_passes_again() {
    let link = LinkCutter::start(echo().await).await.unwrap();
    let mut before = connect(&link).await;
    says(&mut before, b"hello").await;
    link.cut();
    is_closed(&mut before).await;
    is_closed(&mut connect(&link).await).await;
    link.pass();
    let mut after = connect(&link).await;
    says(&mut after, b"hello").await;
    link.cut_once();
    is_closed(&mut after).await;
    says(&mut connect(&link).await, b"hello").await;
}

#[tokio::test]
async fn a_blackhole_is_silent_and_never_delivers_swallowed_bytes() {
    let link = LinkCutter::start(echo().await).await.unwrap();
    let (mut before, mut quiet) = (connect(&link).await, connect(&link).await);
    says(&mut before, b"hello").await;
    says(&mut quiet, b"hello").await;
    link.blackhole();
    is_silent(&mut before).await;
    let mut meanwhile = connect(&link).await;
    is_silent(&mut meanwhile).await;
    link.pass();
    is_silent(&mut before).await;
    is_silent(&mut meanwhile).await;
    says(&mut quiet, b"who said nothing lost nothing").await;
    says(&mut connect(&link).await, b"hello").await;
    drop(before);
    link.cut();
    wait_until("no connection", SOON, || async { (link.connections() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn each_direction_has_its_delay() {
    let link = LinkCutter::start(echo().await).await.unwrap();
    let mut stream = connect(&link).await;
    for (to_target, to_client) in [(200, 0), (0, 200), (100, 150)] {
        link.delay_ms(to_target, to_client);
        let begun = Instant::now();
        says(&mut stream, b"hello").await;
        assert!(begun.elapsed() >= Duration::from_millis(to_target + to_client), "{:?}", begun.elapsed());
    }
    // With the earlier delay this would take an hour.
    link.delay_ms(3_600_000, 0);
    link.delay_ms(0, 0);
    says(&mut stream, b"hello").await;
}

#[tokio::test]
async fn urls_lead_through_it() {
    let link = LinkCutter::start("127.0.0.1:1").await.unwrap();
    let port = link.address().port();
    let through = link.url("amqp://sales:p%40@127.0.0.1:5672/jaego").unwrap();
    assert_eq!(through, format!("amqp://sales:p%40@127.0.0.1:{port}/jaego"));
    let through = link.url("postgres://a:b@localhost:5432/db?sslmode=disable").unwrap();
    assert_eq!(through, format!("postgres://a:b@127.0.0.1:{port}/db?sslmode=disable"));
    assert!(link.url("no url").is_err());
    is_closed(&mut connect(&link).await).await;
}
