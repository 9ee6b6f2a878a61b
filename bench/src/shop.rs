//! Who takes orders: sales-service, or what it is compared with. Every turn is noted, so that in the end the
//! database can be held to what was answered.

use std::time::Duration;

use anyhow::{bail, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_postgres::Client;
use xtask::{demo, stack::Service};

use crate::{
    bounds, database,
    load::{Load, Outcome, Script},
    results::CaseResult,
    stage::Stage,
};

/// The stack's own shop.
const OURS: &str = "sales-service";
/// The product that everybody wants.
pub const HOT: &str = "HOT-";
/// Products of which each order takes one at random.
pub const MANY: &str = "MANY-";
/// A product of which nothing is there.
pub const EMPTY: &str = "EMPTY-";
/// A product of which nothing is there, and whose orders wait for what is made.
pub const WAITED_FOR: &str = "WAIT-";
/// A product whose row somebody else holds.
pub const HELD: &str = "HELD-";

/// Units that no measurement uses up.
const PLENTY: i64 = 1_000_000_000_000;
/// Units that may wait for [`WAITED_FOR`].
const WAITING_MAX: i64 = 1_000_000;
/// Orders that are written at once when a table is filled.
const FILL_CHUNK: u64 = 50_000;
/// Further requests that may have been under way when a key was sent, as a multiple of the connections.
const MARGIN: usize = 4;

/// A shop under measurement.
pub struct Shop {
    name: &'static str,
    url: String,
    /// Where its database is, with the owner's password.
    pub database_url: String,
    /// Its database, as its owner.
    pub database: Client,
    is_service: bool,
    // How many orders its database must hold.
    least: u64,
    most: u64,
    turns: u32,
    keys_again: u64,
}

/// What must be answered to every order of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// 201.
    Confirmed,
    /// 202.
    Backordered,
    /// 409: refused orders are kept, too.
    Refused,
    /// 201 or 503: what is too much is shed.
    Shed,
}

impl Expect {
    /// The answer to a repeated key, where keys are repeated.
    fn kept(self) -> Option<StatusCode> {
        match self {
            Self::Confirmed => Some(StatusCode::CREATED),
            Self::Backordered => Some(StatusCode::ACCEPTED),
            Self::Refused | Self::Shed => None,
        }
    }
}

/// One turn.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Connections.
    pub connections: usize,
    /// The beginning of the SKUs.
    pub sku: &'static str,
    /// How many products.
    pub products: usize,
    /// What is right.
    pub expect: Expect,
    /// Each key twice: how many keys later.
    pub again_after: Option<u64>,
    /// How long.
    pub time: Duration,
}

impl Turn {
    /// Everybody wants the one product.
    pub fn hot(connections: usize, time: Duration) -> Self {
        Self { connections, sku: HOT, products: 1, expect: Expect::Confirmed, again_after: None, time }
    }
}

