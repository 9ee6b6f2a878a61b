//! Every key is sent twice, on a growing table, next to the same load without repetitions.

use super::{Comparison, Turns, UNIT};
use crate::{cases::fresh::Fresh, output::number, results::Row, shop::Turn, statistics::figure};

/// Minimum share of the rate without repetitions.
const SHARE: f64 = 0.75;
/// A rate below this share of the first step's counts as a decline.
const STEADY: f64 = 0.9;
/// Lag of the repetition: right after the first, mostly in the same batch; and long after its commit.
const LAGS: [(u64, &str); 2] = [(0, "right after"), (1000, "1,000 keys later")];

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let stage = &compared.stage;
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    let once = Turn::hot(connections, stage.turn());
    let mut fresh = Fresh::start(stage, "bench_doubled").await?;
    let mut first: [Option<Turns>; LAGS.len()] = [None, None];
    for stored in stage.scale.growing.iter().copied() {
        let there = fresh.shop.stored().await?;
        let before = number(figure(stored.max(there)));
        stage.report(&format!("every key twice: {before} orders stored before"));
        fresh.shop.fill(stored.saturating_sub(there)).await?;
        let mut plain = Turns::default();
        let mut doubled = [Turns::default(), Turns::default()];
        for _ in 0..stage.scale.rounds {
            let outcome = fresh.shop.turn(stage, once).await?;
            plain.add(outcome.per_second(outcome.good()), &outcome);
            for ((lag, _), turns) in LAGS.into_iter().zip(&mut doubled) {
                let outcome = fresh.shop.turn(stage, Turn { again_after: Some(lag), ..once }).await?;
                turns.add(outcome.per_second(outcome.good()), &outcome);
            }
        }
        for (place, ((_, when), turns)) in LAGS.into_iter().zip(doubled).enumerate() {
            let baseline = plain.as_baseline_of(&turns, "each key once");
            let initial = first[place].get_or_insert_with(|| turns.clone()).rate().median;
            let is_steady = turns.rate().median >= STEADY * initial;
            compared.result.rows.push(Row {
                target: format!(">= {SHARE}x, and >= {STEADY}x of the rate at the first step ({})", number(initial)),
                met: Some(baseline.ratio.median >= SHARE && is_steady),
                baseline: Some(baseline),
                ..turns.row(&format!("each key again {when}, from {before} orders on"), UNIT)
            });
        }
    }
    fresh.end(&compared.stage, &mut compared.result).await?;
    compared.result.notes.push(
        "Keys sent twice: a second process of sales-service, whose database was empty at first. Figures are requests/s, \
         half of them repetitions. Between the steps, SQL adds orders with all their rows in bulk; only autovacuum \
         analyses the tables."
            .to_owned(),
    );
    Ok(())
}
