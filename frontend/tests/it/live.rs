//! Events from the broker to browsers.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::LinkCutter;
use testkit::service::Surroundings;
use testkit::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

use crate::harness::{Answer, Front, SOON, Stream, site};

async fn follow(front: &Front, path: &str) -> Stream {
    Stream::open(front.request(Method::GET, path)).await
}

async fn follow_all(front: &Front) -> Stream {
    let cookie = front.viewer().await;
    Stream::open(front.request(Method::GET, "/live/console").header("cookie", cookie)).await
}

#[tokio::test]
async fn shoppers_hear_of_stock_without_figures_and_of_their_own_orders() {
    let front = Front::open(&[]).await;
    front.is("ready").await;
    let [own, other] = [(); 2].map(|()| Uuid::now_v7());
    let mut stream = follow(&front, &format!("/live?orders={own}")).await;
    let mut passer_by = Stream::open(front.client.get(format!("{}/live", front.public))).await;
    let orders = json!({ "orders": [{ "id": other, "lines": [] }, { "id": own, "lines": [] }] });
    front.publish("order.confirmed", &orders).await;
    let (name, data) = stream.next().await.expect("an event");
    assert_eq!((name.as_str(), data), ("order", json!({ "id": own, "type": "jaego.order.confirmed.v1" })));
    front.publish("stock.changed", &json!({ "sku": "CP-1", "on_hand": 5, "backordered": 1 })).await;
    for stream in [&mut stream, &mut passer_by] {
        let (name, data) = stream.next().await.expect("an event");
        assert_eq!((name.as_str(), data), ("stock", json!({ "sku": "CP-1" })));
    }
    front.stop().await;
}

#[tokio::test]
async fn a_product_that_changes_constantly_causes_one_hint_a_second() {
    let front = Front::open(&[]).await;
    front.is("ready").await;
    let (mut stream, mut all) = (follow(&front, "/live").await, follow_all(&front).await);
    let begun = Instant::now();
    for number in 0..30 {
        front.publish("stock.changed", &json!({ "sku": "CP-1", "on_hand": number })).await;
    }
    let (mut hints, mut told_for) = (0, Duration::ZERO);
    while let Ok(Some((name, _))) = stream.next_within(Duration::from_millis(2500)).await {
        assert_eq!(name, "stock");
        hints += 1;
        told_for = begun.elapsed();
    }
    let most = 2 + told_for.as_secs();
    assert!((2..=most).contains(&hints), "{hints} hints for 30 changes within {told_for:?}");
    for number in 0..30 {
        let (name, event) = all.next().await.expect("an event");
        assert_eq!((name.as_str(), &event["data"]["on_hand"]), ("stock.changed", &json!(number)));
    }
    front.stop().await;
}

#[tokio::test]
async fn a_signed_in_operator_receives_every_event() {
    let front = Front::open(&[]).await;
    front.is("ready").await;
    Answer::of(front.request(Method::GET, "/live/console").send().await.expect("an answer"))
        .await
        .is_problem(401, "unauthorized");
    let mut stream = follow_all(&front).await;
    let orders: Vec<Value> = (0..50).map(|_| json!({ "id": Uuid::now_v7(), "lines": [] })).collect();
    front.publish("order.rejected", &json!({ "orders": orders })).await;
    let (name, event) = stream.next().await.expect("an event");
    assert_eq!((name.as_str(), &event["type"]), ("order.rejected", &json!("jaego.order.rejected.v1")));
    assert_eq!(event["data"]["count"], 50);
    assert_eq!(event["data"]["orders"].as_array().map(Vec::len), Some(20));
    assert_eq!(event["data"]["orders"][0], orders[0]);
    for key in ["production.overdue", "replenishment.closed", "factory.changed", "stock.received"] {
        front.publish(key, &json!({ "sku": "CP-1", "quantity": 7 })).await;
        let (name, event) = stream.next().await.expect("an event");
        assert_eq!((name.as_str(), &event["data"]["quantity"]), (key, &json!(7)));
    }
    front.stop().await;
}

/// A console that does not read yet, with small buffers of the kernel.
async fn follow_slowly(front: &Front) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("set");
    let address = front.api.trim_start_matches("http://").parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("connected");
    let cookie = front.viewer().await;
    let request = format!("GET /live/console HTTP/1.1\r\nhost: shop.example\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.readable().await.expect("it has begun");
    stream
}

