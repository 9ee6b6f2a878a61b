//! Two replicas of sales-service on one database, both loaded with the hot product, compared with one replica.

use localstack::stack::Service;

use super::{Comparison, Turns, UNIT};
use crate::{
    bounds,
    results::Row,
    shop::{Shop, Turn},
    stage::Stage,
};

/// Minimum share of the rate of one replica.
const SHARE: f64 = 0.9;

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let stage = &compared.stage;
    let mut second = stage.sales_beside("sales-service-2", &[]).await?;
    let urls = [stage.stack.urls(Service::Sales).public, second.public.clone()];
    for connections in stage.scale.connections.iter().copied() {
        stage.report(&format!("two replicas with {} connections each, and one with {connections}", connections / 2));
        let row = measure_at(stage, &mut compared.ours, connections, &urls).await?;
        compared.result.rows.push(row);
    }
    second.process.terminate(bounds::STOP).await?;
    Ok(())
}

/// Compares all connections at one replica with half of them at each of two.
async fn measure_at(stage: &Stage, shop: &mut Shop, connections: usize, urls: &[String; 2]) -> anyhow::Result<Row> {
    let (alone, half) = (Turn::hot(connections, stage.turn()), Turn::hot(connections / 2, stage.turn()));
    let (mut one, mut two) = (Turns::default(), Turns::default());
    for _ in 0..stage.scale.rounds {
        let outcome = shop.turn(stage, alone).await?;
        one.add(outcome.per_second(outcome.good()), &outcome);

        stage.settle(&shop.database).await?;
        let prefixes = [shop.next_prefix(), shop.next_prefix()];
        let [left, right] = [0, 1].map(|place| shop.request(&prefixes[place], half, &urls[place]));
        let (left, right) = tokio::try_join!(stage.generator.run(&left), stage.generator.run(&right))?;
        for (prefix, outcome) in prefixes.iter().zip([&left, &right]) {
            // A key that one replica has answered is known to the other.
            shop.note(stage, half, prefix, outcome).await?;
        }
        two.rates.push(left.per_second(left.good()) + right.per_second(right.good()));
        two.p50.push(left.p50_ms().max(right.p50_ms()));
        two.p99.push(left.p99_ms().max(right.p99_ms()));
    }
    let baseline = one.as_baseline_of(&two, "one replica");
    Ok(Row {
        target: format!("correct, >= {SHARE}x"),
        met: Some(baseline.ratio.median >= SHARE),
        baseline: Some(baseline),
        ..two.row(&format!("two replicas, {connections} connections in all"), UNIT)
    })
}
