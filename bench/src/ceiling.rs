//! PostgreSQL's write limit: the same rows, 100 orders per transaction, sent by its own load generator.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use localstack::stack::Service;
use testkit::process::{Spec, tail};
use testkit::provision::beside;
use tokio_postgres::Client;

use crate::{database, shop, stage::Stage, statistics::figure};

/// Orders in one transaction.
const BATCH: u64 = 100;
/// Number of connections: one holds the hot row while the other prepares.
const CLIENTS: usize = 2;

/// A database that only pgbench writes to.
pub struct Ceiling {
    url: String,
    client: Client,
    turns: u32,
}

impl Ceiling {
    /// Creates the database with the products of a shop.
    pub async fn prepare(stage: &Stage) -> anyhow::Result<Self> {
        let url = database::make(&stage.stack, Service::Sales, "bench_ceiling").await?;
        let url = beside(&stage.stack.postgres_admin_url()?, &url)?;
        let client = database::connect(&url).await?;
        shop::stock_up(&client, shop::HOT, 1, 1_000_000_000_000).await?;
        client.batch_execute("CREATE SEQUENCE bench_ids CACHE 100").await?;
        let [lock, write] = shop::bulk_orders(BATCH);
        // Roughly the length of the event of a whole batch. pgbench would take `:word` for a variable.
        let event = format!(
            "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
             VALUES ('m', 'jaego.events', 'order.confirmed', 'application/cloudevents+json', '{{}}', \
             convert_to(repeat('x', {}), 'UTF8'), false)",
            BATCH * 110
        );
        fs::write(stage.file("ceiling.sql"), format!("BEGIN;\n{lock};\n{write};\n{event};\nCOMMIT;\n"))?;
        Ok(Self { url, client, turns: 0 })
    }

    /// Measures orders per second.
    pub async fn turn(&mut self, stage: &Stage) -> anyhow::Result<f64> {
        self.client.batch_execute("TRUNCATE outbox").await?;
        stage.settle(&self.client).await?;
        self.turns += 1;
        let before = database::number(&self.client, "SELECT count(*) FROM orders").await?;
        let log = stage.file(&format!("pgbench-{}.log", self.turns));
        let seconds = stage.turn().as_secs();
        let clients = CLIENTS.to_string();
        let mut process = Spec::new("pgbench", &stage.pgbench, &log)
            .clear_env()
            .args(["-n", "-M", "prepared", "-c", &clients, "-j", &clients, "-T", &seconds.to_string(), "-f"])
            .arg(stage.file("ceiling.sql"))
            .arg(&self.url)
            .spawn()?;
        let status = process.wait_exit(stage.turn() * 2 + crate::bounds::STOP).await;
        let words = tail(&log, 30);
        if !status.is_some_and(|status| status.success()) {
            bail!("pgbench failed: {words}");
        }
        let printed = |name: &str| {
            words
                .lines()
                .find_map(|line| line.strip_prefix(name)?.split_whitespace().find_map(|word| word.parse().ok()))
        };
        let per_second: f64 = printed("tps =").with_context(|| format!("pgbench printed no rate: {words}"))?;
        let transactions: f64 = printed("number of transactions actually processed:")
            .with_context(|| format!("pgbench printed no count: {words}"))?;
        let stored = database::number(&self.client, "SELECT count(*) FROM orders").await? - before;
        let expected = transactions * figure(BATCH);
        ensure!((figure(stored) - expected).abs() < 0.5, "pgbench reported {expected} orders, {stored} are stored");
        Ok(per_second * figure(BATCH))
    }
}
