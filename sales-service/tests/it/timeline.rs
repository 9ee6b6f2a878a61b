//! Timelines of orders and replenishments.

use chrono::{DateTime, Utc};
use jaego_contracts::ids::{OrderId, ReceiptId, RequestId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::service::VIEWER_TOKEN;
use testkit::wait_until;

use crate::bad_input::assert_problem;
use crate::harness::{Response, SOON, Shop, bearer, one, policy};
use crate::messages::{event, publish, received_of};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A timeline whose order has been checked.
struct Timeline {
    items: Vec<Value>,
    next: Vec<Value>,
}

async fn timeline_of(shop: &Shop, question: &str) -> Timeline {
    let answer = shop.get(&format!("/api/v1/timeline?{question}")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["truncated"]), (200, &json!(false)), "{answer:?}");
    let list = |name: &str| answer.body[name].as_array().expect("a list").clone();
    let timeline = Timeline { items: list("items"), next: list("next") };
    let at = |item: &Value| item["at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()).expect("a time");
    assert!(timeline.items.is_sorted_by_key(at), "{:?}", timeline.items);
    assert!(timeline.items.iter().all(|item| item["service"] == "sales-service"));
    timeline
}

impl Timeline {
    fn kinds(&self) -> Vec<&str> {
        self.items.iter().map(|item| item["kind"].as_str().expect("a kind")).collect()
    }

    /// The only step of this kind.
    fn step(&self, kind: &str) -> &Value {
        let of_kind: Vec<&Value> = self.items.iter().filter(|item| item["kind"] == kind).collect();
        assert_eq!(of_kind.len(), 1, "{kind} in {:?}", self.kinds());
        of_kind[0]
    }

    /// Ledger entries: cause, units, before, after.
    fn entries(&self) -> Vec<(String, i64, i64, i64)> {
        let entries = self.items.iter().filter(|item| item["kind"] == "stock.moved");
        entries
            .map(|item| {
                let number = |value: &Value| value.as_i64().expect("a number");
                let detail = &item["detail"];
                let cause = detail["cause"].as_str().expect("a cause").to_owned();
                (cause, number(&item["quantity"]), number(&detail["before"]), number(&detail["after"]))
            })
            .collect()
    }

    fn next(&self) -> Vec<(&str, &str)> {
        let next = self.next.iter();
        next.map(|next| (next["what"].as_str().expect("what"), next["subject"]["type"].as_str().expect("a type")))
            .collect()
    }
}

fn entry(cause: &str, units: i64, before: i64) -> (String, i64, i64, i64) {
    (cause.to_owned(), units, before, before + units)
}

fn id_of(answer: &Response) -> String {
    answer.body["id"].as_str().or(answer.body["order_id"].as_str()).expect("an id").to_owned()
}

async fn only_replenishment(shop: &Shop, sku: &str) -> RequestId {
    let listed = shop.get(&format!("/api/v1/replenishments?sku={sku}")).await;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(1), "{listed:?}");
    listed.body["items"][0]["id"].as_str().expect("an id").parse().expect("an id")
}

async fn outcome(shop: &Shop, what: &str, request: RequestId, revision: i64) {
    let data = json!({
        "request_id": request, "sku": "CP-1", "quantity": 10, "factory_id": "FF-1", "revision": revision,
        "at": Utc::now(), "reason": "201 Created",
    });
    publish(shop, &format!("production.{what}"), &event(&format!("jaego.production.{what}.v1"), &data)).await;
}

