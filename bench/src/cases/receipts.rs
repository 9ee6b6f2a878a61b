//! A burst of callbacks, each the complete delivery of a request of its own.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    time::Duration,
};

use anyhow::ensure;
use jaego_contracts::callback::{CALLBACK_PATH, CallbackClaims, CallbackSigner};
use jaego_contracts::ids::{Quantity, RequestId};
use localstack::demo;
use localstack::stack::{Service, Want};
use serde_json::json;
use tokio_postgres::Client;

use super::{Case, Turns};
use crate::{
    baseline::Server,
    database,
    load::{Load, Outcome, Script, THREADS},
    results::{CaseResult, Row},
    run::Run,
    stage::{Beside, Stage},
};

const UNIT: &str = "callbacks/s";
const BASELINE: &str = "one transaction per callback";
/// Minimum multiple of the baseline.
const TIMES: f64 = 4.0;
/// Units in each callback.
const UNITS: i64 = 10;
/// Queues that receive restock-service's events.
const QUEUES: [&str; 2] = ["sales.stock-received", "production.stock-received"];

/// A server under test, with its database and the bounds of the number of receipts in it.
struct Target {
    name: &'static str,
    url: String,
    database: Client,
    is_published: bool,
    least: u64,
    most: u64,
}

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::Receipts, &[]).await?;
    let mut result = stage.result().await?;
    // Only restock-service is measured, not the consumers of its events. The comparison runs without the broker,
    // because the baseline's events are not published either.
    for service in Service::MESSAGING {
        stage.stack.stop_service(service).await?;
    }
    let no_broker = [("AMQP__URL", "amqp://nobody:nothing@127.0.0.1:1/none".to_owned())];
    stage.stack.start_service(Service::Restock, &no_broker, Want::ReadyOrDegraded).await?;
    let mut ours = Target::new(
        &stage,
        "restock-service",
        stage.stack.urls(Service::Restock).public,
        &stage.stack.database_url(Service::Restock)?,
    )
    .await?;
    let url = database::make(&stage.stack, Service::Restock, "bench_receipts").await?;
    let (mut theirs, server) = tuned_baseline(&stage, &url, &mut result).await?;
    for connections in stage.scale.connections {
        stage.report(&format!("callbacks over {connections} connections"));
        let (mut our_turns, mut their_turns) = (Turns::default(), Turns::default());
        for _ in 0..stage.scale.rounds {
            for (taker, turns) in [(&mut ours, &mut our_turns), (&mut theirs, &mut their_turns)] {
                let outcome = taker.turn(&stage, *connections).await?;
                turns.add(outcome.per_second(outcome.good()), &outcome);
            }
        }
        let baseline = their_turns.as_baseline_of(&our_turns, BASELINE);
        result.rows.push(Row {
            target: format!(">= {TIMES}x"),
            met: Some(baseline.ratio.median >= TIMES),
            baseline: Some(baseline),
            ..our_turns.row(&format!("callbacks, {connections} connections"), UNIT)
        });
    }
    drop(server);
    stage.stack.stop_service(Service::Restock).await?;
    stage.stack.start_service(Service::Restock, &[], Want::Ready).await?;
    ours.is_published = true;
    for connections in stage.scale.connections {
        stage.report(&format!("callbacks over {connections} connections, with their events published"));
        let mut turns = Turns::default();
        for _ in 0..stage.scale.rounds {
            let outcome = ours.turn(&stage, *connections).await?;
            turns.add(outcome.per_second(outcome.good()), &outcome);
        }
        result.rows.push(turns.row(&format!("the same, {connections} connections, with the broker running"), UNIT));
    }
    for taker in [&ours, &theirs] {
        taker.audit(&mut result).await?;
    }
    result.notes.push(
        "Tokens are signed beforehand; both sides check each. In the comparison the broker is away and events stay \
         in the outbox on both sides; in the last rows relay and broker run, and each event goes to two quorum queues \
         on the same disk. sales-service and production-service are stopped."
            .to_owned(),
    );
    for service in [Service::Sales, Service::Production] {
        stage.stack.start_service(service, &[], Want::Ready).await?;
    }
    stage.audit_services(&mut result).await?;
    drop((ours, theirs));
    stage.finish().await?;
    Ok(result)
}

async fn tuned_baseline(stage: &Stage, url: &str, result: &mut CaseResult) -> anyhow::Result<(Target, Beside)> {
    let mut theirs = Target::new(stage, BASELINE, String::new(), url).await?;
    let (mut rates, mut best) = (Vec::new(), (0.0, 16));
    for pool in stage.scale.pools.iter().copied() {
        stage.report(&format!("{BASELINE}, pool of {pool}"));
        let server = stage.serve(Server::Receipts, url, pool).await?;
        theirs.url.clone_from(&server.url);
        let outcome = theirs.turn(stage, stage.scale.connections.first().copied().unwrap_or(1)).await?;
        let rate = outcome.per_second(outcome.good());
        rates.push(format!("{pool}: {}", crate::output::number(rate)));
        if rate > best.0 {
            best = (rate, pool);
        }
    }
    result.notes.push(format!(
        "Baseline: an actix server with the same checks, answers and rows; prepared statements, two round trips and \
         COMMIT. Callbacks/s by pool size: {}. Used: {}. Its events are not published.",
        rates.join(", "),
        best.1
    ));
    let server = stage.serve(Server::Receipts, url, best.1).await?;
    theirs.url.clone_from(&server.url);
    Ok((theirs, server))
}

