//! Shoppers who order all the time, and the proof that nothing was lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use localstack::api::Api;
use localstack::stack::Service;
use serde_json::{Value, json};
use testkit::wait_until;
use tokio::{task::JoinSet, time::sleep};

use e2e::{SOON, World};

/// Products that are replenished automatically. When out of stock, the first two refuse orders and the third takes
/// backorders.
const SKUS: [&str; 3] = ["CP-502101", "CP-502102", "CP-502103"];
const SHOPPERS: usize = 3;
/// Pause of a shopper between two orders.
const PAUSE: Duration = Duration::from_millis(25);

/// Shoppers that order in the background.
pub(crate) struct Traffic {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    shoppers: JoinSet<Vec<Seen>>,
}

/// Extent of the proof at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Every order and all goods are there.
    Goods,
    /// In addition, every service knows the outcome of each request.
    GoodsAndOutcomes,
}

/// An order, and the status that its shopper received.
struct Seen {
    status: u16,
    order: String,
}

impl Traffic {
    pub(crate) fn start(world: &World) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut shoppers = JoinSet::new();
        for shopper in 0..SHOPPERS {
            let api = Api::new(&world.stack.urls(Service::Sales).public);
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            shoppers.spawn(async move {
                let mut seen = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    seen.push(order(&api, shopper, seen.len()).await);
                    answered.fetch_add(1, Ordering::SeqCst);
                    sleep(PAUSE).await;
                }
                seen
            });
        }
        Self { is_over, answered, shoppers }
    }

    /// Waits until this many more orders have been answered, which shows that the shop still sells.
    pub(crate) async fn goes_on(&self, orders: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        wait_until(&format!("{orders} more orders"), SOON, || async {
            let more = self.answered.load(Ordering::SeqCst) - before;
            if more >= orders { Ok(()) } else { Err(more) }
        })
        .await;
    }

    /// Stops ordering, waits until everything is processed, and checks the result.
    pub(crate) async fn end(self, world: &World, proof: Proof) {
        self.is_over.store(true, Ordering::SeqCst);
        let seen: Vec<Seen> = self.shoppers.join_all().await.into_iter().flatten().collect();
        let by_status = seen.iter().fold(BTreeMap::<u16, usize>::new(), |mut counts, seen| {
            *counts.entry(seen.status).or_default() += 1;
            counts
        });
        assert!(by_status.keys().all(|status| [201, 202, 409].contains(status)), "{by_status:?}");
        assert!(by_status.contains_key(&201) && by_status.contains_key(&409), "{by_status:?}");
        world.wait_quiet().await;
        assert_orders_are_there(world, &seen).await;
        let requests = assert_same_everywhere(world).await;
        if proof == Proof::GoodsAndOutcomes {
            assert_outcomes_are_known(world).await;
        }
        report(&format!("{by_status:?} orders, {requests} production requests: all there"));
    }
}

async fn order(api: &Api, shopper: usize, number: usize) -> Seen {
    let sku = SKUS[(shopper + number) % SKUS.len()];
    let key = format!("shopper-{shopper:06}-order-{number:06}");
    let body = json!({ "lines": [{ "sku": sku, "quantity": 1 + number % 2 }] });
    let answer = api.post("/api/v1/orders", &[("Idempotency-Key", &key)], &body).await.unwrap();
    let id = if answer.status == 409 { &answer.body["order_id"] } else { &answer.body["id"] };
    let order = id.as_str().unwrap_or_else(|| panic!("{} {}", answer.status, answer.body)).to_owned();
    Seen { status: answer.status.as_u16(), order }
}

/// Asserts that each order exists once, with the status that was returned (a backordered one may have been confirmed
/// since).
async fn assert_orders_are_there(world: &World, seen: &[Seen]) {
    let rows = "SELECT coalesce(array_agg(id || ' ' || status), '{}') FROM orders";
    let orders: Vec<String> = world.sql(Service::Sales, rows).await;
    let orders: BTreeMap<&str, &str> = orders.iter().filter_map(|row| row.split_once(' ')).collect();
    assert_eq!(orders.len(), seen.len(), "orders in the database, and answers");
    for Seen { status, order } in seen {
        let kept = orders.get(order.as_str()).copied();
        let is_so = match status {
            201 => kept == Some("confirmed"),
            202 => matches!(kept, Some("backordered" | "confirmed")),
            _ => kept == Some("rejected"),
        };
        assert!(is_so, "{order} was answered {status} and is {kept:?}");
    }
}

