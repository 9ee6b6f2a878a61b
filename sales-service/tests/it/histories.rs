//! Whole histories of a shop over HTTP and AMQP, on two replicas in turn, checked step by step against the model of
//! the property tests.

#[path = "../../src/domain/history_tests/model.rs"]
mod model;
#[path = "../../src/domain/history_tests/steps.rs"]
mod steps;

use std::collections::BTreeSet;

use jaego_contracts::ids::{ReceiptId, RequestId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use reqwest::{Method, StatusCode};
use sales_service::domain::order::OnShortage;
use sales_service::domain::policy::{Mode, Shortage};
use sales_service::domain::replenishment::OutcomeKind;
use sales_service::domain::stock::Cause;
use serde_json::{Value, json};

use self::model::Model;
use self::steps::{LIMITS, Made, PRODUCTS, Rules, Step, rules, step};
use crate::harness::{Response, Shop, bearer, product_body};
use crate::messages::{event, publish, received_of};

const LIVES: usize = 8;
const STEPS: usize = 40;
/// More than ever wait in these histories, so units are handed out at once.
const FILLED_MAX: usize = 1000;

/// One history: the steps taken so far, and the ids that the replicas assigned.
struct Life<'a> {
    shop: &'a Shop,
    replicas: [String; 2],
    number: usize,
    steps: usize,
    orders: Vec<String>,
    /// Replenishments with the index of their product.
    asked: Vec<(String, usize)>,
    revisions: Vec<i64>,
    receipts: Vec<(usize, RequestId, i64, ReceiptId)>,
}