impl Shop {
    /// sales-service.
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
        Self::open(stage, "sales-service beside", url, database_url, true).await
    }

    async fn open(
        stage: &Stage,
        name: &'static str,
        url: String,
        database_url: String,
        is_service: bool,
    ) -> anyhow::Result<Self> {
        let database = database::connect(&database_url).await?;
        stock_up(&database, HOT, 1, PLENTY).await?;
        stock_up(&database, MANY, stage.scale.products, PLENTY).await?;
        stock_up(&database, HELD, 1, PLENTY).await?;
        stock_up(&database, EMPTY, 1, 0).await?;
        stock_up(&database, WAITED_FOR, 1, 0).await?;
        let waits = "UPDATE products SET shortage = 'backorder', max_backordered = $1 WHERE sku = $2";
        database.execute(waits, &[&WAITING_MAX, &format!("{WAITED_FOR}0000")]).await?;
        Ok(Self { name, url, database_url, database, is_service, least: 0, most: 0, turns: 0, keys_again: 0 })
    }

    /// The same shop, taken orders for by another process.
    pub fn move_to(&mut self, url: String) {
        self.url = url;
    }

    /// A turn under load, after some time under the same load that does not count.
    pub async fn turn(&mut self, stage: &Stage, turn: Turn) -> anyhow::Result<Outcome> {
        if self.is_service {
            stage.settle(&self.database).await?;
        } else {
            // Nobody publishes what a baseline writes down.
            self.database.batch_execute("TRUNCATE outbox").await?;
            stage.settle(&self.database).await?;
        }
        if !stage.scale.warm_up.is_zero() {
            self.load(stage, Turn { time: stage.scale.warm_up, ..turn }, &self.url.clone()).await?;
        }
        self.load(stage, turn, &self.url.clone()).await
    }

    /// Load without warming up; several may be sent at the same time to different processes.
    pub async fn load(&mut self, stage: &Stage, turn: Turn, url: &str) -> anyhow::Result<Outcome> {
        let prefix = self.next_prefix();
        let outcome = stage.generator.run(&self.request(&prefix, turn, url)).await?;
        self.note(stage, turn, &prefix, &outcome).await?;
        Ok(outcome)
    }

    /// Each turn has keys of its own, long enough for anybody's.
    pub fn next_prefix(&mut self) -> String {
        self.turns += 1;
        format!("turn-{:016}-", self.turns)
    }

    /// What the load generator is told.
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

    /// Holds answers to what was expected, and notes what must be in the database now.
    pub async fn note(&mut self, stage: &Stage, turn: Turn, prefix: &str, outcome: &Outcome) -> anyhow::Result<()> {
        let in_flight = u64::try_from(turn.connections)?;
        let begun: u64 = outcome.sent.iter().sum();
        let name = self.name;
        outcome.is_whole()?;
        match turn.expect {
            Expect::Confirmed | Expect::Backordered => {
                ensure!(outcome.refused == 0, "{name} did not take {} orders", outcome.refused);
            }
            Expect::Refused => ensure!(outcome.good() == 0, "{name} confirmed {} orders of nothing", outcome.good()),
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

    /// Notes that so many further orders are stored.
    pub fn expect_stored(&mut self, least: u64, most: u64) {
        self.least += least;
        self.most += most;
    }

    /// Keys that were answered before get the first answer again, and their order is in the database.
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
                bail!("{}: key {prefix}{thread}-{key} was answered {status} anew: {order}", self.name);
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

    /// Orders that are stored now.
    pub async fn stored(&self) -> anyhow::Result<u64> {
        database::number(&self.database, "SELECT count(*) FROM orders").await
    }

    /// Stores so many further orders of the hot product with all their rows, set-wise.
    pub async fn fill(&mut self, orders: u64) -> anyhow::Result<()> {
        self.database.batch_execute("CREATE SEQUENCE IF NOT EXISTS bench_ids").await?;
        let mut left = orders;
        while left > 0 {
            let chunk = left.min(FILL_CHUNK);
            let [lock, write] = set_wise(chunk);
            self.database.batch_execute(&format!("BEGIN; {lock}; {write}; COMMIT")).await?;
            left -= chunk;
        }
        self.expect_stored(orders, orders);
        Ok(())
    }

    /// Stores so many further orders, each waiting for one unit of [`WAITED_FOR`], set-wise.
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

    /// The database holds what was answered, and its figures are those that its rows explain.
    pub async fn audit(&self, stage: &Stage, result: &mut CaseResult) -> anyhow::Result<()> {
        // One statement sees one moment: what was in flight at the end of a turn may still be written.
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
        // The stack's own sales-service proves its books over HTTP, beside the others.
        if self.name != OURS {
            let settings = [("DATABASE__URL", self.database_url.clone())];
            let mut compare = stage.stack.beside(Service::Sales, "rebuild-figures", "rebuild-figures", &settings)?;
            let status = compare.wait_exit(bounds::REQUEST).await;
            let is_right = status.is_some_and(|status| status.success());
            ensure!(is_right, compare.not_ready(format!("found that figures of {} are off", self.name)));
        }
        result.audit.push(format!(
            "{}: {orders} orders stored, between {} answered and {} with those in flight at the end of a turn; {} keys sent \
             again, each answered as a repetition with an order that is stored",
            self.name, self.least, self.most, self.keys_again
        ));
        Ok(())
    }
}

/// Products with so many units on hand, and the ledger entries that explain them.
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

/// Two statements of one transaction that store so many orders of the hot product with all their rows but the
/// event: it locks first, so that the second one sees what the lock's last holder has left.
pub fn set_wise(orders: u64) -> [String; 2] {
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

/// Of which product a key's order is; the same sum is in `orders.lua`.
fn product_of(key: u64, thread: u64, products: u64) -> u64 {
    const MODULUS: u64 = 1 << 31;
    let mut x = (key * 1_103_515_245 + thread * 12345) % MODULUS;
    x ^= x >> 15;
    x = (x * 69069) % MODULUS;
    x ^= x >> 16;
    x % products
}

/// Threads and keys that were answered for certain, spread evenly over the turn. The first key of the first
/// thread is the load generator's own look at what a request is like.
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
