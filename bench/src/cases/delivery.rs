//! A burst of production requests to a factory that answers immediately.

use anyhow::{Context as _, ensure};
use localstack::demo;
use localstack::stack::{Service, Want};
use tokio_postgres::Client;

use super::{Case, Turns};
use crate::{
    baseline::Server,
    database,
    results::{CaseResult, Row},
    run::Run,
    stage::{Beside, Stage},
    statistics::figure,
};

const UNIT: &str = "requests/s";
/// Minimum requests per second.
const TARGET: f64 = 2_000.0;
/// Maximum calls in flight to the single factory.
const IN_FLIGHT: u32 = 64;
/// No consumer reads this queue during the measurement.
const QUEUE: &str = "sales.production-outcomes";

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::Delivery, &[]).await?;
    let mut result = stage.result().await?;
    let factory = stage.serve(Server::Factory, "", 1).await?;
    stage.put_factory(demo::FACTORY, &factory.url, IN_FLIGHT).await?;
    stage.stack.stop_service(Service::Sales).await?;
    let production = database::connect(&stage.stack.database_url(Service::Production)?).await?;

    let mut turns = Turns::default();
    let mut expected = 0;
    // The first round is a warm-up.
    for round in 0..=stage.scale.rounds {
        stage.report(&format!("{} requests, round {round}", stage.scale.requests));
        stage.settle(&production).await?;
        ask(&production, stage.scale.requests).await?;
        let open = "SELECT count(*) FROM (SELECT FROM production_requests \
                    WHERE status IN ('requested', 'sending', 'retrying') LIMIT 1) waiting";
        database::wait_until_none(&production, open, "requests").await?;
        if round > 0 {
            turns.rates.push(figure(stage.scale.requests) / seconds(&production, expected).await?);
        }
        expected += stage.scale.requests;
    }
    result.rows.push(Row {
        target: format!(">= {TARGET} {UNIT}"),
        met: Some(turns.rate().median >= TARGET),
        ..turns.row(&format!("{} requests to one factory, {IN_FLIGHT} in flight", stage.scale.requests), UNIT)
    });
    result.notes.push(
        "One statement inserts the requests into production-service's table while it runs; measured from the first \
         call to the last outcome. The factory, a separate process, answers 201 immediately. Acceptances are published \
         meanwhile, and stay in sales-service's queue, because it is stopped."
            .to_owned(),
    );
    audit(&stage, &production, &factory, expected, &mut result).await?;
    stage.settle(&production).await?;
    let (broker, vhost) = stage.stack.broker()?;
    broker.purge(vhost, QUEUE).await?;
    stage.stack.start_service(Service::Sales, &[], Want::Ready).await?;
    stage.audit_services(&mut result).await?;
    drop(factory);
    stage.finish().await?;
    Ok(result)
}

/// Inserts requests that are due now.
async fn ask(client: &Client, requests: u64) -> anyhow::Result<()> {
    let sql = format!(
        "INSERT INTO production_requests (id, sku, factory_id, quantity, status, next_attempt_at, reason, traceparent, \
         event_id, event, requested_at) SELECT gen_random_uuid(), 'HOT-0000', '{}', 10, 'requested', now(), 'bench', \
         '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', CAST(gen_random_uuid() AS text), \
         convert_to('{{}}', 'UTF8'), now() FROM generate_series(1, {requests})",
        demo::FACTORY
    );
    client.batch_execute(&sql).await.context("cannot write requests")
}

/// Seconds from call number `before` + 1 to the last outcome, by the database's clock. Nothing announces rows
/// that are inserted from outside, so the service sees them only at its next poll.
async fn seconds(client: &Client, before: u64) -> anyhow::Result<f64> {
    let sql = "SELECT extract(epoch FROM max(p.outcome_at) - min(a.started_at))::float8 FROM (SELECT request_id, started_at \
               FROM production_attempts ORDER BY started_at, request_id OFFSET $1) a JOIN production_requests p ON p.id = a.request_id";
    let row = client.query_one(sql, &[&i64::try_from(before)?]).await.context("cannot read the times of the calls")?;
    Ok(row.get(0))
}

/// Checks that the factory received each request, and that each has exactly one attempt, which has ended.
async fn audit(
    stage: &Stage,
    client: &Client,
    factory: &Beside,
    expected: u64,
    result: &mut CaseResult,
) -> anyhow::Result<()> {
    let asked: u64 = stage.send(stage.http().get(format!("{}/count", factory.url))).await?.json().await?;
    let accepted = "SELECT count(*) FROM production_requests p JOIN production_attempts a ON a.request_id = p.id \
                    WHERE p.status = 'accepted' AND p.attempt_count = 1 AND a.outcome = 'accepted' AND a.status = 201";
    let recorded = database::number(client, accepted).await?;
    ensure!(
        asked == expected && recorded == expected,
        "of {expected} requests the factory received {asked}, and {recorded} are recorded as accepted"
    );
    result.audit.push(format!("{expected} requests: the factory got each, and each has one attempt with its answer"));
    Ok(())
}
