//! A surge of backorders of one product: the work per order must not grow with the number of waiting orders.

use std::time::Duration;

use localstack::stack::Service;

use super::{Comparison, UNIT};
use crate::{
    cases::{
        Turns,
        memory::{self, Watch},
    },
    machine::memory_mb,
    output::number,
    results::{Line, Row},
    shop::{Expect, Turn, WAITED_FOR},
    statistics::figure,
};

/// Minimum rate of the last third, as a share of the rate of the first third.
const SHARE: f64 = 0.8;
/// Duration of one step.
const STEP: Duration = Duration::from_secs(1);

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let (stage, shop) = (&compared.stage, &mut compared.ours);
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    let steps = stage.scale.surge;
    stage.report(&format!("a surge of backorders for {steps} s, {connections} connections"));
    // The cost of opening connections and planning statements must not count as a cost of the queue.
    shop.turn(stage, Turn::hot(connections, stage.turn())).await?;
    let turn = Turn { sku: WAITED_FOR, expect: Expect::Backordered, ..Turn::hot(connections, STEP) };
    let url = stage.stack.urls(Service::Sales).public;
    let pid = stage.stack.process(Service::Sales)?.pid();
    let (mut turns, mut rates, mut seen) = ([Turns::default(), Turns::default()], Vec::new(), vec![memory_mb(pid)?]);
    let mut orders = 0;
    for step in 0..steps {
        let watch = Watch::begin(pid);
        let outcome = shop.load(stage, turn, &url).await?;
        seen.extend(watch.end().await?);
        orders += outcome.good();
        let rate = outcome.per_second(outcome.good());
        rates.push(rate);
        if step < steps.div_ceil(3) {
            turns[0].add(rate, &outcome);
        } else if step >= steps - steps.div_ceil(3) {
            turns[1].add(rate, &outcome);
        }
    }
    let [first, last] = turns;
    let baseline = first.as_baseline_of(&last, "first third");
    compared.result.rows.push(Row {
        target: format!("the last third >= {SHARE}x of the first"),
        met: Some(baseline.ratio.median >= SHARE),
        baseline: Some(baseline),
        ..last.row(&format!("{} backorders of one product, {connections} connections", number(figure(orders))), UNIT)
    });
    compared.result.rows.push(memory::row("memory of sales-service during the backorders", &seen));
    compared.result.lines.push(Line {
        title: "Backorders of one product, second by second".to_owned(),
        unit: UNIT.to_owned(),
        step: "s".to_owned(),
        values: rates,
    });
    let sku = format!("{WAITED_FOR}0000");
    let open = "SELECT count(*) FROM replenishments WHERE sku = $1 AND status IN ('open', 'proposed', 'stalled')";
    let open: i64 = shop.database.query_one(open, &[&sku]).await?.get(0);
    compared.result.notes.push(format!(
        "Backorders: {} orders of one unit wait at the end; {open} replenishments are open, stalled or proposed.",
        number(figure(orders))
    ));
    Ok(())
}
