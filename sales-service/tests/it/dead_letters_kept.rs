//! Which failures are kept as dead letters, and for how long.

use chrono::{DateTime, TimeDelta, Utc};
use jaego_contracts::ids::{ReceiptId, RequestId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::dead_letters::{DISCARD, REDRIVE, ended, letters, open, publish_for_a_stranger};
use crate::harness::{SOON, Shop};
use crate::messages::{publish, received_of};

/// Publishes to `exchange` while the service is stopped, and delivers the message once, so that the service gets it
/// as redelivered, as after a lost acknowledgement. A second message shows when the service is done with the first.
async fn redeliver(shop: &mut Shop, exchange: &str, key: &str, queue: &str, properties: &Value, body: &[u8]) {
    shop.stop().await;
    let vhost = &shop.surroundings.vhost;
    let last = ReceiptId::generate().to_string();
    let mut after = properties.clone();
    after["message_id"] = json!(last);
    vhost.broker().publish(&vhost.name, exchange, key, properties, body).await.expect("published");
    let handed_out = vhost.broker().get_messages(&vhost.name, queue, 1).await.expect("messages");
    assert_eq!(handed_out.len(), 1);
    vhost.broker().publish(&vhost.name, exchange, key, &after, b"{}").await.expect("published");
    shop.start().await;
    shop.wait_for_count(&format!("SELECT count(*) FROM dead_letters WHERE message_id = '{last}'"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_that_is_reported_twice_is_one_death() {
    const QUEUE: &str = "sales.stock-received";
    let mut shop = open().await;
    let send = async |shop: &Shop, exchange: &str, key: &str, properties: &Value| {
        let vhost = &shop.surroundings.vhost;
        let routed = vhost.broker().publish(&vhost.name, exchange, key, properties, b"{}").await;
        assert!(routed.expect("published"));
    };
    let died = "SELECT attempts, status FROM dead_letters WHERE message_id = $1";
    let is = async |shop: &Shop, id: &str, expected: (i64, &str)| {
        wait_until(&format!("{id} to be {expected:?}"), SOON, || async {
            let row = shop.database.query_opt(died, &[&id]).await.map_err(|error| error.to_string())?;
            let found: Option<(i64, String)> = row.map(|row| (row.get(0), row.get(1)));
            let is_it = found.as_ref().is_some_and(|(attempts, status)| (*attempts, status.as_str()) == expected);
            if is_it { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    };
    let is_still = async |shop: &Shop, id: &str, expected: (i64, &str)| {
        let row = shop.sql_one(died, &[&id]).await;
        assert_eq!((row.get(0), row.get::<_, String>(1).as_str()), expected, "{id}");
    };
    let of = |id: &str| json!({"delivery_mode": 2, "message_id": id});

    // A message given up by the service, and one given up by the broker.
    let by_service = ("jaego.events", "stock.received", QUEUE, of("by-service"));
    let mut given_up = of("by-broker");
    given_up["headers"] = json!({"x-first-death-reason": "delivery_limit"});
    let by_broker = ("jaego.dead-letters", QUEUE, "sales.stock-received.dlq", given_up);
    for (exchange, key, queue, properties) in [by_service, by_broker] {
        let id = properties["message_id"].as_str().expect("an id").to_owned();
        send(&shop, exchange, key, &properties).await;
        is(&shop, &id, (1, "waiting")).await;
        let letter = shop.sql_one("SELECT id::text FROM dead_letters WHERE message_id = $1", &[&id]).await;
        let letter: String = letter.get(0);
        let discard = json!({"ids": [letter], "reason": "nobody needs it"});
        assert_eq!(shop.operate(Method::POST, DISCARD, discard).await.status, 200);
        redeliver(&mut shop, exchange, key, queue, &properties, b"{}").await;
        is_still(&shop, &id, (1, "discarded")).await;

        // The same message published again by its sender is a new failure.
        send(&shop, exchange, key, &properties).await;
        is(&shop, &id, (2, "waiting")).await;

        // A failed redrive is a new failure; a redelivery of the message is not.
        for attempts in [3, 4] {
            let ordered = shop.operate(Method::POST, REDRIVE, json!({"ids": [letter]})).await;
            assert_eq!(ended(&shop, &ordered).await["failed_again"], 1);
            is(&shop, &id, (attempts, "waiting")).await;
            redeliver(&mut shop, exchange, key, queue, &properties, b"{}").await;
            is_still(&shop, &id, (attempts, "waiting")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deaths_are_ordered_by_the_database_whatever_the_clocks_of_processes() {
    let shop = open().await;
    let vhost = &shop.surroundings.vhost;
    // A dead letter as published by a replica of the previous release whose clock is an hour fast.
    let fast = Utc::now() + TimeDelta::hours(1);
    let properties = json!({
        "delivery_mode": 2, "message_id": "m-1",
        "headers": {"x-jaego-reason": "handler-failed", "x-jaego-error": "no", "x-jaego-failed-at": fast.to_rfc3339()},
    });
    let body = received_of("NOT-HERE", ReceiptId::generate(), RequestId::generate(), 1);
    vhost
        .broker()
        .publish(&vhost.name, "jaego.dead-letters", "sales.stock-received", &properties, &body)
        .await
        .expect("sent");
    let letter = letters(&shop, "", 1).await.remove(0);
    let failed_at: DateTime<Utc> = letter["last_failed_at"].as_str().expect("a time").parse().expect("a time");
    assert!(failed_at < fast - TimeDelta::minutes(30), "{letter}");
    // Its next failure counts.
    let ordered = shop.operate(Method::POST, REDRIVE, json!({"ids": [letter["id"]]})).await;
    assert_eq!(ended(&shop, &ordered).await["failed_again"], 1);
    letters(&shop, "status=waiting", 1).await;
}

/// The value of a gauge for the one queue used in these tests.
async fn gauge(shop: &Shop, name: &str) -> Result<f64, String> {
    shop.metric(name, "\"sales.stock-received\"").await.ok_or_else(|| name.to_owned())
}

async fn wait_for_gauge(shop: &Shop, name: &str, is_right: impl Fn(f64) -> bool) {
    wait_until(name, SOON, || async {
        let value = gauge(shop, name).await?;
        if is_right(value) { Ok(()) } else { Err(value.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_without_room_in_the_table_stay_in_the_queue() {
    let settings = [("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50"), ("JAEGO_SALES__DEAD_LETTERS__WAITING_MAX", "2")];
    let shop = Shop::open_with(&settings).await;
    for _ in 0..2 {
        publish_for_a_stranger(&shop).await;
    }
    let ids: Vec<Value> = letters(&shop, "", 2).await.iter().map(|letter| letter["id"].clone()).collect();
    wait_for_gauge(&shop, "jaego_dead_letters_waiting", |count| (2.0..3.0).contains(&count)).await;
    for _ in 0..3 {
        publish_for_a_stranger(&shop).await;
    }
    // Undecodable messages stay on the broker; messages whose handler fails are retried further.
    for _ in 0..2 {
        publish(&shop, "stock.received", b"{}").await;
    }
    let vhost = &shop.surroundings.vhost;
    wait_until("two to be held", SOON, || async {
        let queue = vhost.broker().queue(&vhost.name, "sales.stock-received.dlq").await;
        let held = queue.map_err(|error| error.to_string())?.messages;
        if held == 2 { Ok(()) } else { Err(held.to_string()) }
    })
    .await;
    shop.wait_for_count("SELECT count(*) FROM message_retries WHERE attempts > 2", 3).await;
    assert_eq!(shop.count("SELECT count(*) FROM dead_letters").await, 2);

    let discard = json!({"ids": ids, "reason": "makes room"});
    assert_eq!(shop.operate(Method::POST, DISCARD, discard).await.status, 200);
    wait_until("some to have got room", SOON, || async {
        let count = shop.count("SELECT count(*) FROM dead_letters WHERE status = 'waiting'").await;
        if count >= 2 { Ok(()) } else { Err(count) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_oldest_letter_is_that_of_its_last_death() {
    const AGE: &str = "jaego_dead_letters_oldest_seconds";
    let shop = open().await;
    wait_for_gauge(&shop, AGE, |age| age == 0.0).await;
    for _ in 0..3 {
        publish_for_a_stranger(&shop).await;
    }
    let all = letters(&shop, "", 3).await;
    // A dead letter that is being redriven does not count as waiting.
    let aged = "UPDATE dead_letters SET first_failed_at = now() - interval '9000 s', status = $2, \
                last_failed_at = now() - $3 * interval '1 s' WHERE id = $1::text::uuid";
    for (letter, (status, age)) in all.iter().zip([("redriving", 5000.0), ("waiting", 1000.0)]) {
        let id = letter["id"].as_str().expect("an id");
        shop.database.execute(aged, &[&id, &status, &age]).await.expect("aged");
    }
    wait_for_gauge(&shop, AGE, |age| (1000.0..1000.0 + SOON.as_secs_f64()).contains(&age)).await;
    shop.database.batch_execute("DELETE FROM dead_letters").await.expect("gone");
    wait_for_gauge(&shop, AGE, |age| age == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_letters_and_their_jobs_are_forgotten_in_time_and_no_others() {
    let mut shop = Shop::open_with(&[
        ("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50"),
        ("JAEGO_SALES__DEAD_LETTERS__RETENTION_DAYS", "2"),
    ])
    .await;
    for _ in 0..3 {
        publish_for_a_stranger(&shop).await;
    }
    let all = letters(&shop, "", 3).await;
    let id = |index: usize| all[index]["id"].as_str().expect("an id").to_owned();
    let (old, young, waiting) = (id(0), id(1), id(2));
    let mut jobs = Vec::new();
    for ids in [vec![&old], vec![&young, &waiting]] {
        let ordered = shop.operate(Method::POST, REDRIVE, json!({"ids": ids})).await;
        ended(&shop, &ordered).await;
        jobs.push(ordered.body["id"].as_str().expect("an id").to_owned());
    }
    let discard = json!({"ids": [old, young], "reason": "nobody needs it"});
    assert_eq!(shop.operate(Method::POST, DISCARD, discard).await.status, 200);
    shop.wait_for_count("SELECT count(*) FROM redrives WHERE is_sent", 2).await;
    shop.stop().await;
    // Everything is older than the retention, except the settlement of the young one. There are more dead letters
    // than one batch deletes.
    shop.database
        .batch_execute(&format!(
            "UPDATE redrives SET created_at = now() - interval '3 days'; \
             UPDATE dead_letters SET first_failed_at = now() - interval '3 days', \
             last_failed_at = now() - interval '3 days'; \
             UPDATE dead_letters SET settled_at = now() - interval '49 hours' WHERE id = '{old}'; \
             UPDATE dead_letters SET settled_at = now() - interval '47 hours' WHERE id = '{young}'; \
             INSERT INTO dead_letters (id, queue, message_id, body_digest, status, reason, error, \"group\", cause, \
             attempts, content_type, headers, body, first_failed_at, last_failed_at, settled_at) \
             SELECT gen_random_uuid(), queue, 'more-' || number, body_digest, status, reason, error, \"group\", cause, \
             attempts, content_type, headers, body, first_failed_at, last_failed_at, settled_at \
             FROM dead_letters, generate_series(1, 1500) AS number WHERE id = '{old}'"
        ))
        .await
        .expect("aged");
    shop.start().await;
    let left = |table: &str| format!("SELECT array_agg(id::text ORDER BY id) FROM {table}");
    shop.wait_for_count("SELECT count(*) FROM redrives", 1).await;
    let kept: Vec<String> = shop.sql_one(&left("dead_letters"), &[]).await.get(0);
    let mut expected = vec![young, waiting];
    expected.sort();
    assert_eq!(kept, expected);
    let kept: Vec<String> = shop.sql_one(&left("redrives"), &[]).await.get(0);
    assert_eq!(kept, jobs[1..]);
}
