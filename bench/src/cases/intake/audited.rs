//! Intake of orders during audits, with millions of orders stored.

use anyhow::ensure;
use localstack::stack::Service;
use serde_json::Value;

use super::{Comparison, Turns, UNIT};
use crate::{
    bounds,
    cases::fresh::Fresh,
    database,
    output::number,
    results::Row,
    shop::{Shop, Turn},
    stage::{Replica, Stage},
    statistics::figure,
};

/// Minimum share of the rate without an audit.
const SHARE: f64 = 0.9;
/// Interval of the checks, seconds; the default is 300.
const EVERY_S: u64 = 1;

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let stage = &compared.stage;
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    let stored = stage.scale.audited;
    let orders = number(figure(stored));
    stage.report(&format!("audits in progress, {orders} orders stored"));
    let mut fresh = Fresh::start(stage, "bench_audited").await?;
    fresh.shop.fill(stored).await?;
    // The tables have grown so much that autovacuum would otherwise run in the middle of a turn.
    fresh.shop.database.batch_execute("VACUUM (ANALYZE)").await?;
    let turn = Turn::hot(connections, stage.turn());
    let (mut without, mut audited) = (Turns::default(), Turns::default());
    for _ in 0..stage.scale.rounds {
        let outcome = fresh.shop.turn(stage, turn).await?;
        without.add(outcome.per_second(outcome.good()), &outcome);

        let mut auditor = begin_audits(stage, &fresh.shop).await?;
        let outcome = fresh.shop.turn(stage, turn).await?;
        audited.add(outcome.per_second(outcome.good()), &outcome);
        auditor.process.terminate(bounds::STOP).await?;
    }
    let full = during_full_check(stage, &mut fresh.shop, turn).await?;
    for (how, turns) in [(format!("increments every {EVERY_S} s"), audited), ("a full check".to_owned(), full)] {
        let baseline = without.as_baseline_of(&turns, "no audit");
        compared.result.rows.push(Row {
            target: format!(">= {SHARE}x"),
            met: Some(baseline.ratio.median >= SHARE),
            baseline: Some(baseline),
            ..turns.row(&format!("during audits ({how}), {orders} orders stored, {connections} connections"), UNIT)
        });
    }
    fresh.end(&compared.stage, &mut compared.result).await
}

/// Starts another replica that audits every second and has proven what is stored so far.
async fn begin_audits(stage: &Stage, shop: &Shop) -> anyhow::Result<Replica> {
    shop.database.batch_execute("UPDATE audit_turns SET next_at = now(), full_at = now()").await?;
    let settings = [("DATABASE__URL", shop.database_url.clone()), ("AUDIT__EVERY_S", EVERY_S.to_string())];
    let auditor = stage.sales_beside("bench_auditor", &settings).await?;
    let unproven = "SELECT count(*) FROM stock s LEFT JOIN audited a ON a.sku = s.sku WHERE coalesce(a.entry, 0) < \
                    (SELECT coalesce(max(m.entry), 0) FROM stock_movements m WHERE m.sku = s.sku)";
    database::wait_until_none(&shop.database, unproven, "products whose ledger is not proven").await?;
    Ok(auditor)
}

/// Measures turns during which another replica checks everything, from the first row.
async fn during_full_check(stage: &Stage, shop: &mut Shop, turn: Turn) -> anyhow::Result<Turns> {
    let mut auditor = stage.sales_beside("bench_auditor", &[("DATABASE__URL", shop.database_url.clone())]).await?;
    let mut turns = Turns::default();
    for _ in 0..stage.scale.rounds {
        let check = stage.http().get(format!("{}/api/v1/audit", auditor.api)).bearer_auth(stage.stack.operator_token());
        let check = tokio::spawn(check.send());
        let outcome = shop.turn(stage, turn).await?;
        turns.add(outcome.per_second(outcome.good()), &outcome);
        let report: Value = check.await??.error_for_status()?.json().await?;
        ensure!(
            report["ok"] == Value::Bool(true),
            "the books of {} do not agree: {}",
            Service::Sales,
            report["checks"]
        );
    }
    auditor.process.terminate(bounds::STOP).await?;
    Ok(turns)
}