async fn until_status(shop: &Shop, request: RequestId, status: &str) {
    wait_until(status, SOON, async || {
        let seen: String =
            shop.sql_one("SELECT status FROM replenishments WHERE id::text = $1", &[&request.to_string()]).await.get(0);
        if seen == status { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_orders_has_its_own_entries() {
    let shop = Shop::open().await;
    shop.product("CP-1", 100, policy()).await;
    shop.product("CP-2", 100, policy()).await;
    let trace = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    let body = json!({"lines": [{"sku": "CP-1", "quantity": 1}, {"sku": "CP-2", "quantity": 2}]});
    let orders = (0..20).map(|_| shop.send(Method::POST, "/api/v1/orders", &trace, Some(body.clone())));
    let mut sold = 0;
    for order in futures::future::join_all(orders).await {
        let timeline = timeline_of(&shop, &format!("order={}", id_of(&order))).await;
        assert_eq!(timeline.kinds(), ["order.confirmed", "stock.moved", "stock.moved"]);
        let taken = timeline.step("order.confirmed");
        assert_eq!((&taken["at"], &taken["trace_id"]), (&order.body["created_at"], &json!(TRACE_ID)));
        assert_eq!(taken["subject"], json!({"type": "order", "id": order.body["id"]}));
        assert_eq!(taken["detail"]["lines"][1], json!({"sku": "CP-2", "quantity": 2, "filled": 2}));
        assert_eq!((&taken["detail"]["status"], &taken["detail"]["request_ids"]), (&json!("confirmed"), &json!([])));
        assert!(timeline.next.is_empty());
        sold += timeline.entries().iter().map(|(_, units, ..)| units).sum::<i64>();
    }
    assert_eq!(sold, -60);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_is_published_from_the_click_to_the_shelf() {
    let shop = Shop::open().await;
    let mut waits = policy();
    waits["shortage"] = json!("backorder");
    shop.product("CP-1", 2, waits).await;
    let order = id_of(&shop.order(one("CP-1", 5)).await);
    let request = only_replenishment(&shop, "CP-1").await;

    let first = timeline_of(&shop, &format!("order={order}")).await;
    assert_eq!(first.kinds(), ["order.backordered", "stock.moved", "replenishment.ordered"]);
    let taken = &first.step("order.backordered")["detail"];
    assert_eq!(taken["lines"], json!([{"sku": "CP-1", "quantity": 5, "filled": 2}]));
    assert_eq!(taken["request_ids"], json!([request]));
    assert_eq!(first.entries(), [entry("sale", -2, 2)]);
    let ordered = first.step("replenishment.ordered");
    assert_eq!((&ordered["sku"], &ordered["quantity"]), (&json!("CP-1"), &json!(20)));
    assert_eq!(ordered["detail"]["order_ids"], json!([order]));
    assert_eq!(
        (&ordered["detail"]["position_before"], &ordered["detail"]["reason"]),
        (&json!(-3), &json!("reorder_point"))
    );
    assert_eq!(ordered["trace_id"], first.step("order.backordered")["trace_id"]);
    assert_eq!(first.next(), [("goods", "order"), ("goods", "replenishment")]);
    assert_eq!((&first.next[0]["quantity"], &first.next[1]["quantity"]), (&json!(3), &json!(20)));

    outcome(&shop, "accepted", request, 1).await;
    shop.wait_for_count("SELECT count(*) FROM replenishments WHERE accepted_at IS NOT NULL", 1).await;
    let receipts = [ReceiptId::generate(), ReceiptId::generate()];
    publish(&shop, "stock.received", &received_of("CP-1", receipts[0], request, 1)).await;
    wait_until("a unit", SOON, async || (shop.figures("CP-1").await.1 == 2).then_some(())).await;
    let between = timeline_of(&shop, &format!("order={order}")).await;
    assert!(!between.kinds().contains(&"order.fulfilled"), "{:?}", between.kinds());
    publish(&shop, "stock.received", &received_of("CP-1", receipts[1], request, 19)).await;
    until_status(&shop, request, "complete").await;

    let cancel = format!("/api/v1/orders/{order}/cancel");
    for is_published in [true, false] {
        let all = timeline_of(&shop, &format!("order={order}")).await;
        let mut fills = vec![entry("sale", -2, 2), entry("backorder_fill", -1, 1), entry("backorder_fill", -2, 19)];
        let taken = all.step("order.backordered");
        assert_eq!(taken["detail"]["lines"][0]["filled"], 2, "what was taken at once, whatever came later");
        assert!(all.next.is_empty(), "{:?}", all.next);
        let place = |kind: &str| all.kinds().iter().position(|known| *known == kind).expect("an item");
        assert!(place("replenishment.accepted") < place("order.fulfilled"));
        assert_eq!(all.step("order.fulfilled")["at"], all.items[place("order.fulfilled") - 1]["at"]);
        assert_eq!(all.step("replenishment.complete")["detail"]["received"], 20);
        assert_eq!(all.kinds().iter().filter(|kind| **kind == "receipt.applied").count(), 2);
        if is_published {
            assert_eq!(all.entries(), fills);
            assert_eq!(shop.operate(Method::POST, &cancel, json!({})).await.status, 200);
        } else {
            fills.push(entry("cancellation", 5, 17));
            assert_eq!(all.entries(), fills);
            let cancelled = all.step("order.cancelled");
            let detail = json!({"actor": "kim", "action": "order.cancel"});
            assert_eq!((&cancelled["detail"], &taken["detail"]["status"]), (&detail, &json!("cancelled")));
        }
    }

    let goods = timeline_of(&shop, &format!("request={request}")).await;
    assert_eq!(goods.entries(), [entry("receipt", 1, 0), entry("receipt", 19, 0)]);
    let applied = goods.items.iter().find(|item| item["subject"]["id"] == json!(receipts[1])).expect("an item");
    assert_eq!((&applied["kind"], &applied["quantity"]), (&json!("receipt.applied"), &json!(19)));
    assert_eq!(applied["detail"], json!({"request_id": request, "received_at": "2026-11-22T00:00:00Z"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_is_published_with_what_it_set_off() {
    let shop = Shop::open().await;
    shop.product("CP-1", 1, policy()).await;
    let order = id_of(&shop.order(one("CP-1", 3)).await);
    let request = only_replenishment(&shop, "CP-1").await;
    let refused = timeline_of(&shop, &format!("order={order}")).await;
    assert_eq!(refused.kinds(), ["order.rejected", "replenishment.ordered"]);
    assert_eq!(refused.step("order.rejected")["detail"]["lines"][0]["filled"], 0);
    assert_eq!(refused.step("replenishment.ordered")["detail"]["order_ids"], json!([order]));

    outcome(&shop, "dead_lettered", request, 1).await;
    until_status(&shop, request, "stalled").await;
    let stalled = timeline_of(&shop, &format!("request={request}")).await;
    assert_eq!(stalled.kinds(), ["replenishment.ordered", "replenishment.stalled"]);
    assert_eq!(stalled.next(), [("decision", "replenishment")]);
    let since = stalled.step("replenishment.stalled")["at"].clone();

    // Some goods arrive after all, so the replenishment is open again; then it is refused. Goods after that do not
    // change the time of the refusal.
    publish(&shop, "stock.received", &received_of("CP-1", ReceiptId::generate(), request, 2)).await;
    until_status(&shop, request, "open").await;
    outcome(&shop, "refused", request, 2).await;
    until_status(&shop, request, "refused").await;
    let refused = timeline_of(&shop, &format!("request={request}")).await;
    assert_ne!(refused.step("replenishment.refused")["at"], since);
    publish(&shop, "stock.received", &received_of("CP-1", ReceiptId::generate(), request, 3)).await;
    wait_until("more goods", SOON, async || (shop.figures("CP-1").await.0 == 6).then_some(())).await;
    let later = timeline_of(&shop, &format!("request={request}")).await;
    assert_eq!(later.step("replenishment.refused")["at"], refused.step("replenishment.refused")["at"]);
    assert!(later.next.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_decide_about_replenishments_is_published_with_their_reasons() {
    let shop = Shop::open().await;
    let mut asks = policy();
    asks["mode"] = json!("manual");
    shop.product("CP-1", 1, asks).await;
    assert_eq!(shop.order(one("CP-1", 1)).await.status, 201);
    let request = only_replenishment(&shop, "CP-1").await;
    let question = format!("request={request}");
    let proposed = timeline_of(&shop, &question).await;
    assert_eq!(
        (proposed.kinds(), proposed.next()),
        (vec!["replenishment.proposed"], vec![("decision", "replenishment")])
    );

    let path = format!("/api/v1/replenishments/{request}");
    assert_eq!(shop.operate(Method::POST, &format!("{path}/approve"), json!({})).await.status, 200);
    let open = timeline_of(&shop, &question).await;
    assert_eq!(open.kinds(), ["replenishment.proposed", "operator.acted", "replenishment.ordered"]);
    assert_eq!(open.next(), [("goods", "replenishment")]);
    let body = json!({"reason": "the season is over"});
    assert_eq!(shop.operate(Method::POST, &format!("{path}/close"), body).await.status, 200);
    let closed = timeline_of(&shop, &question).await;
    let acted: Vec<&Value> = closed.items.iter().filter(|item| item["kind"] == "operator.acted").collect();
    assert_eq!(acted[0]["detail"], json!({"actor": "kim", "action": "replenishment.approve"}));
    assert_eq!(
        acted[1]["detail"],
        json!({"actor": "kim", "action": "replenishment.close", "reason": "the season is over"})
    );
    assert_eq!(closed.step("replenishment.closed_short")["subject"], json!({"type": "replenishment", "id": request}));
    assert!(closed.next.is_empty());

    // Two requests in one query, one of them ordered by hand.
    let by_hand = shop.operate(Method::POST, "/api/v1/replenishments", json!({"sku": "CP-1", "quantity": 4})).await;
    let both = timeline_of(&shop, &format!("request={request},{}", id_of(&by_hand))).await;
    let of_it: Vec<&Value> = both.items.iter().filter(|item| item["subject"]["id"] == by_hand.body["id"]).collect();
    assert_eq!(of_it[0]["detail"]["action"], "replenishment.request");
    assert_eq!((&of_it[1]["kind"], &of_it[1]["detail"]["reason"]), (&json!("replenishment.ordered"), &json!("manual")));
    assert_eq!(both.next(), [("goods", "replenishment")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_about_one_order_or_some_requests() {
    let shop = Shop::open().await;
    let (order, request) = (OrderId::generate(), RequestId::generate());
    let many = vec![request.to_string(); 21].join(",");
    for question in [
        String::new(),
        "?order=".to_owned(),
        "?order=x".to_owned(),
        format!("?order={order},{order}"),
        "?request=".to_owned(),
        format!("?request={request},"),
        format!("?request={many}"),
        format!("?order={order}&request={request}"),
    ] {
        let answer = shop.get(&format!("/api/v1/timeline{question}")).await;
        assert_problem(&answer, 422, "invalid-request");
        assert!(answer.body["field"] == "order" || answer.body["field"] == "request", "{answer:?}");
    }
    assert_problem(&shop.get(&format!("/api/v1/timeline?order={order}")).await, 404, "not-found");
    let unknown = shop.get(&format!("/api/v1/timeline?request={request},{order}")).await;
    assert_eq!(unknown.body, json!({"items": [], "next": [], "truncated": false}));

    let path = format!("/api/v1/timeline?request={request}");
    assert_problem(&shop.send(Method::GET, &path, &[], None).await, 401, "unauthorized");
    let viewer = format!("Bearer {VIEWER_TOKEN}");
    assert_eq!(shop.send(Method::GET, &path, &[("Authorization", &viewer)], None).await.status, 200);
    let public = shop.http.get(format!("{}{path}", shop.public)).header("Authorization", bearer());
    assert_problem(&Response::to(public).await, 404, "not-found");
}