#[tokio::test]
async fn a_browser_that_reads_nothing_is_notified_of_its_loss_and_delays_no_other() {
    let front = Front::open(&[]).await;
    front.is("ready").await;
    let mut quick = follow_all(&front).await;
    let mut slow = follow_slowly(&front).await;
    // More than the sockets and buffers in between can hold.
    let filler = "x".repeat(60_000);
    let count = 120;
    let publishing = async {
        for number in 0..count {
            front.publish("factory.changed", &json!({ "number": number, "filler": filler })).await;
        }
    };
    let reading = async {
        for number in 0..count {
            let (name, event) = quick.next().await.expect("an event");
            assert_eq!((name.as_str(), &event["data"]["number"]), ("factory.changed", &json!(number)));
        }
    };
    tokio::join!(publishing, reading);
    let (mut text, mut buffer) = (String::new(), vec![0; 64 * 1024]);
    while !text.contains(&format!("\"number\":{}", count - 1)) {
        let read = slow.read(&mut buffer).await.expect("an event");
        assert!(read > 0, "the stream ended");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let (read, lost) = (text.matches("event: factory.changed").count(), text.matches("event: lost").count());
    assert!(lost >= 1 && read < count, "read {read}, notified of a loss {lost} times");
    front.stop().await;
}

// Control: bounded-live-events.
#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let front = Front::open(&[("LIVE__CLIENTS_MAX", "2")]).await;
    let first = follow(&front, "/live").await;
    let second = follow(&front, "/live").await;
    let refused = front.get("/live").await;
    refused.is_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "10");
    // An operator finds a place however many shoppers there are.
    drop(follow_all(&front).await);
    drop(first);
    let third = wait_until("a place is free", SOON, async || {
        let response = front.request(Method::GET, "/live").send().await.expect("an answer");
        if response.status() == 200 { Ok(response) } else { Err(response.status()) }
    })
    .await;
    drop((second, third));
    front.get("/live?orders=1,2").await.is_problem(422, "invalid-request");
    let many = vec![Uuid::now_v7().to_string(); 21].join(",");
    front.get(&format!("/live?orders={many}")).await.is_problem(422, "invalid-request");
    front.stop().await;
}

#[tokio::test]
async fn pages_hear_when_the_broker_is_away_and_back() {
    let surroundings = Surroundings::new().await;
    let own = surroundings.frontend().await;
    let (_, url) = own.iter().find(|(key, _)| key.ends_with("AMQP__URL")).expect("an address").clone();
    let broker = url.rsplit('@').next().and_then(|rest| rest.split('/').next()).expect("a host").to_owned();
    let link = LinkCutter::start(broker).await.expect("a link");
    let through = link.url(&url).expect("a URL");
    let front = Front::open_as(surroundings, own, site(), &[("AMQP__URL", &through)]).await;
    front.is("ready").await;
    let mut stream = follow(&front, "/live").await;
    link.cut();
    assert_eq!(stream.next().await.expect("an event").0, "offline");
    let report = front.is("degraded").await;
    assert!(report["checks"]["broker-live"].as_str().is_some_and(|check| check.contains("connection")), "{report}");
    assert_eq!(front.get("/").await.status, 200, "pages go on");
    let mut late = follow(&front, "/live").await;
    assert_eq!(late.next().await.expect("an event").0, "offline", "who comes now hears it at once");
    link.pass();
    for stream in [&mut stream, &mut late] {
        assert_eq!(stream.next().await.expect("an event").0, "online");
    }
    front.publish("stock.changed", &json!({ "sku": "CP-1" })).await;
    assert_eq!(stream.next().await.expect("an event"), ("stock".to_owned(), json!({ "sku": "CP-1" })));
    front.stop().await;
}

#[tokio::test]
async fn streams_end_with_the_process() {
    let front = Front::open(&[]).await;
    front.is("ready").await;
    let (mut shop, mut console) = (follow(&front, "/live").await, follow_all(&front).await);
    let begun = Instant::now();
    let stopping = tokio::spawn(front.stop());
    assert_eq!(shop.next().await, None);
    assert_eq!(console.next().await, None);
    stopping.await.expect("stopped");
    // Open streams would delay the stop by `shutdown.drain_ms`, 20 s.
    assert!(begun.elapsed() < Duration::from_secs(19), "streams held the listeners open: {:?}", begun.elapsed());
}

#[tokio::test]
async fn the_queue_is_the_frontends_own_and_gone_with_it() {
    let front = Front::open(&[]).await;
    front.is("ready").await;
    let vhost = &front.surroundings.vhost;
    let queues = async || {
        let all = vhost.broker().queues(&vhost.name).await.expect("queues");
        all.into_iter().filter(|queue| queue.name.starts_with("frontend.live.")).collect::<Vec<_>>()
    };
    let own = wait_until("the queue is seen", SOON, async || queues().await.pop()).await;
    assert_eq!(own.arguments["x-queue-type"], "classic");
    assert_eq!(own.arguments["x-max-length"], 10_000);
    // The queue is exclusive, so not even the administrator may inspect it.
    let (broker, name) = (vhost.broker().clone(), vhost.name.clone());
    front.stop().await;
    wait_until("the queue is gone", SOON, async || {
        let left =
            broker.queues(&name).await.map(|queues| queues.into_iter().map(|queue| queue.name).collect::<Vec<_>>());
        match left {
            Ok(left) if left.iter().any(|name| name.starts_with("frontend.live.")) => Err(format!("{left:?}")),
            _ => Ok(()),
        }
    })
    .await;
}
