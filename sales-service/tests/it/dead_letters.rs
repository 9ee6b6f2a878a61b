//! Messages that cannot be decoded or handled are kept, grouped by cause, redriven and discarded.

use std::collections::BTreeSet;

use jaego_contracts::ids::{ReceiptId, RequestId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::bad_input::assert_problem;
use crate::harness::{Response, SOON, Shop, bearer, policy};
use crate::messages::{event, publish, received_of};

const LETTERS: &str = "/api/v1/dead-letters";
pub const REDRIVE: &str = "/api/v1/dead-letters/redrive";
pub const DISCARD: &str = "/api/v1/dead-letters/discard";

pub async fn open() -> Shop {
    Shop::open_with(&[("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50,50")]).await
}

/// The dead letters of a query, once there are `count`.
pub async fn letters(shop: &Shop, query: &str, count: usize) -> Vec<Value> {
    wait_until(&format!("{count} letters of {query}"), SOON, || async {
        let body = shop.get(&format!("{LETTERS}?limit=200&{query}")).await.body;
        let items = body["items"].as_array().cloned().unwrap_or_default();
        if items.len() == count { Ok(items) } else { Err(body.to_string()) }
    })
    .await
}

pub async fn publish_for_a_stranger(shop: &Shop) {
    let body = received_of("NOT-HERE", ReceiptId::generate(), RequestId::generate(), 1);
    publish(shop, "stock.received", &body).await;
}

/// The job, once nothing of it is pending.
pub async fn ended(shop: &Shop, ordered: &Response) -> Value {
    let path = format!("{LETTERS}/redrives/{}", ordered.body["id"].as_str().expect("an id"));
    wait_until("the end of a redrive", SOON, || async {
        let job = shop.get(&path).await.body;
        if job["done"] == true { Ok(job) } else { Err(job.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_messages_are_kept_with_their_reasons_and_delay_no_other() {
    let shop = open().await;
    shop.product("CP-1", 0, policy()).await;
    publish(&shop, "stock.received", &[0xff, 0xfe, 0x00]).await;
    publish(&shop, "stock.received", &event("jaego.stock.received.v99", &json!({}))).await;
    // Content that PostgreSQL cannot store as it is, or that AMQP cannot forward, must not block the queue.
    publish(&shop, "stock.received", &event("a\u{0}b", &json!({}))).await;
    publish(&shop, "stock.received", &event(&"x".repeat(300), &json!({}))).await;
    publish(&shop, "stock.received", &event("jaego.stock.received.v1", &json!({"receipt_id": "\u{0}"}))).await;
    publish(&shop, "stock.received", &vec![b'x'; 1 << 20]).await;
    publish_for_a_stranger(&shop).await;
    publish(&shop, "stock.received", &received_of("CP-1", ReceiptId::generate(), RequestId::generate(), 3)).await;
    wait_until("stock to rise", SOON, || async {
        let (on_hand, ..) = shop.figures("CP-1").await;
        if on_hand == 3 { Ok(()) } else { Err(on_hand) }
    })
    .await;
    let all = letters(&shop, "queue=sales.stock-received", 7).await;
    let of = |reason: &str| all.iter().filter(|letter| letter["reason"] == reason).collect::<Vec<_>>();
    assert_eq!((of("undecodable").len(), of("unknown-type").len(), of("handler-failed").len()), (5, 1, 1), "{all:?}");
    assert_eq!(of("handler-failed")[0]["attempts"], 3);
    assert_eq!(of("handler-failed")[0]["error"], "there is no product NOT-HERE");
    assert!(all.iter().any(|letter| letter["body_encoding"] == "base64" && letter["body"] == "//4A"), "as it came");
    let large = all.iter().find(|letter| letter["body_bytes"] == 1 << 20).expect("the large one");
    assert_eq!(large["body"].as_str().map(str::len), Some(2048), "its beginning in the list");
    let whole = shop.get(&format!("{LETTERS}/{}", large["id"].as_str().expect("an id"))).await;
    assert_eq!(whole.body["body"].as_str().map(str::len), Some(1 << 20), "and all of it alone");

    assert!(shop.metric::<u64>("jaego_dead_letters_waiting", "").await.is_some());
    letters(&shop, "queue=sales.factories", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_group_shows_the_result_of_each_letter() {
    let shop = open().await;
    for _ in 0..5 {
        publish_for_a_stranger(&shop).await;
    }
    publish(&shop, "stock.received", b"{}").await;
    letters(&shop, "", 6).await;
    let groups = shop.get("/api/v1/dead-letters/groups").await.body;
    let groups = groups["items"].as_array().expect("groups");
    let strangers = groups.iter().find(|group| group["reason"] == "handler-failed").expect("a group");
    assert_eq!((&strangers["count"], &strangers["queue"]), (&json!(5), &json!("sales.stock-received")));
    let of_group = format!("group={}", strangers["group"].as_str().expect("a group"));

    // The cause is still there, so they fail again and stay in their group.
    let body = json!({"group": strangers["group"], "rate_per_s": 1000});
    let (bearer, key) = (bearer(), ("Idempotency-Key", "redrive-1"));
    let headers = [("Authorization", bearer.as_str()), key];
    let ordered = shop.send(Method::POST, REDRIVE, &headers, Some(body.clone())).await;
    assert_eq!((ordered.status.as_u16(), &ordered.body["total"]), (202, &json!(5)), "{ordered:?}");
    let job = ended(&shop, &ordered).await;
    assert_eq!((&job["processed"], &job["failed_again"]), (&json!(0), &json!(5)), "{job}");
    let again = shop.send(Method::POST, REDRIVE, &headers, Some(body.clone())).await;
    assert!(again.replayed() && again.body["id"] == ordered.body["id"], "the same job: {again:?}");
    let still = letters(&shop, &of_group, 5).await;
    assert!(still.iter().all(|letter| letter["attempts"] == 6), "{still:?}");

    // The cause is fixed, so each is processed once.
    shop.product("NOT-HERE", 0, policy()).await;
    let ordered = shop.operate(Method::POST, REDRIVE, body.clone()).await;
    let job = ended(&shop, &ordered).await;
    assert_eq!((&job["processed"], &job["failed_again"], &job["total"]), (&json!(5), &json!(0), &json!(5)), "{job}");
    assert_eq!(shop.figures("NOT-HERE").await.0, 5);
    letters(&shop, &of_group, 0).await;
    letters(&shop, "status=processed", 5).await;
    assert_eq!(shop.operate(Method::POST, REDRIVE, body).await.status, 404, "none waits any more");
    shop.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_given_up_with_a_reason_all_or_none() {
    let shop = open().await;
    for _ in 0..3 {
        publish_for_a_stranger(&shop).await;
    }
    let ids: Vec<Value> = letters(&shop, "", 3).await.iter().map(|letter| letter["id"].clone()).collect();
    let stranger = json!(RequestId::generate());
    let with_stranger = json!({"ids": [ids[0], stranger], "reason": "old"});
    assert_problem(&shop.operate(Method::POST, DISCARD, with_stranger).await, 404, "not-found");
    let discard = json!({"ids": [ids[0], ids[1]], "reason": "sent by a broken script"});
    let answer = shop.operate(Method::POST, DISCARD, discard).await;
    assert_eq!((answer.status.as_u16(), &answer.body["discarded"]), (200, &json!(2)), "{answer:?}");
    letters(&shop, "", 1).await;
    letters(&shop, "status=discarded", 2).await;
    let log = "SELECT count(*) FROM audit_log WHERE action = 'dead_letters.discard' AND actor = 'kim' \
               AND reason = 'sent by a broken script'";
    assert_eq!(shop.count(log).await, 2);

    assert_problem(&shop.operate(Method::POST, REDRIVE, json!({"ids": ids})).await, 409, "conflict");
    for (path, body) in [
        (REDRIVE, json!({})),
        (REDRIVE, json!({"ids": [], "rate_per_s": 1})),
        (REDRIVE, json!({"ids": [ids[2]], "group": "x"})),
        (REDRIVE, json!({"ids": [ids[2]], "rate_per_s": 0})),
        (REDRIVE, json!({"ids": [ids[2]], "rate_per_s": 1e-300})),
        (REDRIVE, json!({"ids": [ids[2]], "rate_per_s": 0.009})),
        (REDRIVE, json!({"ids": [ids[2]], "rate_per_s": 10_001})),
        (REDRIVE, json!({"ids": [ids[2]], "speed": 1})),
        (DISCARD, json!({"ids": [ids[2]], "reason": " "})),
        (DISCARD, json!({"ids": [], "reason": "x"})),
    ] {
        assert_problem(&shop.operate(Method::POST, path, body).await, 422, "invalid-request");
    }
    assert_problem(&shop.get(&format!("{LETTERS}?status=dead")).await, 422, "invalid-request");
    let viewer = format!("Bearer {}", testkit::service::VIEWER_TOKEN);
    let redrive = Some(json!({"ids": [ids[2]]}));
    let refused = shop.send(Method::POST, REDRIVE, &[("Authorization", viewer.as_str())], redrive).await;
    assert_problem(&refused, 403, "forbidden");
    letters(&shop, "", 1).await;
}

/// The first group with its waiting and redriving counts, as shown to operators, and the metric.
async fn figures(shop: &Shop) -> (Value, String) {
    let body = shop.get("/api/v1/dead-letters/groups").await.body;
    let metrics = shop.http.get(format!("{}/metrics", shop.admin)).send().await.expect("answer");
    let metrics = metrics.text().await.expect("text");
    let is_wanted = |line: &&str| line.starts_with("jaego_dead_letters_redriving{") && line.contains("stock-received");
    (body["items"][0].clone(), metrics.lines().find(is_wanted).unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_under_way_are_in_sight() {
    let shop = open().await;
    for _ in 0..2 {
        publish_for_a_stranger(&shop).await;
    }
    let all = letters(&shop, "", 2).await;
    // The state while its message is on the broker.
    let send = "UPDATE dead_letters SET status = 'redriving' WHERE id = $1::text::uuid";
    shop.database.execute(send, &[&all[0]["id"].as_str().expect("an id")]).await.expect("sent");
    let group = wait_until("the letter under way to be counted", SOON, || async {
        let (group, metric) = figures(&shop).await;
        if metric.ends_with(" 1") { Ok(group) } else { Err(metric) }
    })
    .await;
    assert_eq!((&group["count"], &group["redriving"]), (&json!(1), &json!(1)), "{group}");
    // A group is still listed when none of its dead letters is waiting.
    shop.database.execute("UPDATE dead_letters SET status = 'redriving'", &[]).await.expect("sent");
    let (group, _) = figures(&shop).await;
    assert_eq!((&group["count"], &group["redriving"]), (&json!(0), &json!(2)), "{group}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redriven_messages_keep_their_properties() {
    let shop = open().await;
    let vhost = &shop.surroundings.vhost;
    let body = received_of("NOT-HERE", ReceiptId::generate(), RequestId::generate(), 1);
    let came = json!({
        "delivery_mode": 2, "message_id": "m-1", "content_type": "text/plain; charset=utf-8", "type": "odd",
        "correlation_id": "c-1", "reply_to": "somebody", "app_id": "a-script", "content_encoding": "identity",
        "timestamp": 1_790_000_000, "headers": {"colour": "red"},
    });
    let bare = json!({"delivery_mode": 2, "message_id": "m-2"});
    // The first is parked for retries before it is dead-lettered; the second is dead-lettered at once.
    for (properties, body) in [(&came, body.as_slice()), (&bare, b"{}")] {
        let routed = vhost.broker().publish(&vhost.name, "jaego.events", "stock.received", properties, body).await;
        assert!(routed.expect("published"));
    }
    let all = letters(&shop, "", 2).await;
    let of = |id: &str| all.iter().find(|letter| letter["message_id"] == id).expect("a letter");
    assert_eq!(of("m-1")["content_type"], came["content_type"]);
    assert_eq!((&of("m-2")["content_type"], &of("m-2")["body"]), (&json!(""), &json!("{}")));
    let ids: Vec<&Value> = all.iter().map(|letter| &letter["id"]).collect();
    let ordered = shop.operate(Method::POST, REDRIVE, json!({"ids": ids})).await;
    ended(&shop, &ordered).await;
    // They are dead-lettered again with the same properties.
    let again = letters(&shop, "", 2).await.into_iter().find(|letter| letter["message_id"] == "m-1").expect("a letter");
    assert_eq!((&again["attempts"], &again["content_type"]), (&json!(6), &came["content_type"]));
    for name in ["type", "correlation_id", "reply_to", "app_id", "content_encoding", "timestamp"] {
        let header = format!("x-jaego-property-{}", name.replace('_', "-"));
        assert_eq!(again["headers"][header], came[name], "{name}: {again}");
    }
}

/// Counts the service's sessions that are waiting for a lock.
pub fn lock_waits(shop: &Shop) -> String {
    let role = &shop.own.database.name;
    format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND wait_event_type = 'Lock' \
         AND datname = current_database()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_goes_on_when_letters_end_as_they_are_to_be_sent() {
    let shop = open().await;
    for _ in 0..3 {
        publish_for_a_stranger(&shop).await;
    }
    let mut all = letters(&shop, "", 3).await;
    all.sort_by_key(|letter| letter["id"].to_string());
    let ids: Vec<&Value> = all.iter().map(|letter| &letter["id"]).collect();
    // One is sent at once, the next much later.
    let ordered = shop.operate(Method::POST, REDRIVE, json!({"ids": ids, "rate_per_s": 0.1})).await;
    assert_eq!(ordered.status, 202, "{ordered:?}");
    shop.wait_for_count("SELECT count(*) FROM redrive_letters WHERE outcome = 'queued'", 2).await;

    // Another transaction settles the second one exactly when the job reaches it.
    let mut other = shop.as_admin().await;
    let ending = other.transaction().await.expect("a transaction");
    let end = "UPDATE redrive_letters SET outcome = 'discarded' WHERE dead_letter_id = $1::text::uuid";
    ending.execute(end, &[&ids[1].as_str().expect("an id")]).await.expect("ended");
    shop.database.batch_execute("UPDATE redrives SET next_send_at = now()").await.expect("due");
    shop.wait_for_count(&lock_waits(&shop), 1).await;
    ending.commit().await.expect("committed");

    let job = ended(&shop, &ordered).await;
    assert_eq!((&job["failed_again"], &job["discarded"]), (&json!(2), &json!(1)), "{job}");
    shop.wait_for_count("SELECT count(*) FROM redrives WHERE is_sent", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_two_jobs_ends_in_both() {
    let shop = open().await;
    let body = received_of("NOT-HERE", ReceiptId::generate(), RequestId::generate(), 1);
    publish(&shop, "stock.received", &body).await;
    let id = letters(&shop, "", 1).await[0]["id"].clone();
    for is_cured in [false, true] {
        if is_cured {
            shop.product("NOT-HERE", 0, policy()).await;
        }
        // Blocks sending until both jobs exist.
        let mut other = shop.as_admin().await;
        let holding = other.transaction().await.expect("a transaction");
        holding.batch_execute("LOCK TABLE message_retries IN SHARE MODE").await.expect("locked");
        let first = shop.operate(Method::POST, REDRIVE, json!({"ids": [id]})).await;
        shop.wait_for_count(&lock_waits(&shop), 1).await;
        let second = shop.operate(Method::POST, REDRIVE, json!({"ids": [id], "rate_per_s": 0.1})).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 202), "{second:?}");
        let later = "UPDATE redrives SET next_send_at = now() + interval '1 hour' WHERE id = $1::text::uuid";
        shop.database.execute(later, &[&second.body["id"].as_str().expect("an id")]).await.expect("later");
        holding.rollback().await.expect("released");

        let outcome = if is_cured { "processed" } else { "failed_again" };
        for job in [&first, &second] {
            let job = ended(&shop, job).await;
            assert_eq!(job[outcome], 1, "{job}");
        }
        letters(&shop, if is_cured { "status=processed" } else { "status=waiting" }, 1).await;
        // The second job finds nothing to send.
        shop.database.batch_execute("UPDATE redrives SET next_send_at = now()").await.expect("due");
        shop.wait_for_count("SELECT count(*) FROM redrives WHERE NOT is_sent", 0).await;
    }
    let attempts = shop.count("SELECT attempts FROM dead_letters").await;
    assert_eq!(attempts, 6, "first, and by the first of two jobs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_be_read_fails_again_in_its_group_whatever_is_in_its_error() {
    let shop = Shop::open_with(&[("JAEGO_SALES__AMQP__RETRY_DELAYS_MS", "50,50")]).await;
    // PostgreSQL's text has no NUL, and this one is quoted in the error.
    let body = json!({"receipt_id": "\u{0}"});
    for kind in ["jaego.stock.received.v1", "jaego.stock.received.v1", "jaego.stock.received.v99"] {
        publish(&shop, "stock.received", &event(kind, &body)).await;
    }
    let before = letters(&shop, "queue=sales.stock-received", 3).await;
    let groups = |all: &[Value]| all.iter().map(|one| one["group"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(groups(&before).len(), 2);
    let ids: Vec<&Value> = before.iter().map(|one| &one["id"]).collect();
    let ordered = shop.operate(Method::POST, REDRIVE, json!({"ids": ids, "rate_per_s": 1000})).await;
    assert_eq!(ended(&shop, &ordered).await["failed_again"], 3);
    assert_eq!(groups(&letters(&shop, "queue=sales.stock-received", 3).await), groups(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_group_is_redriven_in_slices() {
    let mut shop = open().await;
    publish_for_a_stranger(&shop).await;
    let letter = letters(&shop, "", 1).await.remove(0);
    shop.product("NOT-HERE", 0, policy()).await;
    let more = "INSERT INTO dead_letters (id, queue, message_id, body_digest, status, reason, error, \"group\", cause, \
                attempts, content_type, headers, body, first_failed_at, last_failed_at) \
                SELECT gen_random_uuid(), queue, 'more-' || number, body_digest, status, reason, error, \"group\", cause, \
                attempts, content_type, headers, body, first_failed_at, last_failed_at \
                FROM dead_letters, generate_series(1, 2500) AS number";
    shop.database.batch_execute(more).await.expect("a large group");
    // The last dead letter is locked, for example by a discard that waits for something.
    let holder = shop.as_admin().await;
    let hold =
        "BEGIN; SELECT FROM dead_letters WHERE id = (SELECT id FROM dead_letters ORDER BY id DESC LIMIT 1) FOR UPDATE";
    holder.batch_execute(hold).await.expect("held");
    let body = json!({"group": letter["group"], "rate_per_s": 10_000});
    let ordered = shop.operate(Method::POST, REDRIVE, body).await;
    assert_eq!((ordered.status.as_u16(), &ordered.body["total"]), (202, &json!(2000)), "{ordered:?}");
    shop.wait_for_count("SELECT count(*) FROM dead_letters WHERE status = 'processed'", 2000).await;
    // The process ends before the job has all of its dead letters.
    shop.stop().await;
    assert_eq!(shop.count("SELECT count(*) FROM dead_letters WHERE status = 'waiting'").await, 501);
    holder.batch_execute("ROLLBACK").await.expect("released");
    shop.start().await;
    let job = ended(&shop, &ordered).await;
    assert_eq!((&job["total"], &job["processed"]), (&json!(2501), &json!(2501)), "{job}");
    assert_eq!(shop.figures("NOT-HERE").await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_cannot_grow_delays_no_other() {
    let shop = open().await;
    publish_for_a_stranger(&shop).await;
    let letter = letters(&shop, "", 1).await.remove(0);
    shop.product("NOT-HERE", 0, policy()).await;
    for group in ["a", "b"] {
        let more = format!(
            "INSERT INTO dead_letters (id, queue, message_id, body_digest, status, reason, error, \"group\", cause, \
             attempts, content_type, headers, body, first_failed_at, last_failed_at) \
             SELECT gen_random_uuid(), queue, '{group}-' || number, body_digest, status, reason, error, '{group}', cause, \
             attempts, content_type, headers, body, first_failed_at, last_failed_at \
             FROM dead_letters, generate_series(1, 2500) AS number WHERE id = '{}'",
            letter["id"].as_str().expect("an id")
        );
        shop.database.batch_execute(&more).await.expect("a large group");
    }
    let holder = shop.as_admin().await;
    let hold = "BEGIN; SELECT FROM dead_letters WHERE id = \
        (SELECT id FROM dead_letters WHERE \"group\" = 'a' ORDER BY id DESC LIMIT 1) FOR UPDATE";
    holder.batch_execute(hold).await.expect("held");
    let mut jobs = Vec::new();
    for group in ["a", "b"] {
        let body = json!({"group": group, "rate_per_s": 10_000});
        jobs.push(shop.operate(Method::POST, REDRIVE, body).await);
    }
    assert_eq!(ended(&shop, &jobs[1]).await["processed"], 2500);
    holder.batch_execute("ROLLBACK").await.expect("released");
    assert_eq!(ended(&shop, &jobs[0]).await["processed"], 2500);
}
