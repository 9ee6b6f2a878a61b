//! Bookings and judgements by operators, through HTTP, with the rows and events they leave.

use std::collections::BTreeSet;

use jaego_contracts::ids::RequestId;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::harness::bearer;
use testkit::service::{OPERATOR_TOKEN, VIEWER_TOKEN};

use crate::events::events;
use crate::harness::{FACTORY, Response, SKU, Service, World, claims, echo, part};
use crate::intake::NO_LOCK_LIMIT;

const RECEIPTS: &str = "/api/v1/receipts";
const OTHER_SKU: &str = "CP-1";

impl Service {
    async fn by_hand(&self, key: Option<&str>, body: &Value) -> Response {
        let operator = bearer(OPERATOR_TOKEN);
        let mut headers = vec![("authorization", operator.as_str())];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.send(Method::POST, RECEIPTS, &headers, Some(body.clone())).await
    }

    async fn judge(&self, id: &str, verb: &str, body: &Value) -> Response {
        self.post(&format!("/api/v1/quarantine/{id}/{verb}"), body.clone()).await
    }

    /// The newest entry's id.
    async fn newest_entry(&self) -> String {
        let page = self.get("/api/v1/quarantine?limit=1").await;
        page.body["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// The names of the violated rules.
    async fn broken_rules(&self) -> Vec<String> {
        let answer = self.get("/api/v1/audit").await;
        let checks = answer.body["checks"].as_array().unwrap();
        let broken = checks.iter().filter(|check| check["ok"] == false);
        let broken: Vec<String> = broken.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(answer.body["ok"], broken.is_empty(), "{answer:?}");
        broken
    }
}

impl World {
    async fn received(&self, request_id: RequestId) -> i64 {
        let query = "SELECT received FROM production_requests WHERE id::text = $1";
        self.number_of(query, &[&request_id.to_string()]).await
    }

    async fn cancel(&self, request_id: RequestId) {
        let update = "UPDATE production_requests SET cancelled_at = now() WHERE id::text = $1";
        assert_eq!(self.database.execute(update, &[&request_id.to_string()]).await.unwrap(), 1);
    }

    /// The event of every receipt is in `sales.stock-received` exactly once, and nothing else is there.
    async fn each_receipt_was_published_once(&self) {
        let count = u32::try_from(self.count("SELECT count(*) FROM receipts").await).unwrap();
        self.wait_for_count("SELECT count(*) FROM outbox", 0).await;
        let published: BTreeSet<(String, i64, String)> = events(self, count)
            .await
            .into_iter()
            .map(|(event, _)| {
                let text = |name: &str| event["data"][name].as_str().unwrap().to_owned();
                (text("receipt_id"), event["data"]["quantity"].as_i64().unwrap(), text("sku"))
            })
            .collect();
        let rows = self.database.query("SELECT id::text, quantity, sku FROM receipts", &[]).await.unwrap();
        assert_eq!(published, rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_of_a_lost_callback_are_booked_by_hand_once() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    assert_eq!(service.call(&token, &part("a", 60)).await.received(), ("received", 60));
    let body = json!({"request_id": request_id, "quantity": 30, "reason": "delivery note 4711"});
    let first = service.by_hand(Some("k1"), &body).await;
    assert_eq!(first.status.as_u16(), 201, "{first:?}");
    assert!(!first.replayed());
    assert_eq!((&first.body["sku"], &first.body["factory_id"]), (&json!(SKU), &json!(FACTORY)));
    assert_eq!((&first.body["quantity"], &first.body["request_id"]), (&json!(30), &json!(request_id)));
    assert_eq!((&first.body["booked_by"], &first.body["delivery_id"]), (&json!("kim"), &Value::Null));
    // A retry under the same key returns the same receipt, whatever has happened to the request since.
    let again = service.by_hand(Some("k1"), &body).await;
    assert_eq!((again.status.as_u16(), &again.body), (201, &first.body));
    assert!(again.replayed());
    let other = json!({"request_id": request_id, "quantity": 31, "reason": "delivery note 4711"});
    assert_eq!(service.by_hand(Some("k1"), &other).await.problem(), "idempotency-key-reused");
    assert_eq!(world.received(request_id).await, 90);

    // More than is open is refused, and the answer is kept under its key; exactly what is open is booked.
    let much = json!({"request_id": request_id, "quantity": 11, "reason": "x"});
    let refused = service.by_hand(Some("k2"), &much).await;
    assert_eq!((refused.problem(), &refused.body["open"]), ("conflict", &json!(10)));
    let rest = json!({"request_id": request_id, "quantity": 10, "reason": "x"});
    assert_eq!(service.by_hand(None, &rest).await.status, 201);
    let refused = service.by_hand(Some("k2"), &much).await;
    assert_eq!((refused.problem(), &refused.body["open"]), ("conflict", &json!(10)));
    assert!(refused.replayed());
    let refused = service.by_hand(None, &rest).await;
    assert_eq!((refused.problem(), &refused.body["open"]), ("conflict", &json!(0)));
    // The lost callback arrives after all: nothing is open, so it waits for an operator.
    assert_eq!(service.call(&token, &part("b", 40)).await.quarantined(), "nothing-open");

    assert_eq!(world.received(request_id).await, 100);
    let by_hand = "SELECT count(*) FROM receipts WHERE jti IS NULL AND delivery_id IS NULL AND actor = 'kim'";
    assert_eq!(world.count(by_hand).await, 2);
    let row = world
        .database
        .query_one("SELECT actor, reason, subject, detail->>'quantity' FROM audit_log ORDER BY at LIMIT 1", &[]);
    let row = row.await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("kim", "delivery note 4711"));
    assert_eq!((row.get::<_, String>(2), row.get::<_, &str>(3)), (request_id.to_string(), "30"));
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE action = 'receipt.book'").await, 2);
    world.each_receipt_was_published_once().await;
    assert_eq!(service.broken_rules().await, [""; 0]);

    // Someone deletes a receipt.
    let delete = "DELETE FROM receipts WHERE id::text = $1";
    assert_eq!(world.database.execute(delete, &[&first.body["id"].as_str().unwrap()]).await.unwrap(), 1);
    assert_eq!(service.broken_rules().await, ["received-is-in-receipts"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_booking_by_hand_has_no_effect() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    service.call(&token, &part("a", 10)).await;
    let body = |quantity: Value| json!({"request_id": request_id, "quantity": quantity, "reason": "lost"});
    let unknown = json!({"request_id": RequestId::generate(), "quantity": 1, "reason": "lost"});
    assert_eq!(service.by_hand(None, &unknown).await.problem(), "not-found");
    for (field, faulty) in [
        ("quantity", body(json!(0))),
        ("quantity", body(json!(-1))),
        ("quantity", body(json!(1_000_001))),
        ("quantity", body(json!("5"))),
        ("reason", json!({"request_id": request_id, "quantity": 1, "reason": " "})),
        ("reason", json!({"request_id": request_id, "quantity": 1, "reason": "x".repeat(501)})),
        ("reason", json!({"request_id": request_id, "quantity": 1, "reason": "a\u{0}b"})),
        ("request_id", json!({"request_id": "x", "quantity": 1, "reason": "lost"})),
    ] {
        let answer = service.by_hand(None, &faulty).await;
        assert_eq!((answer.problem(), &answer.body["field"]), ("invalid-request", &json!(field)), "{faulty}");
    }
    let mut more = body(json!(1));
    more["sku"] = json!(SKU);
    assert_eq!(service.by_hand(None, &more).await.body["unknown_fields"], json!(["sku"]));
    for (token, slug) in [(VIEWER_TOKEN, "forbidden"), ("wrong", "unauthorized")] {
        let refused = service.send_as(Some(token), Method::POST, RECEIPTS, Some(body(json!(1)))).await;
        assert_eq!(refused.problem(), slug);
    }
    let public = format!("{}{RECEIPTS}", service.public);
    assert_eq!(service.post(&public, body(json!(1))).await.problem(), "not-found");
    world.cancel(request_id).await;
    let cancelled = service.by_hand(None, &body(json!(1))).await;
    assert_eq!((cancelled.problem(), cancelled.body.get("open")), ("conflict", None));
    assert_eq!((world.rows().await, world.received(request_id).await), ([1, 1, 0], 10));
    assert_eq!(world.count("SELECT count(*) FROM audit_log").await, 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_bookings_stay_within_the_open_quantity() {
    let service = Service::start(&[NO_LOCK_LIMIT]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    service.call(&token, &part("a", 70)).await;
    let body = json!({"request_id": request_id, "quantity": 10, "reason": "lost"});
    let statuses = |answers: Vec<Response>| {
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        statuses
    };
    let same = futures::future::join_all((0..6).map(|_| service.by_hand(Some("k"), &body))).await;
    assert_eq!(statuses(same), [201; 6]);
    assert_eq!(world.received(request_id).await, 80);
    let each = futures::future::join_all((0..6).map(|_| service.by_hand(None, &body))).await;
    assert_eq!(statuses(each), [201, 201, 409, 409, 409, 409]);
    assert_eq!(world.received(request_id).await, 100);
    assert_eq!(service.broken_rules().await, [""; 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_excess_counts_toward_its_request_once() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    let over = service.call(&token, &part("d", 130)).await;
    assert_eq!((over.received(), &over.body["quarantined"]), (("received", 100), &json!(30)));
    let id = service.newest_entry().await;
    let body = json!({"reason": "counted: 30 more in the truck"});
    // Of two concurrent acceptances, one is too late.
    let answers = futures::future::join_all((0..2).map(|_| service.judge(&id, "accept", &body))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((accepted.len(), refused[0].problem()), (1, "conflict"));
    assert_eq!(refused[0].body["entry_status"], "accepted");
    assert_eq!(service.judge(&id, "discard", &body).await.problem(), "conflict");
    let entry = &accepted[0].body;
    assert_eq!((&entry["id"], &entry["status"]), (&json!(id), &json!("accepted")));
    assert_eq!((&entry["decided_by"], &entry["decision_reason"]), (&json!("kim"), &body["reason"]));
    assert!(entry["decided_at"].as_str().unwrap().ends_with('Z'));
    let receipts = service.get("/api/v1/receipts").await;
    let receipt = &receipts.body["items"][0];
    assert_eq!((&receipt["id"], &receipt["quantity"]), (&entry["receipt_id"], &json!(30)));
    assert_eq!((&receipt["delivery_id"], &receipt["booked_by"]), (&json!("d"), &json!("kim")));
    assert_eq!((world.rows().await, world.received(request_id).await), ([2, 1, 1], 130));
    // A repetition of the delivery gets the usual answer; the request is complete.
    assert_eq!(service.call(&token, &part("d", 130)).await.received(), ("duplicate", 100));
    assert_eq!(service.call(&token, &part("e", 1)).await.quarantined(), "nothing-open");
    let full = json!({"request_id": request_id, "quantity": 1, "reason": "x"});
    assert_eq!(service.by_hand(None, &full).await.body["open"], 0);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE action = 'quarantine.accept'").await, 1);
    world.each_receipt_was_published_once().await;
    assert_eq!(service.broken_rules().await, [""; 0]);

    // Someone deletes the accepted entry's receipt, as only an administrator can.
    let admin = world.as_admin().await;
    admin
        .batch_execute("SET session_replication_role = replica; DELETE FROM receipts WHERE quantity = 30")
        .await
        .unwrap();
    assert_eq!(service.broken_rules().await, ["received-is-in-receipts", "an-accepted-entry-has-one-receipt"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_of_cancelled_complete_and_expired_requests_can_be_accepted() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let (cancelled, complete, expired) = (RequestId::generate(), RequestId::generate(), RequestId::generate());
    let token = world.sign(&claims(cancelled, 100));
    service.call(&token, &part("a", 10)).await;
    world.cancel(cancelled).await;
    assert_eq!(service.call(&token, &part("b", 20)).await.quarantined(), "cancelled");
    let reason = json!({"reason": "it came all the same"});
    assert_eq!(service.judge(&service.newest_entry().await, "accept", &reason).await.status, 200);
    assert_eq!(world.received(cancelled).await, 30);
    // An accepted delivery that is repeated is not booked again.
    assert_eq!(service.call(&token, &part("b", 20)).await.quarantined(), "cancelled");

    let token = world.sign(&claims(complete, 10));
    service.call(&token, &part("a", 10)).await;
    assert_eq!(service.call(&token, &part("b", 10)).await.quarantined(), "nothing-open");
    let fewer = json!({"reason": "3 of them broken", "quantity": 7});
    let id = service.newest_entry().await;
    let accepted = service.judge(&id, "accept", &fewer).await;
    assert_eq!(
        (accepted.status.as_u16(), &accepted.body["quantity"]),
        (200, &json!(10)),
        "the entry shows the quantity of the callback"
    );
    assert_eq!(world.received(complete).await, 17);

    let mut late = claims(expired, 10);
    late.exp = chrono::Utc::now().timestamp() - 60;
    let token = world.sign(&late);
    assert_eq!(service.call(&token, &echo("4", &token)).await.quarantined(), "expired");
    assert_eq!(service.judge(&service.newest_entry().await, "accept", &reason).await.status, 200);
    assert_eq!(world.received(expired).await, 4);
    world.each_receipt_was_published_once().await;
    assert_eq!(service.broken_rules().await, [""; 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_products_one_is_chosen_and_another_one_does_not_count() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    let mut ids = Vec::new();
    for count in ["40", "50"] {
        let mut body = echo(count, &token);
        body["MessageAttributeProductId"] = json!(OTHER_SKU);
        assert_eq!(service.call(&token, &body).await.problem(), "callback-mismatch");
        ids.push(service.newest_entry().await);
    }
    for body in [json!({"reason": "r"}), json!({"reason": "r", "sku": "CP-2"})] {
        let answer = service.judge(&ids[0], "accept", &body).await;
        assert_eq!((answer.problem(), &answer.body["field"]), ("invalid-request", &json!("sku")), "{body}");
    }
    assert_eq!(world.rows().await, [0, 0, 2]);
    let other = service.judge(&ids[0], "accept", &json!({"reason": "r", "sku": OTHER_SKU})).await;
    assert_eq!((other.status.as_u16(), world.received(request_id).await), (200, 0));
    let own = service.judge(&ids[1], "accept", &json!({"reason": "r", "sku": SKU})).await;
    assert_eq!((own.status.as_u16(), world.received(request_id).await), (200, 50));
    let booked = "SELECT count(*) FROM receipts WHERE sku = $1 AND request_id::text = $2 AND quantity = $3";
    let request = request_id.to_string();
    assert_eq!(world.number_of(booked, &[&OTHER_SKU, &request, &40_i64]).await, 1);
    assert_eq!(world.number_of(booked, &[&SKU, &request, &50_i64]).await, 1);
    world.each_receipt_was_published_once().await;
    assert_eq!(service.broken_rules().await, [""; 0]);

    // Someone changes the product of a receipt: no entry names that product.
    world.database.execute("UPDATE receipts SET sku = 'CP-3' WHERE quantity = 40", &[]).await.unwrap();
    assert_eq!(service.broken_rules().await, ["a-receipt-is-for-its-request"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_usable_count_the_operator_says_how_many() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    assert_eq!(service.call(&token, &echo("many", &token)).await.problem(), "invalid-count");
    let id = service.newest_entry().await;
    for body in [json!({"reason": "r"}), json!({"reason": "r", "quantity": 0}), json!({"reason": "r", "quantity": 1.5})]
    {
        let answer = service.judge(&id, "accept", &body).await;
        assert_eq!((answer.problem(), &answer.body["field"]), ("invalid-request", &json!("quantity")), "{body}");
    }
    let sku = json!({"reason": "r", "quantity": 1, "sku": "CP-9"});
    assert_eq!(service.judge(&id, "accept", &sku).await.body["field"], "sku");
    assert_eq!(service.judge(&id, "accept", &json!({"quantity": 1})).await.problem(), "invalid-request");
    assert_eq!(service.judge(&id, "accept", &json!({"reason": "counted", "quantity": 12})).await.status, 200);
    assert_eq!((world.rows().await, world.received(request_id).await), ([1, 0, 1], 12));
    assert_eq!(service.broken_rules().await, [""; 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_entry_is_never_booked() {
    let service = Service::start(&[]).await;
    let world = &service.world;
    let request_id = RequestId::generate();
    let token = world.sign(&claims(request_id, 100));
    service.call(&token, &part("a", 100)).await;
    service.call(&token, &part("b", 100)).await;
    let id = service.newest_entry().await;
    let reason = json!({"reason": "two callbacks, one truck came"});
    for verb in ["accept", "discard"] {
        let path = format!("/api/v1/quarantine/{id}/{verb}");
        let refused = service.send_as(Some(VIEWER_TOKEN), Method::POST, &path, Some(reason.clone())).await;
        assert_eq!(refused.problem(), "forbidden");
        let unknown = RequestId::generate().to_string();
        assert_eq!(service.judge(&unknown, verb, &reason).await.problem(), "not-found");
        assert_eq!(service.judge("x", verb, &reason).await.problem(), "malformed-request");
        assert_eq!(service.judge(&id, verb, &json!({"reason": ""})).await.body["field"], "reason");
    }
    let more = json!({"reason": "r", "quantity": 1});
    assert_eq!(service.judge(&id, "discard", &more).await.body["unknown_fields"], json!(["quantity"]));
    let discarded = service.judge(&id, "discard", &reason).await;
    assert_eq!((discarded.status.as_u16(), &discarded.body["status"]), (200, &json!("discarded")));
    assert_eq!((&discarded.body["decided_by"], &discarded.body["receipt_id"]), (&json!("kim"), &Value::Null));
    for verb in ["accept", "discard"] {
        let again = service.judge(&id, verb, &reason).await;
        assert_eq!((again.problem(), &again.body["entry_status"]), ("conflict", &json!("discarded")));
    }
    // The factory gets the same answer as before, and no second entry is made.
    assert_eq!(service.call(&token, &part("b", 100)).await.quarantined(), "nothing-open");
    assert_eq!((world.rows().await, world.received(request_id).await), ([1, 2, 1], 100));
    let log = service.get("/api/v1/audit-log").await;
    let actions = log.body["items"].as_array().unwrap();
    assert_eq!((actions.len(), &actions[0]["action"]), (1, &json!("quarantine.discard")));
    assert_eq!((&actions[0]["subject"], &actions[0]["reason"]), (&json!(id), &reason["reason"]));
    world.each_receipt_was_published_once().await;
    assert_eq!(service.broken_rules().await, [""; 0]);
    service.stop().await;
}
