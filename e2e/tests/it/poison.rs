//! Messages that no consumer can read are dead-lettered at once and block nothing.

use jaego_contracts::topology::{QUEUES, Queue};
use localstack::stack::Service;
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::task::JoinSet;

use e2e::{SOON, World};

/// Number of poison messages for each queue.
const POISON: usize = 6;

/// A complete event of this type.
fn event(queue: &Queue, kind: &str) -> Vec<u8> {
    let id = format!("poison-{}", queue.name);
    json!({ "specversion": "1.0", "id": id, "source": "/poison", "type": kind, "data": {} }).to_string().into_bytes()
}

/// Poison messages, each with the expected reason of its dead letter.
fn poison(queue: &Queue) -> [(&'static str, Vec<u8>); POISON] {
    let random = (0..4096).map(|_| rand::random::<u8>()).collect();
    [
        ("undecodable", random),
        // JSON that is not an event, and an incomplete event.
        ("undecodable", br#"{"sku":"CP-502101","quantity":1}"#.to_vec()),
        ("undecodable", br#"{"type":"jaego.nothing.v1","data":{}}"#.to_vec()),
        // Events of an unknown type, and of an unknown version of the queue's own type.
        ("unknown-type", event(queue, "jaego.nothing.v1")),
        ("unknown-type", event(queue, &format!("jaego.{}.v99", queue.routing_keys[0]))),
        ("undecodable", vec![b'x'; 1 << 20]),
    ]
}

fn reader(queue: &Queue) -> Service {
    Service::MESSAGING.into_iter().find(|service| service.user() == Some(queue.reader)).expect("a reader")
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_in_every_queue_hinders_nothing() {
    let world = World::shared(Vec::new()).await;
    let (broker, vhost) = world.stack.broker().unwrap();
    let mut publishing = JoinSet::new();
    for queue in QUEUES {
        for (number, (_, body)) in poison(queue).into_iter().enumerate() {
            let (broker, vhost) = (broker.clone(), vhost.to_owned());
            publishing.spawn(async move {
                let properties = json!({ "delivery_mode": 2, "message_id": format!("{}-{number}", queue.name) });
                // The default exchange routes to the queue with this name.
                let routed = broker.publish(&vhost, "amq.default", queue.name, &properties, &body).await.unwrap();
                assert!(routed, "{} takes it", queue.name);
            });
        }
    }
    publishing.join_all().await;

    // The main job passes through every service, behind the poison messages in its queues.
    world.sell_out().await;
    world.wait_on_hand(10).await;
    for queue in QUEUES {
        let letters = letters(&world, queue, POISON).await;
        for (number, (reason, _)) in poison(queue).iter().enumerate() {
            let id = format!("{}-{number}", queue.name);
            let letter = letters.iter().find(|letter| letter["message_id"] == *id);
            assert_eq!(letter.expect("a letter of each")["reason"], *reason, "{id}: {letters:?}");
        }
        assert!(letters.iter().all(|letter| letter["attempts"] == 1), "at once: {letters:?}");
        assert!(letters.iter().any(|letter| letter["body_bytes"] == 1 << 20), "{}", queue.name);
    }
    for service in Service::MESSAGING {
        let all: i64 = world.sql(service, "SELECT count(*) FROM dead_letters").await;
        let own = QUEUES.iter().filter(|queue| reader(queue) == service).count();
        assert_eq!(all, i64::try_from(own * POISON).unwrap(), "{service}");
        let retried: i64 = world.sql(service, "SELECT count(*) FROM message_retries").await;
        assert_eq!(retried, 0, "{service}");
        let audit = world.api(service).get("/api/v1/audit").await.unwrap().ok("audit").unwrap();
        assert_eq!(audit["ok"], true, "{service}: {audit}");
    }
    for queue in QUEUES {
        for name in [queue.name.to_owned(), queue.dead_letter_queue()] {
            assert_eq!(world.stack.depth(&name).await.unwrap(), 0, "{name}");
        }
    }
    world.stop().await;
}

async fn letters(world: &World, queue: &Queue, count: usize) -> Vec<Value> {
    let api = world.api(reader(queue));
    let path = format!("/api/v1/dead-letters?queue={}&limit=200", queue.name);
    wait_until(&format!("{count} dead letters of {}", queue.name), SOON, || async {
        let letters = world.items(&api, &path).await;
        if letters.len() == count { Ok(letters) } else { Err(format!("{} letters", letters.len())) }
    })
    .await
}
