//! One receipt fills a million lines: it completes, and orders of other products do not wait for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use localstack::stack::Service;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Comparison, Turns, UNIT};
use crate::{
    bounds,
    output::number,
    results::{Baseline, Row},
    shop::{MANY, Shop, Turn, WAITED_FOR},
    stage::Stage,
    statistics::{Spread, figure},
};

/// Maximum latency of the other orders, as a multiple of that without the receipt.
const TIMES: f64 = 3.0;
/// Maximum time until all lines are filled.
const END: Duration = Duration::from_secs(900);

pub(super) async fn measure(compared: &mut Comparison) -> anyhow::Result<()> {
    let (stage, shop) = (&compared.stage, &mut compared.ours);
    let connections = stage.scale.connections.first().copied().unwrap_or(1);
    let products = stage.scale.products;
    let sku = format!("{WAITED_FOR}0000");
    let left = async |shop: &Shop| {
        let row = shop.database.query_one("SELECT backordered FROM stock WHERE sku = $1", &[&sku]).await?;
        anyhow::Ok(u64::try_from(row.get::<_, i64>(0))?)
    };
    // The surge's orders are waiting, too.
    let already = left(shop).await?;
    let lines = stage.scale.waiting.max(already);
    stage.report(&format!("a receipt that fills {} lines", number(figure(lines))));
    shop.fill_waiting(lines - already).await?;
    let request = order_by_hand(stage, &sku, lines).await?;

    let turn = Turn { sku: MANY, products, ..Turn::hot(connections, stage.turn()) };
    let url = stage.stack.urls(Service::Sales).public;
    let (mut without, mut meanwhile) = (Turns::default(), Turns::default());
    for _ in 0..stage.scale.rounds {
        let outcome = shop.turn(stage, turn).await?;
        without.add(outcome.per_second(outcome.good()), &outcome);
    }
    receive(stage, &request, lines).await?;
    let begun = Instant::now();
    let mut longest = 0.0_f64;
    // Only turns during the receipt are compared.
    for _ in 0..stage.scale.rounds {
        let outcome = shop.load(stage, turn, &url).await?;
        if left(shop).await? == 0 && !meanwhile.rates.is_empty() {
            break;
        }
        longest = longest.max(outcome.max_ms());
        meanwhile.add(outcome.per_second(outcome.good()), &outcome);
    }
    let ended = tokio::time::timeout(END, async {
        while left(shop).await? > 0 {
            tokio::time::sleep(bounds::POLL).await;
        }
        anyhow::Ok(())
    });
    ended.await.with_context(|| format!("the units of a receipt were not all handed out within {END:?}"))??;
    let took = begun.elapsed().as_secs_f64();

    let ratio = meanwhile.p99_ms() / without.p99_ms();
    let p99 = |turns: &Turns| Spread::of(&turns.p99);
    compared.result.rows.push(Row {
        what: format!(
            "p99 of orders of {products} products, {connections} connections, while a receipt fills {} lines",
            number(figure(lines))
        ),
        unit: "ms".to_owned(),
        target: format!("<= {TIMES}x that before the receipt"),
        ours: p99(&meanwhile),
        baseline: Some(Baseline {
            name: "before the receipt".to_owned(),
            figure: p99(&without),
            ratio: Spread::of(&[ratio]),
            p99_ms: None,
        }),
        p50_ms: None,
        p99_ms: None,
        met: Some(ratio <= TIMES),
    });
    compared.result.rows.push(Row {
        baseline: Some(without.as_baseline_of(&meanwhile, "before the receipt")),
        ..meanwhile.row(&format!("orders of {products} products meanwhile"), UNIT)
    });
    compared.result.notes.push(format!(
        "Receipt: all {} lines were filled {took:.0} s after booking; the slowest answer to another product's order \
         came after {longest:.0} ms.",
        number(figure(lines))
    ));
    Ok(())
}

/// Orders a replenishment of this quantity by hand; returns its id once restock-service knows it.
async fn order_by_hand(stage: &Stage, sku: &str, quantity: u64) -> anyhow::Result<String> {
    let url = format!("{}/api/v1/replenishments", stage.stack.urls(Service::Sales).api);
    let request = stage.http().post(url).bearer_auth(stage.stack.operator_token());
    let answer = stage.send(request.json(&json!({"sku": sku, "quantity": quantity}))).await?;
    let (status, body) = (answer.status(), answer.json::<Value>().await?);
    ensure!(status == StatusCode::CREATED, "a replenishment by hand was answered {status}: {body}");
    let id = body["id"].as_str().context("a replenishment without an id")?.to_owned();
    let restock = crate::database::connect(&stage.stack.database_url(Service::Restock)?).await?;
    let unknown = format!("SELECT 1 - count(*) FROM production_requests WHERE id = '{id}'");
    crate::database::wait_until_none(&restock, &unknown, "requests that restock-service does not know").await?;
    Ok(id)
}

/// Books the goods as an operator does after a lost callback.
async fn receive(stage: &Stage, request: &str, quantity: u64) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/receipts", stage.stack.urls(Service::Restock).api);
    let body = json!({"request_id": request, "quantity": quantity, "reason": "benchmark"});
    let answer = stage.send(stage.http().post(url).bearer_auth(stage.stack.operator_token()).json(&body)).await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == StatusCode::CREATED, "a receipt by hand was answered {status}: {text}");
    Ok(())
}
