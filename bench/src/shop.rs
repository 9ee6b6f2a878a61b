//! A server that takes orders: sales-service, or a baseline. Every turn is recorded, so that the database can be
//! checked against the answers in the end.

use std::time::Duration;

use anyhow::{bail, ensure};
use localstack::demo;
use localstack::stack::Service;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    bounds, database,
    load::{Load, Outcome, Script},
    results::CaseResult,
    stage::Stage,
};

/// The stack's own sales-service.
const OURS: &str = "sales-service";
/// SKU prefix of the hot product.
pub const HOT: &str = "HOT-";
/// SKU prefix of many products; each order picks one at random.
pub const MANY: &str = "MANY-";
/// A product without stock.
pub const EMPTY: &str = "EMPTY-";
/// A product without stock, whose orders wait for production.
pub const WAITED_FOR: &str = "WAIT-";
/// A product whose row another transaction holds.
pub const HELD: &str = "HELD-";

/// More units than any measurement uses.
const PLENTY: i64 = 1_000_000_000_000;
/// Units that may wait for [`WAITED_FOR`].
const WAITING_MAX: i64 = 1_000_000;
/// Orders per statement when a table is filled.
const FILL_CHUNK: u64 = 50_000;
/// Requests that may have been in flight when a key was sent, as a multiple of the connections.
const MARGIN: usize = 4;

pub struct Shop {
    name: &'static str,
    url: String,
    /// URL of its database, with the service's role.
    pub database_url: String,
    /// Connection to its database as the administrator.
    pub database: Client,
    is_service: bool,
    // Bounds of the number of orders that its database must hold.
    least: u64,
    most: u64,
    turns: u32,
    keys_again: u64,
}

/// The expected answer to every order of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// 201.
    Confirmed,
    /// 202.
    Backordered,
    /// 409: refused orders are stored, too.
    Refused,
    /// 201 or 503: the excess is shed.
    Shed,
}

