//! Intake of orders: for one product or many, without stock, with repeated keys, with two replicas, with overload.
//! Also what must not slow down other orders: a long queue, a held row, a huge receipt, the audit.

mod audited;
mod doubled;
mod held;
mod hot;
mod overload;
mod receipt;
mod replicas;
mod surge;

use localstack::demo;

use super::{Case, Turns};
use crate::{
    baseline::Server,
    database,
    results::{CaseResult, Row},
    run::Run,
    shop::{Shop, Turn},
    stage::{Beside, Stage},
};

const UNIT: &str = "orders/s";
const BASELINE: &str = "one transaction per order";

/// Both sides of the comparison and their stage.
struct Comparison {
    stage: Stage,
    result: CaseResult,
    ours: Shop,
    theirs: Shop,
    // The baseline's process ends when this is dropped.
    server: Beside,
}

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let stage = Stage::start(wanted, Case::Intake, &[]).await?;
    demo::fill(&stage.stack).await?;
    let mut result = stage.result().await?;
    let ours = Shop::of_service(&stage).await?;
    let url = database::make(&stage.stack, localstack::stack::Service::Sales, "bench_orders").await?;
    let (theirs, server) = tuned_baseline(&stage, url, &mut result).await?;
    let mut compared = Comparison { stage, result, ours, theirs, server };
    hot::measure(&mut compared).await?;
    replicas::measure(&mut compared).await?;
    held::measure(&mut compared).await?;
    surge::measure(&mut compared).await?;
    receipt::measure(&mut compared).await?;
    doubled::measure(&mut compared).await?;
    audited::measure(&mut compared).await?;
    overload::measure(&mut compared).await?;

    let Comparison { mut stage, mut result, ours, theirs, server } = compared;
    for shop in [&ours, &theirs] {
        shop.audit(&stage, &mut result).await?;
    }
    stage.audit_services(&mut result).await?;
    drop((ours, theirs, server));
    stage.finish().await?;
    Ok(result)
}

/// The baseline with its fastest pool size.
async fn tuned_baseline(stage: &Stage, url: String, result: &mut CaseResult) -> anyhow::Result<(Shop, Beside)> {
    let mut best: Option<(f64, usize)> = None;
    let mut rates = Vec::new();
    let first = stage.serve(Server::Empty, "", 1).await?;
    let mut shop = Shop::of_baseline(stage, first.url.clone(), url.clone()).await?;
    for pool in stage.scale.pools.iter().copied() {
        let server = stage.serve(Server::Orders, &url, pool).await?;
        shop.move_to(server.url.clone());
        let connections = stage.scale.connections.first().copied().unwrap_or(1);
        stage.report(&format!("{BASELINE}, pool of {pool}"));
        let outcome = shop.turn(stage, Turn::hot(connections, stage.turn())).await?;
        let rate = outcome.per_second(outcome.good());
        rates.push(format!("{pool}: {}", crate::output::number(rate)));
        if best.is_none_or(|(fastest, _)| rate > fastest) {
            best = Some((rate, pool));
        }
    }
    let pool = best.map_or(16, |(_, pool)| pool);
    result.notes.push(format!(
        "Baseline: an actix server with the same requests, answers and rows; prepared statements, two round trips and \
         COMMIT, the hot row locked last. Orders/s on the hot product by size of its pool: {}. Used: {pool}. Nobody \
         publishes its events; ours are published while it is measured.",
        rates.join(", ")
    ));
    let server = stage.serve(Server::Orders, &url, pool).await?;
    shop.move_to(server.url.clone());
    Ok((shop, server))
}

/// Turns of both shops, alternating.
async fn in_turns(compared: &mut Comparison, turn: Turn) -> anyhow::Result<[Turns; 2]> {
    let mut turns = [Turns::default(), Turns::default()];
    for _ in 0..compared.stage.scale.rounds {
        for (shop, turns) in [&mut compared.ours, &mut compared.theirs].into_iter().zip(&mut turns) {
            let outcome = shop.turn(&compared.stage, turn).await?;
            turns.add(outcome.per_second(outcome.good()), &outcome);
        }
    }
    Ok(turns)
}

/// A row whose target is a multiple of the baseline, and a latency if one is rates.
fn compared_row(what: &str, [ours, theirs]: &[Turns; 2], times: f64, p99_max_ms: Option<f64>) -> Row {
    let baseline = theirs.as_baseline_of(ours, BASELINE);
    let latency = p99_max_ms.map_or_else(String::new, |ms| format!(", p99 below {ms:.0} ms"));
    let is_quick_enough = p99_max_ms.is_none_or(|ms| ours.p99_ms() < ms);
    Row {
        target: format!(">= {times}x{latency}"),
        met: Some(baseline.ratio.median >= times && is_quick_enough),
        baseline: Some(baseline),
        ..ours.row(what, UNIT)
    }
}
