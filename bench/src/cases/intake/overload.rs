//! Four times as many connections as can be served, and a queue that is too short for them: the excess is shed, the
//! rest is served as quickly as before, and memory stays flat.

use localstack::stack::{Service, Want};

use super::{Comparison, Turns, UNIT};
use crate::{
    cases::memory::{self, Watch},
    results::Row,
    shop::{Expect, Turn},
};

/// Multiple of the peak's connections.
const TIMES: usize = 4;
/// Minimum share of the peak's rate that is still served.
const SHARE: f64 = 0.8;

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let connections = compared.stage.scale.connections.last().copied().unwrap_or(1);
    let queue_max = connections * 3 / 2;
    let stack = &mut compared.stage.stack;
    stack.stop_service(Service::Sales).await?;
    let settings = [("INTAKE__QUEUE_MAX", queue_max.to_string())];
    stack.start_service(Service::Sales, &settings, Want::Ready).await?;

    let stage = &compared.stage;
    let pid = stage.stack.process(Service::Sales)?.pid();
    stage.report(&format!("{} and {connections} connections, a queue of {queue_max}", connections * TIMES));
    let peak_load = Turn::hot(connections, stage.turn());
    let too_much = Turn { connections: connections * TIMES, expect: Expect::Shed, ..peak_load };
    let (mut peak, mut shed, mut memory, mut refused) = (Turns::default(), Turns::default(), Vec::new(), Vec::new());
    for _ in 0..stage.scale.rounds {
        let outcome = compared.ours.turn(stage, peak_load).await?;
        peak.add(outcome.per_second(outcome.good()), &outcome);
        // The process serves that many connections once before its memory is watched.
        compared.ours.turn(stage, Turn { time: std::time::Duration::from_secs(1), ..too_much }).await?;
        let watch = Watch::begin(pid);
        let url = stage.stack.urls(Service::Sales).public;
        let outcome = compared.ours.load(stage, too_much, &url).await?;
        memory.extend(watch.end().await?);
        refused.push(outcome.per_second(outcome.refused));
        shed.add(outcome.per_second(outcome.good()), &outcome);
    }
    let baseline = peak.as_baseline_of(&shed, &format!("{connections} connections"));
    let refused = crate::statistics::Spread::of(&refused).median;
    let served = crate::statistics::Spread::of(&shed.rates).median;
    let offered = (served + refused) / crate::statistics::Spread::of(&peak.rates).median;
    let what = format!("{TIMES} times the connections ({}), queue of {queue_max}", connections * TIMES);
    compared.result.rows.push(Row {
        target: format!(">= {SHARE}x"),
        met: Some(baseline.ratio.median >= SHARE),
        baseline: Some(baseline),
        ..shed.row(&what, UNIT)
    });
    compared.result.rows.push(memory::row("memory of sales-service meanwhile", &memory));
    compared.result.lines.push(memory::line("Memory of sales-service at four times the connections", memory));
    compared.result.notes.push(format!(
        "Overload: {} requests/s were answered 503 at once, besides those served, so that {offered:.1} times the peak \
         was offered, the most that one load generator produces here; latencies include both.",
        crate::output::number(refused)
    ));
    Ok(())
}
