//! Two replicas of sales-service on one database, both asked for the hot product, against one of them.

use testkit::servers::choose_ports;
use xtask::stack::Service;

use super::{Comparison, Turns, UNIT};
use crate::{bounds, results::Row, shop::Turn};

/// At least so much of what one replica makes.
const SHARE: f64 = 0.8;

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let stage = &compared.stage;
    let [api, public, admin] = choose_ports([0, 0, 0])?;
    let ports = [("HTTP__PORT", api), ("HTTP__PUBLIC_PORT", public), ("HTTP__ADMIN_PORT", admin)];
    let settings = ports.map(|(key, port)| (key, port.to_string()));
    let mut second = stage.stack.beside(Service::Sales, "serve", "sales-service-2", &settings)?;
    second.wait_ok(&format!("http://127.0.0.1:{admin}/readyz"), bounds::START).await?;

    let urls = [stage.stack.urls(Service::Sales).public, format!("http://127.0.0.1:{public}")];
    let connections = stage.scale.connections.first().copied().unwrap_or(2);
    stage.tell(&format!("two replicas with {} connections each, and one with {connections}", connections / 2));
    let (alone, half) = (Turn::hot(connections, stage.turn()), Turn::hot(connections / 2, stage.turn()));
    let (mut one, mut two) = (Turns::default(), Turns::default());
    for _ in 0..stage.scale.rounds {
        let outcome = compared.ours.turn(stage, alone).await?;
        one.add(outcome.per_second(outcome.good()), &outcome);

        stage.settle(&compared.ours.database).await?;
        let prefixes = [compared.ours.next_prefix(), compared.ours.next_prefix()];
        let [left, right] = [0, 1].map(|place| compared.ours.request(&prefixes[place], half, &urls[place]));
        let (left, right) = tokio::try_join!(stage.generator.run(&left), stage.generator.run(&right))?;
        for (prefix, outcome) in prefixes.iter().zip([&left, &right]) {
            // A key that one replica has answered is known to the other one.
            compared.ours.note(stage, half, prefix, outcome).await?;
        }
        two.rates.push(left.per_second(left.good()) + right.per_second(right.good()));
        two.p50.push(left.p50_ms().max(right.p50_ms()));
        two.p99.push(left.p99_ms().max(right.p99_ms()));
    }
    second.terminate(bounds::STOP).await?;
    let baseline = one.as_baseline_of(&two, "one replica");
    compared.result.rows.push(Row {
        target: format!("correct, >= {SHARE}x"),
        met: Some(baseline.ratio.median >= SHARE),
        baseline: Some(baseline),
        ..two.row(&format!("two replicas, {connections} connections in all"), UNIT)
    });
    Ok(())
}