impl Target {
    async fn new(stage: &Stage, name: &'static str, url: String, database: &str) -> anyhow::Result<Self> {
        let database = database::connect_as_admin(&stage.stack, database).await?;
        Ok(Self { name, url, database, is_published: false, least: 0, most: 0 })
    }

    async fn turn(&mut self, stage: &Stage, connections: usize) -> anyhow::Result<Outcome> {
        if !self.is_published {
            self.database.batch_execute("TRUNCATE outbox").await?;
        }
        stage.settle(&self.database).await?;
        let (broker, vhost) = stage.stack.broker()?;
        for queue in QUEUES {
            broker.purge(vhost, queue).await?;
        }
        if !stage.scale.warm_up.is_zero() {
            self.load(stage, connections, stage.scale.warm_up).await?;
        }
        self.load(stage, connections, stage.turn()).await
    }

    async fn load(&mut self, stage: &Stage, connections: usize, time: Duration) -> anyhow::Result<Outcome> {
        let prepared = prepare(stage, stage.scale.callbacks * time.as_secs())?;
        let load = Load {
            url: self.url.clone(),
            script: Script::Requests,
            args: vec![stage.file("callbacks-").display().to_string()],
            connections,
            time,
        };
        let outcome = stage.generator.run(&load).await?;
        outcome.is_whole()?;
        ensure!(outcome.refused == 0, "{} refused {} callbacks", self.name, outcome.refused);
        let was_enough = outcome.sent.iter().all(|sent| *sent <= prepared / THREADS as u64);
        ensure!(was_enough || !stage.scale.is_full, "all {prepared} callbacks were sent: prepare more (scale.rs)");
        // Repetitions of the last callback are answered and create nothing.
        self.least += outcome.requests.min(if was_enough { u64::MAX } else { 1 });
        self.most += outcome.requests + u64::try_from(connections)?;
        Ok(outcome)
    }

    async fn audit(&self, result: &mut CaseResult) -> anyhow::Result<()> {
        // One statement, hence one snapshot: callbacks in flight at the end of a turn may still be written.
        let sql = "SELECT (SELECT count(*) FROM receipts), \
                   (SELECT count(*) FROM deliveries WHERE outcome = 'received'), \
                   (SELECT count(*) FROM production_requests WHERE received = quantity)";
        let row = self.database.query_one(sql, &[]).await?;
        let [receipts, deliveries, complete] = [0, 1, 2].map(|column| u64::try_from(row.get::<_, i64>(column)));
        let (receipts, deliveries, complete) = (receipts?, deliveries?, complete?);
        let range = self.least..=self.most;
        ensure!(
            range.contains(&receipts) && deliveries == receipts && complete == receipts,
            "{}: {receipts} receipts, {deliveries} deliveries, {complete} complete requests, expected {range:?}",
            self.name
        );
        result.audit.push(format!(
            "{}: {receipts} receipts stored with their deliveries and complete requests, between {} answered and {} with \
             those in flight at the end of a turn",
            self.name, self.least, self.most
        ));
        Ok(())
    }
}

/// Signs tokens and writes requests for the load generator, into one file for each of its threads.
fn prepare(stage: &Stage, callbacks: u64) -> anyhow::Result<u64> {
    let signer = CallbackSigner::from_pem(&stage.stack.callback_keys().private_pem)?;
    let now = chrono::Utc::now();
    let (sku, factory) = ("HOT-0000", demo::FACTORY);
    for thread in 0..THREADS {
        let mut file = BufWriter::new(File::create(stage.file(&format!("callbacks-{thread}")))?);
        for _ in 0..callbacks / THREADS as u64 {
            let claims = CallbackClaims::new(
                RequestId::generate(),
                sku.parse()?,
                Quantity::try_from(UNITS)?,
                factory.parse()?,
                now,
                chrono::Duration::days(30),
            );
            let path = format!("{CALLBACK_PATH}{}", signer.sign(&claims)?);
            // As the real factory does, the callback echoes the request.
            let body = json!({
                "MessageGroupId": "stock-arrival-group",
                "MessageAttributeProductId": sku,
                "MessageAttributeProductCnt": UNITS.to_string(),
                "MessageAttributeFactoryId": factory,
                "MessageAttributeRequester": "재고담당",
                "CallbackUrl": format!("https://restock.example{path}"),
            });
            writeln!(file, "{path}\t{body}")?;
        }
        file.flush()?;
    }
    Ok(callbacks)
}
