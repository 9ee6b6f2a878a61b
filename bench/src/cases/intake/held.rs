//! The row of one product is held by another transaction: its orders wait, while those of all other products continue.
//!
//! While any transaction is open, PostgreSQL keeps all row versions that are younger than it. The share of this in the
//! difference is measured by a control: a transaction that has written something and holds no row of the shop.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::ensure;
use localstack::stack::Service;
use reqwest::StatusCode;
use serde_json::json;

use super::{Comparison, Turns, UNIT};
use crate::{
    database,
    results::Row,
    shop::{HELD, MANY, Turn},
    stage::Stage,
};

/// Minimum share of the rate while nothing is held.
const SHARE: f64 = 0.8;
/// Clients that order the held product repeatedly.
const CLIENTS: usize = 8;

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let (stage, shop) = (&compared.stage, &mut compared.ours);
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    let products = stage.scale.products;
    stage.report(&format!("{products} products, {connections} connections, another product's row free or held"));
    let turn = Turn { sku: MANY, products, ..Turn::hot(connections, stage.turn()) };
    let holder = database::connect_as_admin(&stage.stack, &stage.stack.database_url(Service::Sales)?).await?;
    holder.batch_execute("CREATE TABLE IF NOT EXISTS bench_scratch (number integer)").await?;
    let (mut free, mut control, mut held) = (Turns::default(), Turns::default(), Turns::default());
    let mut waited = [0, 0];
    for _ in 0..stage.scale.rounds {
        let outcome = shop.turn(stage, turn).await?;
        free.add(outcome.per_second(outcome.good()), &outcome);

        holder.batch_execute("BEGIN; INSERT INTO bench_scratch VALUES (1)").await?;
        let outcome = shop.turn(stage, turn).await?;
        holder.batch_execute("ROLLBACK").await?;
        control.add(outcome.per_second(outcome.good()), &outcome);

        holder.batch_execute(&format!("BEGIN; SELECT version FROM stock WHERE sku = '{HELD}0000' FOR UPDATE")).await?;
        let (prefix, is_over) = (shop.next_prefix(), AtomicBool::new(false));
        let others = async {
            let outcome = shop.turn(stage, turn).await;
            is_over.store(true, Ordering::Relaxed);
            holder.batch_execute("ROLLBACK").await?;
            outcome
        };
        let clients = futures::future::try_join_all((0..CLIENTS).map(|client| wait(stage, &prefix, client, &is_over)));
        let (outcome, answers) = tokio::try_join!(others, clients)?;
        held.add(outcome.per_second(outcome.good()), &outcome);
        let taken = answers.iter().map(|[taken, _]| taken).sum();
        waited = [waited[0] + taken, waited[1] + answers.iter().map(|[_, shed]| shed).sum::<u64>()];
        shop.expect_stored(taken, taken);
    }
    holder.batch_execute("DROP TABLE bench_scratch").await?;
    let what = format!("{products} other products while one row is held, {connections} connections");
    let baseline = free.as_baseline_of(&held, "no row held");
    compared.result.rows.push(Row {
        target: format!(">= {SHARE}x, no error"),
        met: Some(baseline.ratio.median >= SHARE),
        baseline: Some(baseline),
        ..held.row(&what, UNIT)
    });
    let open = "a transaction open that holds no row of the shop";
    for (what, turns, baseline) in [
        (what.as_str(), &held, control.as_baseline_of(&held, open)),
        (
            &format!("{products} products, {open}, {connections} connections"),
            &control,
            free.as_baseline_of(&control, "none open"),
        ),
    ] {
        compared.result.rows.push(Row { baseline: Some(baseline), ..turns.row(what, UNIT) });
    }
    compared.result.notes.push(format!(
        "A held row: {CLIENTS} more clients ordered the held product; {} of their orders were answered 201 once \
         the row was free, and {} were answered 503 before that. Every order for the other products was confirmed.",
        waited[0], waited[1]
    ));
    Ok(())
}

/// Sends one client's orders for the held product; returns how many were taken and how many were answered 503.
async fn wait(stage: &Stage, prefix: &str, client: usize, is_over: &AtomicBool) -> anyhow::Result<[u64; 2]> {
    let url = format!("{}/api/v1/orders", stage.stack.urls(Service::Sales).public);
    let body = json!({"lines": [{"sku": format!("{HELD}0000"), "quantity": 1}]});
    let mut answers = [0, 0];
    for order in 0.. {
        let key = format!("{prefix}held-{client}-{order}");
        let answer = stage.send(stage.http().post(&url).json(&body).header("Idempotency-Key", key)).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        match status {
            StatusCode::CREATED => answers[0] += 1,
            StatusCode::SERVICE_UNAVAILABLE if text.contains("/problems/overloaded") => answers[1] += 1,
            _ => ensure!(false, "an order for the held product was answered {status}: {text}"),
        }
        if is_over.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(answers)
}