impl Expect {
    /// The answer to a repeated key; None if keys are not repeated.
    fn kept(self) -> Option<StatusCode> {
        match self {
            Self::Confirmed => Some(StatusCode::CREATED),
            Self::Backordered => Some(StatusCode::ACCEPTED),
            Self::Refused | Self::Shed => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub connections: usize,
    /// Prefix of the SKUs.
    pub sku: &'static str,
    /// Number of products.
    pub products: usize,
    pub expect: Expect,
    /// Sends each key twice: the lag in keys.
    pub again_after: Option<u64>,
    /// Duration.
    pub time: Duration,
}

impl Turn {
    /// All orders are for the hot product.
    pub fn hot(connections: usize, time: Duration) -> Self {
        Self { connections, sku: HOT, products: 1, expect: Expect::Confirmed, again_after: None, time }
    }
}

impl Shop {
    pub async fn of_service(stage: &Stage) -> anyhow::Result<Self> {
        let url = stage.stack.urls(Service::Sales).public;
        Self::open(stage, OURS, url, stage.stack.database_url(Service::Sales)?, true).await
    }

    /// A baseline with a database of its own.
    pub async fn of_baseline(stage: &Stage, url: String, database_url: String) -> anyhow::Result<Self> {
        Self::open(stage, "one transaction per order", url, database_url, false).await
    }

    /// Another process of sales-service, with a database of its own.
    pub async fn of_other_service(stage: &Stage, url: String, database_url: String) -> anyhow::Result<Self> {
        Self::open(stage, "second sales-service", url, database_url, true).await
    }

    async fn open(
        stage: &Stage,
        name: &'static str,
        url: String,
        database_url: String,
        is_service: bool,
    ) -> anyhow::Result<Self> {
        let database = database::connect_as_admin(&stage.stack, &database_url).await?;
        stock_up(&database, HOT, 1, PLENTY).await?;
        stock_up(&database, MANY, stage.scale.products, PLENTY).await?;
        stock_up(&database, HELD, 1, PLENTY).await?;
        stock_up(&database, EMPTY, 1, 0).await?;
        stock_up(&database, WAITED_FOR, 1, 0).await?;
        let waits = "UPDATE products SET shortage = 'backorder', max_backordered = $1 WHERE sku = $2";
        database.execute(waits, &[&WAITING_MAX, &format!("{WAITED_FOR}0000")]).await?;
        Ok(Self { name, url, database_url, database, is_service, least: 0, most: 0, turns: 0, keys_again: 0 })
    }

    /// Lets another process take the orders of this shop.
    pub fn move_to(&mut self, url: String) {
        self.url = url;
    }

    /// Runs a turn, after a warm-up under the same load that does not count.
    pub async fn turn(&mut self, stage: &Stage, turn: Turn) -> anyhow::Result<Outcome> {
        if self.is_service {
            stage.settle(&self.database).await?;
        } else {
            // The events of a baseline are not published.
            self.database.batch_execute("TRUNCATE outbox").await?;
            stage.settle(&self.database).await?;
        }
        if !stage.scale.warm_up.is_zero() {
            self.load(stage, Turn { time: stage.scale.warm_up, ..turn }, &self.url.clone()).await?;
        }
        self.load(stage, turn, &self.url.clone()).await
    }

    /// Runs a load without a warm-up. Several loads may run at the same time against different processes.
    pub async fn load(&mut self, stage: &Stage, turn: Turn, url: &str) -> anyhow::Result<Outcome> {
        let prefix = self.next_prefix();
        let outcome = stage.generator.run(&self.request(&prefix, turn, url)).await?;
        self.note(stage, turn, &prefix, &outcome).await?;
        Ok(outcome)
    }

    /// Returns a prefix of keys that is unique to the turn and long enough for every server.
    pub fn next_prefix(&mut self) -> String {
        self.turns += 1;
        format!("turn-{:016}-", self.turns)
    }

    /// The request to the load generator.
    pub fn request(&self, prefix: &str, turn: Turn, url: &str) -> Load {
        let how_often = if turn.again_after.is_some() { "twice" } else { "once" };
        let lag = turn.again_after.unwrap_or_default();
        Load {
            url: format!("{url}/api/v1/orders"),
            script: Script::Orders,
            args: [prefix, turn.sku, &turn.products.to_string(), how_often, &lag.to_string()].map(str::to_owned).into(),
            connections: turn.connections,
            time: turn.time,
        }
    }

    /// Checks the answers against the expectation, and records what the database must hold now.
    pub async fn note(&mut self, stage: &Stage, turn: Turn, prefix: &str, outcome: &Outcome) -> anyhow::Result<()> {
        let in_flight = u64::try_from(turn.connections)?;
        let begun: u64 = outcome.sent.iter().sum();
        let name = self.name;
        outcome.is_whole()?;
        match turn.expect {
            Expect::Confirmed | Expect::Backordered => {
                ensure!(outcome.refused == 0, "{name} did not take {} orders", outcome.refused);
            }
            Expect::Refused => ensure!(outcome.good() == 0, "{name} confirmed {} orders without stock", outcome.good()),
            Expect::Shed => {}
        }
        let (least, most) = match (turn.expect, turn.again_after) {
            (_, Some(_)) => (begun.saturating_sub(2 * in_flight), begun),
            (Expect::Shed, None) => (outcome.good(), outcome.good() + in_flight),
            (_, None) => (outcome.requests, outcome.requests + in_flight),
        };
        self.expect_stored(least, most);
        if let Some(status) = turn.expect.kept() {
            self.send_again(stage, turn, prefix, &outcome.sent, status).await?;
        }
        Ok(())
    }

    /// Records that this many further orders are stored.
    pub fn expect_stored(&mut self, least: u64, most: u64) {
        self.least += least;
        self.most += most;
    }

    /// Sends answered keys again, and checks that each gets its first answer and that its order is in the database.
    async fn send_again(
        &mut self,
        stage: &Stage,
        turn: Turn,
        prefix: &str,
        sent: &[u64],
        kept: StatusCode,
    ) -> anyhow::Result<()> {
        let mut orders = Vec::new();
        for (thread, key) in keys_again(sent, turn.connections, stage.scale.keys_again) {
            let product = product_of(key, u64::try_from(thread)?, u64::try_from(turn.products)?);
            let body = json!({"lines": [{"sku": format!("{}{product:04}", turn.sku), "quantity": 1}]});
            let request = stage.http().post(format!("{}/api/v1/orders", self.url)).json(&body);
            let answer = stage.send(request.header("Idempotency-Key", format!("{prefix}{thread}-{key}"))).await?;
            let is_replayed = answer.headers().get("Idempotency-Replayed").is_some_and(|value| value == "true");
            let (status, order) = (answer.status(), answer.json::<Value>().await?);
            if status != kept || !is_replayed {
                bail!("{}: key {prefix}{thread}-{key} was answered {status}, not as a repetition: {order}", self.name);
            }
            orders.push(order["id"].as_str().unwrap_or_default().to_owned());
        }
        let sql = "SELECT count(*) FROM orders WHERE id = ANY(SELECT unnest($1::text[])::uuid)";
        let found: i64 = self.database.query_one(sql, &[&orders]).await?.get(0);
        ensure!(
            usize::try_from(found)? == orders.len(),
            "{}: of {} answered orders {found} are in the database",
            self.name,
            orders.len()
        );
        self.keys_again += u64::try_from(orders.len())?;
        Ok(())
    }

    /// Number of orders that are stored now.
    pub async fn stored(&self) -> anyhow::Result<u64> {
        database::number(&self.database, "SELECT count(*) FROM orders").await
    }

    /// Stores this many further orders of the hot product with all their rows, in bulk.
    pub async fn fill(&mut self, orders: u64) -> anyhow::Result<()> {
        self.database.batch_execute("CREATE SEQUENCE IF NOT EXISTS bench_ids").await?;
        let mut left = orders;
        while left > 0 {
            let chunk = left.min(FILL_CHUNK);
            let [lock, write] = bulk_orders(chunk);
            self.database.batch_execute(&format!("BEGIN; {lock}; {write}; COMMIT")).await?;
            left -= chunk;
        }
        self.expect_stored(orders, orders);
        Ok(())
    }

    /// Stores this many further orders, each waiting for one unit of [`WAITED_FOR`], in bulk.
    pub async fn fill_waiting(&mut self, orders: u64) -> anyhow::Result<()> {
        let sku = format!("{WAITED_FOR}0000");
        let write = format!(
            "WITH new AS (INSERT INTO orders (id, status, customer, total, traceparent, created_at, key_hash, fingerprint) \
             SELECT id, 'backordered', NULL, 19900, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', now(), \
             uuid_send(id) || uuid_send(id), uuid_send(id) || uuid_send(id) \
             FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {orders})) AS made RETURNING id), \
             lines AS (INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
             SELECT id, '{sku}', 1, 0, 1, 19900 FROM new) \
             UPDATE stock SET backordered = backordered + {orders}, updated_at = now() WHERE sku = '{sku}'"
        );
        self.database.batch_execute(&write).await?;
        self.expect_stored(orders, orders);
        Ok(())
    }

    /// Checks that the database holds what was answered, and that its rows explain its figures.
    pub async fn audit(&self, stage: &Stage, result: &mut CaseResult) -> anyhow::Result<()> {
        // One statement reads one snapshot; what was in flight at the end of a turn may still be written.
        let sql = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_lines), \
                   (SELECT count(*) FROM orders WHERE key_hash IS NOT NULL)";
        let row = self.database.query_one(sql, &[]).await?;
        let [orders, lines, keys] = [0, 1, 2].map(|column| u64::try_from(row.get::<_, i64>(column)));
        let (orders, lines, keys) = (orders?, lines?, keys?);
        let range = self.least..=self.most;
        ensure!(
            range.contains(&orders) && lines == orders && keys == orders,
            "{}: {orders} orders, {lines} lines, {keys} keys, expected {range:?}",
            self.name
        );
        // The stack's own sales-service audits its books over HTTP, with the other services.
        if self.name != OURS {
            let settings = [("DATABASE__URL", self.database_url.clone())];
            let mut compare = stage.stack.beside(Service::Sales, "rebuild-figures", "rebuild-figures", &settings)?;
            let status = compare.wait_exit(bounds::REQUEST).await;
            let is_right = status.is_some_and(|status| status.success());
            ensure!(is_right, compare.not_ready(format!("found wrong figures of {}", self.name)));
        }
        result.audit.push(format!(
            "{}: {orders} orders stored, between {} answered and {} with those in flight at the end of a turn; {} keys sent \
             again, each answered as a repetition with an order that is stored",
            self.name, self.least, self.most, self.keys_again
        ));
        Ok(())
    }
}

