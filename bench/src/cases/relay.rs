//! A burst of events in sales-service's outbox, until the broker has all of them, compared with a publisher that
//! waits for one confirm at a time.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use localstack::stack::{Service, Want};
use tokio_postgres::Client;

use super::{Case, Turns};
use crate::{
    database,
    results::{CaseResult, Row},
    run::Run,
    stage::Stage,
    statistics::figure,
};

const UNIT: &str = "events/s";
/// Minimum multiple of one confirm at a time.
const TIMES: f64 = 8.0;
/// Rows that the baseline reads at once.
const WINDOW: i64 = 256;
/// Type of half of the burst; it requires its subscriber.
const NEEDED: &str = "replenishment.closed";
/// Queue of that subscriber.
const QUEUE: &str = "production.replenishments-closed";
/// Type of the other half, which has no subscriber.
const FREE: &str = "stock.changed";
/// Maximum wait for one answer of the broker.
const CONFIRM: Duration = Duration::from_secs(10);

/// Messages counted in a queue.
#[derive(Default)]
struct Counted {
    distinct: u64,
    again: u64,
}

impl Counted {
    fn add(&mut self, more: Self) {
        self.distinct += more.distinct;
        self.again += more.again;
    }
}

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::Relay, &[]).await?;
    let mut result = stage.result().await?;
    let sales = database::connect(&stage.stack.database_url(Service::Sales)?).await?;
    let other = database::connect(&database::make(&stage.stack, Service::Sales, "bench_relay").await?).await?;
    // Without a consumer, the published messages can be counted in the queue.
    stage.stack.stop_service(Service::Production).await?;

    let (mut ours, mut theirs) = (Turns::default(), Turns::default());
    let mut published = Counted::default();
    for round in 1..=stage.scale.rounds {
        stage
            .report(&format!("round {round}: {} events, and {} one by one", stage.scale.burst, stage.scale.one_by_one));
        stage.settle(&sales).await?;
        let begun = burst(&sales, stage.scale.burst).await?;
        database::wait_until_none(&sales, "SELECT count(*) FROM (SELECT FROM outbox LIMIT 1) waiting", "events")
            .await?;
        ours.rates.push(figure(stage.scale.burst) / begun.elapsed().as_secs_f64());
        published.add(take_out(&stage, stage.scale.burst / 2).await?);

        stage.settle(&sales).await?;
        burst(&other, stage.scale.one_by_one).await?;
        let begun = Instant::now();
        one_by_one(&other, &stage.stack.broker_url(Service::Sales)?).await?;
        theirs.rates.push(figure(stage.scale.one_by_one) / begun.elapsed().as_secs_f64());
        published.add(take_out(&stage, stage.scale.one_by_one / 2).await?);
    }
    let baseline = theirs.as_baseline_of(&ours, "one confirm at a time");
    result.rows.push(Row {
        target: format!(">= {TIMES}x, and the outbox is empty in the end"),
        met: Some(baseline.ratio.median >= TIMES),
        baseline: Some(baseline),
        ..ours.row(&format!("a burst of {} events", crate::output::number(figure(stage.scale.burst))), UNIT)
    });
    result.notes.push(format!(
        "Half of the events need a subscriber (`{NEEDED}`, a quorum queue that nobody reads meanwhile), half have none \
         (`{FREE}`). Ours: from the commit of the burst, written beside the service, which is notified of it, to the last row's \
         deletion. The baseline reads {WINDOW} rows, publishes each and waits for its confirm, \
         deletes the {WINDOW}; over {} events.",
        stage.scale.one_by_one
    ));
    result.audit.push(format!(
        "{} events that need a subscriber were published, and each of them was in its queue; {} of them twice",
        published.distinct, published.again
    ));
    stage.stack.start_service(Service::Production, &[], Want::Ready).await?;
    stage.audit_services(&mut result).await?;
    stage.finish().await?;
    Ok(result)
}

/// Inserts this many events into an outbox at once; returns the time of the commit.
async fn burst(client: &Client, events: u64) -> anyhow::Result<Instant> {
    let sql = format!(
        "INSERT INTO outbox (message_id, exchange, routing_key, content_type, headers, body, subscriber_required) \
         SELECT CAST(gen_random_uuid() AS text), 'jaego.events', CASE WHEN n % 2 = 0 THEN '{NEEDED}' ELSE '{FREE}' END, \
         'application/cloudevents+json', '{{}}', convert_to(repeat('x', 400), 'UTF8'), n % 2 = 0 \
         FROM generate_series(1, {events}) n; NOTIFY jaego_outbox"
    );
    client.batch_execute(&sql).await.context("cannot write a burst")?;
    Ok(Instant::now())
}

/// Takes all messages that required a subscriber out of its queue. Some may be there twice: a relay that does not
/// know the outcome of a message sends it again.
async fn take_out(stage: &Stage, expected: u64) -> anyhow::Result<Counted> {
    let connection = connect(&stage.stack.broker_url(Service::Production)?).await?;
    let channel = connection.create_channel().await?;
    let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let waiting = channel.queue_declare(QUEUE.into(), look, FieldTable::default()).await?.message_count();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = channel.basic_consume(QUEUE.into(), "bench".into(), options, FieldTable::default()).await?;
    let mut seen = HashSet::new();
    for _ in 0..waiting {
        let message = tokio::time::timeout(CONFIRM, consumer.next()).await.context("no further message")?;
        let message = message.context("the broker gives no more messages")??;
        let id = message.properties.message_id().as_ref().context("a message without an id")?;
        seen.insert(id.to_string());
    }
    connection.close(200, "done".into()).await?;
    let (waiting, distinct) = (u64::from(waiting), u64::try_from(seen.len())?);
    ensure!(distinct == expected, "{distinct} of {expected} published events are in {QUEUE}");
    Ok(Counted { distinct, again: waiting - distinct })
}

async fn connect(url: &str) -> anyhow::Result<Connection> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    Ok(tokio::time::timeout(crate::bounds::START, connecting).await.context("the broker took too long")??)
}

/// The baseline: publishes the same rows one at a time.
async fn one_by_one(client: &Client, broker_url: &str) -> anyhow::Result<()> {
    let connection = connect(broker_url).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let claim = client
        .prepare("SELECT id, message_id, exchange, routing_key, content_type, body FROM outbox ORDER BY id LIMIT $1")
        .await?;
    let delete = client.prepare("DELETE FROM outbox WHERE id = ANY($1)").await?;
    loop {
        let rows = client.query(&claim, &[&WINDOW]).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            publish(&channel, row).await?;
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
        client.execute(&delete, &[&ids]).await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn publish(channel: &Channel, row: &tokio_postgres::Row) -> anyhow::Result<()> {
    let text = |name: &str| row.get::<_, &str>(name).to_owned();
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(text("message_id").into())
        .with_content_type(text("content_type").into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (text("exchange").into(), text("routing_key").into());
    let sent = async { channel.basic_publish(exchange, key, options, row.get("body"), properties).await?.await };
    let confirmation = tokio::time::timeout(CONFIRM, sent).await.context("no confirm")??;
    ensure!(matches!(confirmation, Confirmation::Ack(_)), "the broker refused an event");
    Ok(())
}