/// Asserts that every decision of one service has reached each other service that must know it exactly once: ids are
/// primary keys. Returns the number of production requests.
async fn assert_same_everywhere(world: &World) -> usize {
    let ids = async |service, table, column| {
        let query = format!("SELECT coalesce(array_agg({column}::text), '{{}}') FROM {table}");
        world.sql::<Vec<String>>(service, &query).await.into_iter().collect::<BTreeSet<String>>()
    };
    let requests = ids(Service::Sales, "replenishments", "id").await;
    for service in [Service::Production, Service::Restock] {
        assert_eq!(ids(service, "production_requests", "id").await, requests, "production requests of {service}");
    }
    let receipts = ids(Service::Restock, "receipts", "id").await;
    assert_eq!(ids(Service::Sales, "receipts_applied", "receipt_id").await, receipts, "receipts of sales-service");
    assert_eq!(ids(Service::Production, "receipts", "id").await, receipts, "receipts of production-service");
    let answered = ids(Service::Restock, "receipts", "request_id").await;
    assert_eq!(answered, requests, "every request was answered with goods");
    // Factories are published with a revision that increases by one with each change, so a service that has the
    // latest one has missed none that matters.
    let published = Revisions { service: Service::Production, table: "factories", id: "id" };
    published.is_known_to(world, Revisions { service: Service::Sales, table: "factories", id: "factory_id" }).await;
    published.is_known_to(world, Revisions { service: Service::Restock, table: "factories", id: "id" }).await;
    let mut received = Vec::new();
    for service in Service::MESSAGING {
        let audit = world.api(service).get("/api/v1/audit").await.unwrap().ok("audit the books").unwrap();
        assert_eq!(audit["ok"], true, "{service}: {audit}");
        received.push(units_received(&audit));
    }
    assert!(received.iter().all(|units| *units == received[0]), "{received:?}");
    requests.len()
}

/// Requests are published with a revision, too.
async fn assert_outcomes_are_known(world: &World) {
    let published = Revisions { service: Service::Production, table: "production_requests", id: "id" };
    let outcomes =
        published.is_known_to(world, Revisions { service: Service::Sales, table: "replenishments", id: "id" }).await;
    assert!(outcomes.values().all(|revision| *revision > 0), "an outcome of each request was published: {outcomes:?}");
}

/// A table whose changes are published.
struct Revisions {
    service: Service,
    table: &'static str,
    id: &'static str,
}

impl Revisions {
    /// The latest revision by id.
    async fn revisions(&self, world: &World) -> BTreeMap<String, i64> {
        let Self { service, table, id } = self;
        let rows = format!("SELECT coalesce(array_agg({id} || ' ' || revision), '{{}}') FROM {table}");
        let rows: Vec<String> = world.sql(*service, &rows).await;
        let parse = |row: &String| {
            let (id, revision) = row.rsplit_once(' ').expect("two words");
            (id.to_owned(), revision.parse().expect("a number"))
        };
        rows.iter().map(parse).collect()
    }

    /// Waits until the other table has the same ids with the same revisions: the last event may still be in flight,
    /// and lead times are published at intervals.
    async fn is_known_to(&self, world: &World, other: Revisions) -> BTreeMap<String, i64> {
        let what = format!("{} to know the last change of each of {}'s {}", other.service, self.service, self.table);
        wait_until(&what, SOON, || async {
            let (published, known) = (self.revisions(world).await, other.revisions(world).await);
            if published == known {
                return Ok(published);
            }
            let of = |id| format!("{id}: published {:?}, known {:?}", published.get(id), known.get(id));
            let ids: BTreeSet<&String> = published.keys().chain(known.keys()).collect();
            Err(ids.into_iter().filter(|id| published.get(*id) != known.get(*id)).map(of).collect::<Vec<String>>())
        })
        .await
    }
}

fn units_received(audit: &Value) -> BTreeMap<String, i64> {
    let totals = audit["totals"].as_array().expect("totals").iter();
    let units = totals.map(|total| (total["sku"].as_str().unwrap().to_owned(), total["received"].as_i64().unwrap()));
    units.filter(|(_, units)| *units > 0).collect()
}

/// Prints a line for the reader of a test's output.
#[expect(clippy::print_stderr, reason = "shown by the test runner")]
pub(crate) fn report(what: &str) {
    eprintln!("{what}");
}