/// Creates products with this many units on hand, and the ledger entries that explain them.
pub async fn stock_up(client: &Client, prefix: &str, products: usize, units: i64) -> anyhow::Result<()> {
    let skus: Vec<String> = (0..products).map(|product| format!("{prefix}{product:04}")).collect();
    client
        .execute(
            "INSERT INTO products (sku, name, price, factory_id, on_sale, reorder_point, order_up_to, lot_size, mode, \
             shortage) SELECT unnest($1::text[]), 'bench', 19900, $2::text, true, 10, 100, 10, 'auto', 'reject'",
            &[&skus, &demo::FACTORY],
        )
        .await?;
    client.execute("INSERT INTO stock (sku, on_hand) SELECT unnest($1::text[]), $2::bigint", &[&skus, &units]).await?;
    if units > 0 {
        client
            .execute(
                "INSERT INTO stock_movements (id, sku, cause, delta, before, after, reference, actor, at) \
                 SELECT gen_random_uuid(), unnest($1::text[]), 'correction', $2::bigint, 0, $2::bigint, 'bench', 'bench', now()",
                &[&skus, &units],
            )
            .await?;
    }
    Ok(())
}

/// Two statements of one transaction that store this many orders of the hot product with all their rows except the
/// event. The first one locks, so that the second one sees what the previous holder of the lock has written.
pub fn bulk_orders(orders: u64) -> [String; 2] {
    let lock = format!("SELECT on_hand FROM stock WHERE sku = '{HOT}0000' FOR UPDATE");
    let write = format!(
        "WITH new AS MATERIALIZED (SELECT n, CAST(lpad(to_hex(nextval('bench_ids')), 32, '0') AS uuid) AS id, sku, on_hand \
         FROM stock, generate_series(1, {orders}) n WHERE sku = '{HOT}0000'), \
         made AS (INSERT INTO orders (id, status, customer, total, traceparent, created_at, key_hash, fingerprint) \
         SELECT id, 'confirmed', NULL, 19900, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', now(), \
         uuid_send(id) || uuid_send(id), uuid_send(id) || uuid_send(id) FROM new), \
         lines AS (INSERT INTO order_lines (order_id, sku, quantity, filled, waiting, unit_price) \
         SELECT id, sku, 1, 1, 0, 19900 FROM new ORDER BY n), \
         ledger AS (INSERT INTO stock_movements (id, sku, cause, delta, before, after, reference, actor, at) \
         SELECT id, sku, 'sale', -1, on_hand - n + 1, on_hand - n, CAST(id AS text), 'shop', now() FROM new ORDER BY n) \
         UPDATE stock SET on_hand = on_hand - {orders}, updated_at = now() WHERE sku = '{HOT}0000'"
    );
    [lock, write]
}

