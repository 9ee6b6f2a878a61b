//! Latency on an idle system, one operation at a time: from a refused order until the factory has the request, and
//! from a callback until the stock is there.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use localstack::demo;
use localstack::stack::Service;
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::mpsc;

use super::Case;
use crate::{
    baseline::factory::{self, Arrival},
    database,
    results::{CaseResult, Row},
    run::Run,
    shop,
    stage::Stage,
    statistics::{Spread, percentile},
};

/// Limits of the median and the 99th percentile, milliseconds.
const P50_MS: f64 = 10.0;
const P99_MS: f64 = 40.0;
/// Maximum wait for a single effect.
const EFFECT: Duration = Duration::from_secs(20);
/// Polling interval of stock.
const LOOK: Duration = Duration::from_micros(500);
/// Pause between samples, so that the system is idle.
const PAUSE: Duration = Duration::from_millis(20);
/// SKU prefix of the products, which have no stock.
const SKU: &str = "ONE-";

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::EndToEnd, &[]).await?;
    let mut result = stage.result().await?;
    let (sender, mut arrivals) = mpsc::channel(16);
    let (address, server) = factory::listen(sender)?;
    let handle = server.handle();
    let serving = tokio::spawn(server);
    stage.put_factory(demo::FACTORY, &format!("http://{address}"), 64).await?;
    let sales = database::connect(&stage.stack.database_url(Service::Sales)?).await?;
    // The first samples open every connection and do not count.
    let warm_up = stage.scale.samples.div_ceil(10);
    shop::stock_up(&sales, SKU, stage.scale.samples + warm_up, 0).await?;
    let stock = sales.prepare("SELECT on_hand FROM stock WHERE sku = $1").await?;

    stage.report(&format!("{} samples, one at a time", stage.scale.samples));
    let (mut asked, mut available) = (Vec::new(), Vec::new());
    for sample in 0..stage.scale.samples + warm_up {
        let sku = format!("{SKU}{sample:04}");
        let refused_at = refuse(&stage, &sku).await?;
        let arrival = tokio::time::timeout(EFFECT, arrivals.recv()).await.context("the factory was not asked")?;
        let arrival = arrival.context("the factory has ended")?;
        ensure!(arrival.sku == sku, "the factory was asked for {} instead of {sku}", arrival.sku);
        let until_asked = arrival.at.saturating_duration_since(refused_at);

        let called_at = call_back(&stage, &arrival).await?;
        let there = tokio::time::timeout(EFFECT, async {
            while sales.query_one(&stock, &[&sku]).await?.get::<_, i64>(0) == 0 {
                tokio::time::sleep(LOOK).await;
            }
            anyhow::Ok(called_at.elapsed())
        });
        let until_there = there.await.context("stock did not rise")??;
        if sample >= warm_up {
            asked.push(until_asked.as_secs_f64() * 1e3);
            available.push(until_there.as_secs_f64() * 1e3);
        }
        tokio::time::sleep(PAUSE).await;
    }
    for (what, samples) in [
        ("order refused, until the factory has the request", &asked),
        ("callback answered, until stock is there", &available),
    ] {
        result.rows.push(row(what, samples));
    }
    let units = "SELECT count(*) FROM stock s JOIN receipts_applied r ON r.sku = s.sku AND r.quantity = s.on_hand \
                 WHERE s.on_hand > 0";
    let there = database::number(&sales, units).await?;
    let samples = u64::try_from(stage.scale.samples + warm_up)?;
    ensure!(there == samples, "of {samples} products {there} have what was received");
    result
        .audit
        .push(format!("{samples} orders refused: as many requests with the factory, receipts, and products in stock"));
    result.notes.push(
        "Times run from the answer (409, or the callback's 200) to the effect. Stock is read every half millisecond."
            .to_owned(),
    );
    stage.audit_services(&mut result).await?;
    drop(sales);
    stage.finish().await?;
    handle.stop(false).await;
    serving.await??;
    Ok(result)
}

/// Orders a product without stock; returns the time of the refusal.
async fn refuse(stage: &Stage, sku: &str) -> anyhow::Result<Instant> {
    let url = format!("{}/api/v1/orders", stage.stack.urls(Service::Sales).public);
    let body = json!({"lines": [{"sku": sku, "quantity": 1}]});
    let answer = stage
        .send(stage.http().post(url).header("Idempotency-Key", format!("first-order-of-{sku}")).json(&body))
        .await?;
    let at = Instant::now();
    ensure!(answer.status() == StatusCode::CONFLICT, "an order without stock was answered {}", answer.status());
    Ok(at)
}

/// Delivers everything that was requested; returns the time of the answer.
async fn call_back(stage: &Stage, arrival: &Arrival) -> anyhow::Result<Instant> {
    let body = json!({
        "MessageAttributeProductId": arrival.sku,
        "MessageAttributeProductCnt": arrival.count,
        "MessageAttributeFactoryId": demo::FACTORY,
    });
    let answer = stage.send(stage.http().post(&arrival.callback_url).json(&body)).await?;
    let at = Instant::now();
    ensure!(answer.status() == StatusCode::OK, "a callback was answered {}", answer.status());
    Ok(at)
}

fn row(what: &str, samples: &[f64]) -> Row {
    let (p50, p99) = (percentile(samples, 0.5), percentile(samples, 0.99));
    Row {
        what: what.to_owned(),
        unit: "ms".to_owned(),
        target: format!("p50 below {P50_MS} ms, p99 below {P99_MS} ms"),
        ours: Spread::of(samples),
        baseline: None,
        p50_ms: Some(p50),
        p99_ms: Some(p99),
        met: Some(p50 < P50_MS && p99 < P99_MS),
    }
}
