//! Throughput with millions of stored orders; memory under sustained full load and when idle; time to ready.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use localstack::demo;
use localstack::stack::{Service, Want};

use super::{
    Case, Turns,
    fresh::Fresh,
    memory::{self, Watch},
};
use crate::{
    bounds,
    machine::memory_mb,
    output::number,
    results::{CaseResult, Row},
    run::Run,
    shop::{Shop, Turn},
    stage::Stage,
    statistics::figure,
};

const UNIT: &str = "orders/s";
/// Minimum share of the rate on a fresh database.
const SHARE: f64 = 0.9;
/// Memory limit of an idle service, MB.
const IDLE_MB: f64 = 25.0;
/// Limit of the time until a service is ready, milliseconds.
const READY_MS: f64 = 300.0;
/// Time after which a service counts as idle.
const IDLE: Duration = Duration::from_secs(10);
/// Polling interval of a starting service.
const LOOK: Duration = Duration::from_millis(2);
/// Free space that this case needs unless it runs with --quick.
const SPACE_GIB: u64 = 22;

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::Growth, &[]).await?;
    let mut result = stage.result().await?;
    idle(&mut stage, &mut result).await?;
    start(&mut stage, &mut result).await?;
    demo::fill(&stage.stack).await?;
    if stage.scale.is_full {
        let stats = nix::sys::statvfs::statvfs(stage.stack.dir())?;
        let free = stats.blocks_available() * stats.fragment_size() / (1 << 30);
        ensure!(free >= SPACE_GIB, "{free} GiB are free, {SPACE_GIB} are needed: make room");
    }
    soak(&stage, &mut result).await?;
    let mut grown = Shop::of_service(&stage).await?;
    for stored in stage.scale.stored {
        step(&stage, &mut grown, *stored, &mut result).await?;
    }
    result.notes.push(
        "Stored orders are written in bulk by SQL, with all their rows. Each step is compared with a second process of \
         sales-service on a database that is new in this step; at 0 stored orders the comparison shows the noise."
            .to_owned(),
    );
    grown.audit(&stage, &mut result).await?;
    stage.audit_services(&mut result).await?;
    drop(grown);
    stage.finish().await?;
    Ok(result)
}

/// Compares the same load on the grown database and on a new one.
async fn step(stage: &Stage, grown: &mut Shop, stored: u64, result: &mut CaseResult) -> anyhow::Result<()> {
    stage.report(&format!("{} orders stored", count(stored)));
    grown.fill(stored.saturating_sub(grown.stored().await?)).await?;
    let mut fresh = Fresh::start(stage, &format!("bench_fresh_{stored}")).await?;
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    let turn = Turn::hot(connections, stage.turn());
    let (mut ours, mut theirs) = (Turns::default(), Turns::default());
    for _ in 0..stage.scale.rounds {
        for (shop, turns) in [(&mut *grown, &mut ours), (&mut fresh.shop, &mut theirs)] {
            let outcome = shop.turn(stage, turn).await?;
            turns.add(outcome.per_second(outcome.good()), &outcome);
        }
    }
    let baseline = theirs.as_baseline_of(&ours, "a new database");
    result.rows.push(Row {
        target: format!(">= {SHARE}x"),
        met: Some(baseline.ratio.median >= SHARE),
        baseline: Some(baseline),
        ..ours.row(&format!("{} orders stored, {connections} connections", count(stored)), UNIT)
    });
    fresh.end(stage, result).await
}

/// Measures memory under sustained full load.
async fn soak(stage: &Stage, result: &mut CaseResult) -> anyhow::Result<()> {
    let mut fresh = Fresh::start(stage, "bench_soak").await?;
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    stage.report(&format!("{} s at full load", stage.scale.soak.as_secs()));
    // Memory grows while connections and caches are created, which is not a leak.
    fresh.shop.turn(stage, Turn::hot(connections, stage.turn())).await?;
    let watch = Watch::begin(fresh.process.pid());
    let outcome = fresh.shop.turn(stage, Turn::hot(connections, stage.scale.soak)).await?;
    let seen = watch.end().await?;
    result.rows.push(memory::row(
        &format!("memory of sales-service over {} s at full load", stage.scale.soak.as_secs()),
        &seen,
    ));
    result.lines.push(memory::line("Memory of sales-service at full load", seen));
    result.notes.push(format!(
        "Full load: {} orders/s over {} connections, p99 {:.1} ms, slowest answer {:.0} ms.",
        number(outcome.per_second(outcome.good())),
        connections,
        outcome.p99_ms(),
        outcome.max_ms()
    ));
    fresh.end(stage, result).await
}

/// Measures the memory of each idle service.
async fn idle(stage: &mut Stage, result: &mut CaseResult) -> anyhow::Result<()> {
    let wait = if stage.scale.is_full { IDLE } else { Duration::ZERO };
    tokio::time::sleep(wait).await;
    for service in Service::MESSAGING {
        let seen = memory_mb(stage.stack.process(service)?.pid())?;
        result.rows.push(Row {
            target: format!("below {IDLE_MB} MB"),
            met: Some(seen < IDLE_MB),
            ..Turns { rates: vec![seen], ..Turns::default() }.row(&format!("idle memory of {service}"), "MB")
        });
    }
    Ok(())
}

/// Measures the time from the start of each service's process until it is ready.
async fn start(stage: &mut Stage, result: &mut CaseResult) -> anyhow::Result<()> {
    for service in Service::MESSAGING {
        stage.stack.stop_service(service).await?;
        let mut turns = Turns::default();
        for _ in 0..stage.scale.rounds {
            let begun = Instant::now();
            let mut process = stage.stack.beside(service, "serve", "start-to-ready", &[])?;
            let ready = async {
                let url = format!("{}/readyz", stage.stack.urls(service).admin);
                loop {
                    if let Ok(answer) = stage.http().get(&url).send().await
                        && answer.text().await.is_ok_and(|text| text.contains("\"ready\""))
                    {
                        return begun.elapsed();
                    }
                    tokio::time::sleep(LOOK).await;
                }
            };
            let ready = tokio::time::timeout(bounds::START, ready).await;
            turns.rates.push(ready.with_context(|| format!("{service} was not ready"))?.as_secs_f64() * 1e3);
            process.terminate(bounds::STOP).await?;
        }
        stage.stack.start_service(service, &[], Want::Ready).await?;
        result.rows.push(Row {
            target: format!("below {READY_MS} ms"),
            met: Some(turns.rate().median < READY_MS),
            ..turns.row(&format!("start to ready of {service}"), "ms")
        });
    }
    Ok(())
}

fn count(orders: u64) -> String {
    number(figure(orders))
}
