//! One hot product, compared with one transaction per order, the empty HTTP server, and PostgreSQL's write limit.

use super::{BASELINE, Comparison, Turns, UNIT, compared_row, in_turns};
use crate::{
    baseline::Server,
    ceiling::Ceiling,
    load::{Load, Script},
    results::Row,
    shop::{Expect, MANY, Turn},
    stage::Stage,
};

/// Targets for the hot product: connections, multiple of the baseline, p99 in ms, and orders/s on a machine where an
/// empty server reaches [`EMPTY_REFERENCE`].
const HOT: [(usize, f64, f64, f64); 2] = [(64, 15.0, 8.0, 22_000.0), (256, 25.0, 20.0, 30_000.0)];
/// Targets for many products: connections and multiple of the baseline.
const MANY_PRODUCTS: [(usize, f64); 2] = [(64, 4.0), (256, 6.0)];
/// Requests/s of the empty server on the machine for which the absolute targets were set.
const EMPTY_REFERENCE: f64 = 80_000.0;

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let mut ceiling = Ceiling::prepare(&compared.stage).await?;
    let empty = compared.stage.serve(Server::Empty, "", 1).await?;
    for connections in compared.stage.scale.connections {
        one_product(compared, *connections, &empty.url, &mut ceiling).await?;
    }
    drop(empty);
    for connections in compared.stage.scale.connections {
        many_products(compared, *connections).await?;
        without_stock(compared, *connections).await?;
    }
    Ok(())
}

async fn one_product(
    compared: &mut Comparison,
    connections: usize,
    empty_url: &str,
    ceiling: &mut Ceiling,
) -> anyhow::Result<()> {
    let turn = Turn::hot(connections, compared.stage.turn());
    let mut shops = [Turns::default(), Turns::default()];
    let (mut empty, mut written) = (Turns::default(), Turns::default());
    for round in 1..=compared.stage.scale.rounds {
        let stage = &compared.stage;
        stage.report(&format!("hot product, {connections} connections, round {round}: sales-service"));
        for (shop, turns) in [&mut compared.ours, &mut compared.theirs].into_iter().zip(&mut shops) {
            let outcome = shop.turn(stage, turn).await?;
            turns.add(outcome.per_second(outcome.good()), &outcome);
        }
        stage.report("the empty server, and PostgreSQL's own load generator");
        let outcome = plain_load(stage, empty_url, connections).await?;
        empty.add(outcome.per_second(outcome.good()), &outcome);
        written.rates.push(ceiling.turn(stage).await?);
    }
    let wanted = HOT.iter().find(|(of, ..)| *of == connections).copied().unwrap_or(HOT[0]);
    let (_, times, p99_ms, absolute) = wanted;
    let what = format!("hot product, {connections} connections");
    compared.result.rows.push(compared_row(&what, &shops, times, Some(p99_ms)));
    let [ours, _] = &shops;
    let share = absolute / EMPTY_REFERENCE;
    let against_empty = empty.as_baseline_of(ours, "empty HTTP server");
    compared.result.rows.push(Row {
        target: format!(
            ">= {absolute:.0} {UNIT} where the empty server reaches {EMPTY_REFERENCE:.0} requests/s: {:.0} here",
            share * empty.rate().median
        ),
        met: Some(against_empty.ratio.median >= share),
        baseline: Some(against_empty),
        ..ours.row(&format!("{what}, against HTTP alone"), UNIT)
    });
    compared.result.rows.push(Row {
        baseline: Some(written.as_baseline_of(ours, "pgbench writing the same rows, 100 orders per transaction")),
        ..ours.row(&format!("{what}, against SQL alone"), UNIT)
    });
    Ok(())
}

async fn plain_load(stage: &Stage, url: &str, connections: usize) -> anyhow::Result<crate::load::Outcome> {
    let url = format!("{url}/api/v1/orders");
    let outcome = stage
        .generator
        .run(&Load { url, script: Script::Plain, args: Vec::new(), connections, time: stage.turn() })
        .await?;
    outcome.is_whole()?;
    Ok(outcome)
}

async fn many_products(compared: &mut Comparison, connections: usize) -> anyhow::Result<()> {
    let products = compared.stage.scale.products;
    compared.stage.report(&format!("{products} products, {connections} connections: sales-service and {BASELINE}"));
    let turn = Turn { sku: MANY, products, ..Turn::hot(connections, compared.stage.turn()) };
    let turns = in_turns(compared, turn).await?;
    let (_, times) = MANY_PRODUCTS.iter().find(|(of, _)| *of == connections).copied().unwrap_or(MANY_PRODUCTS[0]);
    let what = format!("{products} products, {connections} connections");
    compared.result.rows.push(compared_row(&what, &turns, times, None));
    Ok(())
}

/// Every order is rejected and stored; the shortfall is requested once.
async fn without_stock(compared: &mut Comparison, connections: usize) -> anyhow::Result<()> {
    compared.stage.report(&format!("product without stock, and hot product, {connections} connections"));
    let hot = Turn::hot(connections, compared.stage.turn());
    let empty = Turn { sku: crate::shop::EMPTY, expect: Expect::Refused, ..hot };
    let (mut refused, mut confirmed) = (Turns::default(), Turns::default());
    for _ in 0..compared.stage.scale.rounds {
        let outcome = compared.ours.turn(&compared.stage, empty).await?;
        refused.add(outcome.per_second(outcome.refused), &outcome);
        let outcome = compared.ours.turn(&compared.stage, hot).await?;
        confirmed.add(outcome.per_second(outcome.good()), &outcome);
    }
    let baseline = confirmed.as_baseline_of(&refused, "hot product");
    compared.result.rows.push(Row {
        target: ">= 1x the hot product".to_owned(),
        met: Some(baseline.ratio.median >= 1.0),
        baseline: Some(baseline),
        ..refused.row(&format!("product without stock, {connections} connections"), UNIT)
    });
    Ok(())
}