impl Life<'_> {
    fn sku(&self, product: usize) -> String {
        format!("LIFE-{}-{product}", self.number)
    }

    async fn operate(&self, method: Method, path: &str, body: Value) -> Response {
        let url = format!("{}{path}", self.replicas[self.steps % 2]);
        Response::to(self.shop.http.request(method, url).header("Authorization", bearer()).json(&body)).await
    }

    async fn begin(&self, rules: &[Rules]) {
        for (product, rules) in rules.iter().enumerate() {
            let mode = match rules.mode {
                Mode::Auto => "auto",
                Mode::Manual => "manual",
                Mode::Off => "off",
            };
            let shortage = match rules.shortage {
                Shortage::Reject => "reject",
                Shortage::Backorder => "backorder",
                Shortage::Choice => "choice",
            };
            let policy = json!({
                "reorder_point": rules.reorder_point, "order_up_to": rules.order_up_to, "lot_size": rules.lot_size,
                "mode": mode, "shortage": shortage, "max_backordered": rules.max_backordered,
            });
            let path = format!("/api/v1/products/{}", self.sku(product));
            let put = self.operate(Method::PUT, &path, product_body(&policy)).await;
            assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
        }
    }

    /// Applies a step and returns the replenishments it created, in order.
    async fn apply(&mut self, step: &Step) -> Vec<Made> {
        self.steps += 1;
        let before = self.asked.len();
        match step {
            Step::Order { lines, on_shortage } => {
                let lines: Vec<Value> = lines
                    .iter()
                    .map(|(product, quantity)| json!({"sku": self.sku(*product), "quantity": quantity}))
                    .collect();
                let mut body = json!({"lines": lines});
                if let Some(on_shortage) = on_shortage {
                    body["on_shortage"] =
                        json!(if *on_shortage == OnShortage::Reject { "reject" } else { "backorder" });
                }
                let taken = self.operate(Method::POST, "/api/v1/orders", body).await;
                assert!([201, 202, 409].contains(&taken.status.as_u16()), "{taken:?}");
                let id = if taken.status == 409 { &taken.body["order_id"] } else { &taken.body["id"] };
                self.orders.push(id.as_str().expect("an id").to_owned());
            }
            Step::Cancel { order } if !self.orders.is_empty() => {
                let path = format!("/api/v1/orders/{}/cancel", self.orders[order % self.orders.len()]);
                let cancelled = self.operate(Method::POST, &path, Value::Null).await;
                assert!([200, 409].contains(&cancelled.status.as_u16()), "{cancelled:?}");
            }
            Step::Adjust { product, cause, delta } => {
                let reason = match cause {
                    Cause::CycleCount => "cycle_count",
                    Cause::Damage => "damage",
                    Cause::Return => "return",
                    _ => "correction",
                };
                let path = format!("/api/v1/products/{}/adjustments", self.sku(*product));
                let body = json!({"delta": delta, "reason": reason});
                let adjusted = self.operate(Method::POST, &path, body).await;
                assert!([201, 409].contains(&adjusted.status.as_u16()), "{adjusted:?}");
            }
            Step::Receive { replenishment, units } if before > 0 => {
                let (id, product) = self.asked[replenishment % before].clone();
                if self.status(&id).await != "proposed" {
                    self.receive(product, id.parse().expect("an id"), *units).await;
                }
            }
            Step::ReceiveAgain { receipt } if !self.receipts.is_empty() => {
                // It changes nothing whenever it is processed, so the test does not wait for it.
                let (product, request, units, id) = self.receipts[receipt % self.receipts.len()];
                publish(self.shop, "stock.received", &received_of(&self.sku(product), id, request, units)).await;
            }
            Step::ReceiveUnrequested { product, units } => self.receive(*product, RequestId::generate(), *units).await,
            Step::Outcome { replenishment, outcome, revision } if before > 0 => {
                self.outcome(replenishment % before, *outcome, *revision).await;
            }
            Step::Close { replenishment } if before > 0 => {
                self.change(replenishment % before, "close", json!({"reason": "test"})).await;
            }
            Step::Approve { replenishment } if before > 0 => {
                self.change(replenishment % before, "approve", Value::Null).await;
            }
            Step::ByHand { product, quantity } => {
                let body = json!({"sku": self.sku(*product), "quantity": quantity});
                let asked = self.operate(Method::POST, "/api/v1/replenishments", body).await;
                assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
            }
            Step::Pause { product, is_paused } => {
                let until = if *is_paused { "2100-01-01T00:00:00Z" } else { "2000-01-01T00:00:00Z" };
                let path = format!("/api/v1/stock/{}/snooze", self.sku(*product));
                let snoozed = self.operate(Method::POST, &path, json!({"until": until, "reason": "test"})).await;
                assert!(snoozed.status.is_success(), "{snoozed:?}");
            }
            _ => {}
        }
        self.made(before).await
    }

    async fn status(&self, replenishment: &str) -> String {
        self.shop.sql_one("SELECT status FROM replenishments WHERE id::text = $1", &[&replenishment]).await.get(0)
    }

    async fn receive(&mut self, product: usize, request: RequestId, units: i64) {
        let id = ReceiptId::generate();
        self.receipts.push((product, request, units, id));
        publish(self.shop, "stock.received", &received_of(&self.sku(product), id, request, units)).await;
        let applied = format!("SELECT count(*) FROM receipts_applied WHERE receipt_id = '{id}'");
        self.shop.wait_for_count(&applied, 1).await;
    }

    async fn outcome(&mut self, place: usize, outcome: OutcomeKind, revision: i64) {
        let what = match outcome {
            OutcomeKind::Accepted => "accepted",
            OutcomeKind::DeadLettered => "dead_lettered",
            OutcomeKind::Refused => "refused",
            OutcomeKind::Cancelled => "cancelled",
        };
        let (id, product) = &self.asked[place];
        let data = json!({
            "request_id": id, "sku": self.sku(*product), "quantity": 1, "factory_id": "FF-1", "revision": revision,
            "at": "2026-11-22T00:00:00Z", "reason": "test",
        });
        let body = event(&format!("jaego.production.{what}.v1"), &data);
        publish(self.shop, &format!("production.{what}"), &body).await;
        // An outcome that is not newer changes nothing, so the test does not wait for it.
        if revision > self.revisions[place] {
            let applied = format!("SELECT revision FROM replenishments WHERE id = '{id}'");
            self.shop.wait_for_count(&applied, revision).await;
            self.revisions[place] = revision;
        }
    }

    async fn change(&self, place: usize, how: &str, body: Value) {
        let path = format!("/api/v1/replenishments/{}/{how}", self.asked[place].0);
        let changed = self.operate(Method::POST, &path, body).await;
        assert!([200, 409].contains(&changed.status.as_u16()), "{changed:?}");
    }

    /// Replenishments created since there were `before` of them.
    async fn made(&mut self, before: usize) -> Vec<Made> {
        let mine = format!("LIFE-{}-%", self.number);
        let all = "SELECT id::text, sku, quantity, status FROM replenishments WHERE sku LIKE $1 ORDER BY entry";
        let rows = self.shop.database.query(all, &[&mine]).await.expect("rows");
        let mut made = Vec::new();
        for (place, row) in rows.iter().enumerate().skip(before) {
            let product = row.get::<_, String>(1).rsplit('-').next().and_then(|place| place.parse().ok());
            let product = product.expect("a product");
            self.asked.push((row.get(0), product));
            self.revisions.push(0);
            let is_proposal = row.get::<_, String>(3) == "proposed";
            made.push(Made { product, quantity: row.get(2), is_proposal, place });
        }
        made
    }

    /// Checks that the service and the model agree.
    async fn agree(&self, model: &Model) {
        for (product, expected) in model.products.iter().enumerate() {
            let sku = self.sku(product);
            let figures = self.shop.figures(&sku).await;
            assert_eq!(figures, (expected.on_hand, expected.waiting(), expected.on_order()), "figures of {sku}");
            let under_way =
                "SELECT id::text FROM replenishments WHERE sku = $1 AND status IN ('open', 'stalled', 'proposed')";
            let under_way = self.shop.database.query(under_way, &[&sku]).await.expect("rows");
            let under_way: BTreeSet<String> = under_way.iter().map(|row| row.get(0)).collect();
            let places = expected.under_way();
            assert_eq!(under_way, places.iter().map(|place| self.asked[*place].0.clone()).collect(), "of {sku}");
            let sums = "SELECT coalesce(sum(delta) FILTER (WHERE cause = 'receipt'), 0)::bigint, \
                        coalesce(sum(delta) FILTER (WHERE cause IN ('cycle_count', 'damage', 'return', 'correction')), 0)::bigint, \
                        coalesce(sum(delta) FILTER (WHERE cause = 'cancellation'), 0)::bigint, \
                        coalesce(-sum(delta) FILTER (WHERE cause IN ('sale', 'backorder_fill')), 0)::bigint \
                        FROM stock_movements WHERE sku = $1";
            let row = self.shop.sql_one(sums, &[&sku]).await;
            let sums: [i64; 4] = [0, 1, 2, 3].map(|column| row.get(column));
            let expected = [expected.received, expected.adjusted, expected.cancelled, expected.sold];
            assert_eq!(sums, expected, "received, adjusted, cancelled, sold of {sku}");
        }
        for (id, expected) in self.orders.iter().zip(&model.orders) {
            let order = Response::to(self.shop.http.get(format!("{}/api/v1/orders/{id}", self.replicas[0]))).await;
            assert_eq!(order.body["status"], expected.status.name(), "{order:?}");
            for line in order.body["lines"].as_array().expect("lines") {
                let product = line["sku"].as_str().and_then(|sku| sku.rsplit('-').next());
                let product: usize = product.and_then(|place| place.parse().ok()).expect("a product");
                let filled = expected.filled.get(&product).copied().unwrap_or_default();
                assert_eq!(line["filled"], filled, "oldest first: {order:?}");
            }
        }
        assert_eq!(self.orders.len(), model.orders.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_behave_as_the_model() {
    let limits = [
        ("JAEGO_SALES__REPLENISHMENT__OPEN_MAX", LIMITS.open_max.to_string()),
        ("JAEGO_SALES__REPLENISHMENT__AUTO_UNITS_MAX", LIMITS.auto_units_max.to_string()),
        ("JAEGO_SALES__SHOP__MAX_BACKORDERED", LIMITS.max_backordered.to_string()),
        // Sweeps would run at unpredictable times, so none runs and the model gets no sweep step.
        ("JAEGO_SALES__REPLENISHMENT__SWEEP_EVERY_S", "86400".to_owned()),
    ];
    let limits: Vec<(&str, &str)> = limits.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shop = Shop::open_with(&limits).await;
    let second = shop.replica().await;
    let mut runner =
        TestRunner::new_with_rng(ProptestConfig::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let lives = (prop::collection::vec(rules(), PRODUCTS), prop::collection::vec(step(), STEPS));
    for number in 0..LIVES {
        let (rules, steps) = lives.new_tree(&mut runner).expect("a life").current();
        let mut life = Life {
            shop: &shop,
            replicas: [shop.api.clone(), second.api.clone()],
            number,
            steps: 0,
            orders: Vec::new(),
            asked: Vec::new(),
            revisions: Vec::new(),
            receipts: Vec::new(),
        };
        life.begin(&rules).await;
        let mut model = Model::new(rules, FILLED_MAX);
        for step in &steps {
            // A pause cannot be ended early over HTTP either.
            if matches!(step, Step::Sweep { .. } | Step::Pause { is_paused: false, .. }) {
                continue;
            }
            let made = life.apply(step).await;
            let wanted = model.apply(step, &made);
            let made: Vec<(usize, i64, bool)> =
                made.iter().map(|new| (new.product, new.quantity, new.is_proposal)).collect();
            assert_eq!(made, wanted, "life {number}, after {step:?}");
            life.agree(&model).await;
        }
    }
    shop.assert_books_agree().await;
    let audit = shop.get("/api/v1/audit").await;
    assert_eq!(audit.body["ok"], true, "{audit:?}");
}