/// The product of a key's order; `orders.lua` computes the same.
fn product_of(key: u64, thread: u64, products: u64) -> u64 {
    const MODULUS: u64 = 1 << 31;
    let mut x = (key * 1_103_515_245 + thread * 12345) % MODULUS;
    x ^= x >> 15;
    x = (x * 69069) % MODULUS;
    x ^= x >> 16;
    x % products
}

/// Threads and keys that were certainly answered, spread evenly over the turn. The first key of the first thread was
/// sent by the load generator itself, to try a request.
fn keys_again(sent: &[u64], connections: usize, wanted: usize) -> Vec<(usize, u64)> {
    let threads = sent.len().max(1);
    let per_thread = u64::try_from(wanted / threads).unwrap_or(1).max(1);
    let margin = u64::try_from(MARGIN * connections / threads).unwrap_or_default();
    let mut keys = Vec::new();
    for (thread, sent) in sent.iter().enumerate() {
        let last = if *sent > 2 * margin { sent - margin } else { sent / 2 };
        let step = (last / per_thread).max(1);
        keys.extend((1..=per_thread).map(|place| (thread, place * step)).filter(|(_, key)| (2..=last).contains(key)));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_may_still_be_in_flight_are_not_sent_again() {
        let keys = keys_again(&[1000, 800], 64, 10);
        assert_eq!(keys.len(), 10);
        assert!(keys.iter().all(|(thread, key)| *key >= 2 && *key <= [1000 - 128, 800 - 128][*thread]), "{keys:?}");
        assert!(keys_again(&[1], 16, 10).is_empty());
    }

    #[test]
    fn every_product_is_ordered_about_as_often() {
        let mut orders = vec![0_u32; 100];
        for key in 1..=100_000 {
            orders[usize::try_from(product_of(key, 1, 100)).unwrap()] += 1;
        }
        assert!(orders.iter().all(|count| (700..1300).contains(count)), "{orders:?}");
    }
}
